"""Messages of stages in the user's words: own files and options instead of a temporary data set's."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from vitreous.cli.workflow import shown
from vitreous.errors import VitreousError

# What a configuration calls it, and the option that does the same here.
OPTIONS = {
    "`compute.max_failed_share`": "--max-failed-share",
    "`trust: settings` or `trust: header`": "--trust settings or --trust header",
}
FIELDS = ("what", "place", "found", "expected", "todo")


class Wording(logging.Filter):
    """Rewrites texts, errors and, as a filter of handlers, log lines."""

    def __init__(self, dataset: Path, files: Mapping[str, Path]) -> None:
        """`files` are the user's own behind the names of the data set in folder `dataset`."""
        super().__init__()
        self.temporary = dataset.parent
        self.own = {name: shown(path) for name, path in files.items()}
        # A file that is made on the way → the user's own that a message names (or its folder).
        self.aliases: dict[Path, Path] = {}
        names = "|".join(re.escape(name) for name in sorted(files, key=len, reverse=True))
        self._names = re.compile(rf"(?:{re.escape(str(dataset))}/|(?<![\w/.-]))({names})")

    def text(self, text: str) -> str:
        """The text with the user's files and options."""
        text = self._names.sub(lambda match: self.own[match[1]], text)
        for made, own in self.aliases.items():
            text = text.replace(str(made), shown(own))
        for ours, option in OPTIONS.items():
            text = text.replace(ours, option)
        text = text.replace(f"{Path.cwd()}/", "")
        return re.sub(r"left out (.+?): \1: ", r"left out \1: ", text)

    def filter(self, record: logging.LogRecord) -> bool:
        """Rewrite a log line; hold back that of particles without images: their poses alone are used."""
        record.msg, record.args = self.text(record.getMessage()), ()
        return not record.msg.startswith("particle images are not linked")

    def error(self, error: VitreousError) -> None:
        """Rewrite an error in place; a file that is gone when it is read is not named."""
        for name in FIELDS:
            value = getattr(error, name)
            if isinstance(value, str | Path):
                setattr(error, name, self.text(str(value)))
        if error.file is not None:
            file = self.text(str(error.file))
            error.file = None if file.startswith(shown(self.temporary)) else file
        error.args = (error.line(),)

    @contextmanager
    def spoken(self) -> Iterator[None]:
        """Rewrite what is logged and raised while the block runs."""
        handlers = list(logging.getLogger().handlers)
        for handler in handlers:
            handler.addFilter(self)
        try:
            yield
        except VitreousError as error:
            self.error(error)
            raise
        finally:
            for handler in handlers:
                handler.removeFilter(self)
