"""Leads the numbers of a gathered table to how it was made."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from vitreous.report.blocks import Block, Cell, Fold, Row, Table
from vitreous.report.material import Material


def linked(blocks: Sequence[Block], material: Material, path: Path) -> list[Block]:
    """The blocks with every number of ours leading to the entry of the file they were read from."""
    href, command = material.anchor(path), f"made by: {material.command(path)}"
    return [_linked(block, href, command) for block in blocks]


def _linked(block: Block, href: str, command: str) -> Block:
    if isinstance(block, Fold):
        return replace(block, blocks=[_linked(one, href, command) for one in block.blocks])
    if not isinstance(block, Table):
        return block
    rows = [row if row.kind == "published" else _row(row, href, command) for row in block.rows]
    return replace(block, rows=rows)


def _row(row: Row, href: str, command: str) -> Row:
    cells = [_cell(cell, href, command) if cell.sort is not None else cell for cell in row.cells]
    return replace(row, cells=cells)


def _cell(cell: Cell, href: str, command: str) -> Cell:
    return replace(cell, href=href, title="\n".join(filter(None, [cell.title, command])))
