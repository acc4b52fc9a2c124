"""How each command's help ends: with commands that can be typed as they stand."""

from __future__ import annotations

COMMAND_SETTINGS = {"help_option_names": ["-h", "--help"], "max_content_width": 100}


def examples(*lines: str) -> str:
    """The end of a command's help; each of `lines` is one command."""
    title = "Example:" if len(lines) == 1 else "Examples:"
    return "\n\n".join([title, *(f"[cyan]{line}[/cyan]" for line in lines)])
