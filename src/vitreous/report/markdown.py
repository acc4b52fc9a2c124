"""The page's tables as text, for a README or a terminal."""

from __future__ import annotations

from collections.abc import Sequence

from vitreous.report.blocks import Block, Cell, Fold, Heading, Prose, Table


def markdown(blocks: Sequence[Block]) -> str:
    """Blocks as Markdown: headings, paragraphs and tables; charts and pictures are left out."""
    return "\n".join(part for block in blocks for part in _block(block))


def _block(block: Block) -> list[str]:
    if isinstance(block, Table):
        return _table(block)
    if isinstance(block, Heading):
        return [f"### {block.text}", ""]
    if isinstance(block, Prose):
        return [block.text, ""]
    if isinstance(block, Fold):
        return [f"#### {block.summary}", "", *(part for one in block.blocks for part in _block(one))]
    return []


def _table(table: Table) -> list[str]:
    heads = [f"{one.label} ({one.unit})" if one.unit else one.label for one in table.columns]
    lines = [f"**{table.caption}**", ""] if table.caption else []
    lines += [_line(heads), _line(["---:" if one.numeric else "---" for one in table.columns])]
    for row in table.rows:
        if row.group:
            lines.append(_line([f"**{row.group}**", *[""] * (len(heads) - 1)]))
        lines.append(_line([_cell(cell, row.kind) for cell in row.cells]))
    return [*lines, "", *([table.note, ""] if table.note else [])]


def _cell(cell: Cell, kind: str) -> str:
    text = cell.text.replace("|", "\\|")
    if text and cell.kind == "best":
        text = f"**{text}**"
    if text and kind == "published":
        text = f"*{text}*"
    return f"{text} ({cell.note})" if cell.note else text


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"
