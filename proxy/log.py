"""Logging: text on a terminal, JSON lines otherwise. Nothing a caller wrote goes out unescaped."""

from __future__ import annotations

import json
import logging
import sys
import time
from typing import IO, Any, Final

from config.settings import Log
from config.words import LogFormat

_STANDARD: Final = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
_COLOURS: Final = {"WARNING": "\x1b[33m", "ERROR": "\x1b[31m", "CRITICAL": "\x1b[31m"}


class JsonLines(logging.Formatter):
    """One JSON object a line: `time`, `level`, `logger`, `message`, and whatever `extra` carried."""

    def format(self, record: logging.LogRecord) -> str:
        """Render `record`; what JSON cannot hold is written as its text."""
        line: dict[str, Any] = {
            "time": _iso(record.created),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        line.update((key, value) for key, value in vars(record).items() if key not in _STANDARD)
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        # ASCII alone: what is no text (lone surrogates) and what a terminal obeys (C1) is escaped as well.
        return json.dumps(_plain(line))


class Text(logging.Formatter):
    """A line for a person, control characters made visible."""

    def __init__(self, *, colours: bool) -> None:
        super().__init__()
        self._colours = colours

    def format(self, record: logging.LogRecord) -> str:
        """Render `record`."""
        extra = "".join(f" {key}={value}" for key, value in vars(record).items() if key not in _STANDARD)
        text = _visible(f"{record.getMessage()}{extra}")
        clock = time.strftime("%H:%M:%S", time.localtime(record.created))
        colour = _COLOURS.get(record.levelname, "") if self._colours else ""
        line = f"{clock} {colour}{record.levelname.lower():7}{chr(27) + '[0m' if colour else ''} {text}"
        return f"{line}\n{_indented(self.formatException(record.exc_info))}" if record.exc_info else line


def set_up(settings: Log, stream: IO[str] | None = None) -> None:
    """Send everything to `stream` (standard error) in the configured form."""
    out = sys.stderr if stream is None else stream
    terminal = out.isatty()
    text = settings.format is LogFormat.TEXT or (settings.format is LogFormat.AUTO and terminal)
    handler = logging.StreamHandler(out)
    handler.setFormatter(Text(colours=terminal) if text else JsonLines())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(settings.level.upper())
    logging.getLogger("asyncio").setLevel(logging.WARNING)


def _iso(seconds: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds)) + f".{int(seconds * 1000) % 1000:03d}Z"


def _plain(line: dict[str, Any]) -> dict[str, Any]:
    return {
        key: value if isinstance(value, (str, int, float, bool, type(None))) else str(value)
        for key, value in line.items()
    }


def _visible(text: str) -> str:
    return "".join(char if char.isprintable() else repr(char)[1:-1] for char in text)


def _indented(text: str) -> str:
    """The lines of a traceback, none of which can pass for a line of the log."""
    return "\n".join(f"  {_visible(line)}" for line in text.splitlines())
