"""Log lines: text for people, JSON for machines, nothing raw."""

from __future__ import annotations

import io
import json
import logging
import sys
from collections.abc import Iterator

import pytest

from config.settings import Log
from config.words import LogFormat, LogLevel
from proxy.log import JsonLines, Text, set_up

HOSTILE = "a\nERROR forged\r\x1b[31m\u2028\x00\x9b31m\x85é\ud800"


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def _root() -> Iterator[None]:
    root, library = logging.getLogger(), logging.getLogger("asyncio")
    before = root.handlers[:], root.level, library.level
    yield
    root.handlers[:] = before[0]
    root.setLevel(before[1])
    library.setLevel(before[2])


def record(message: str, level: int = logging.INFO, **extra: object) -> logging.LogRecord:
    made = logging.makeLogRecord(
        {"name": "detour.x", "msg": message, "levelno": level, "levelname": logging.getLevelName(level), **extra}
    )
    made.created = 1_700_000_000.1239
    return made


def failed() -> object:
    try:
        raise ValueError("deep\n\x1bdown")
    except ValueError:
        return sys.exc_info()


def test_json() -> None:
    line = JsonLines().format(record("hello", status=200, took=1.5, ok=True, nothing=None, path=ValueError("v")))
    assert json.loads(line) == {
        "time": "2023-11-14T22:13:20.123Z",
        "level": "info",
        "logger": "detour.x",
        "message": "hello",
        "status": 200,
        "took": 1.5,
        "ok": True,
        "nothing": None,
        "path": "v",
    }


def test_json_arguments_and_exceptions() -> None:
    made = record("%s of %d", logging.ERROR, args=("one", 2), exc_info=failed())
    found = json.loads(JsonLines().format(made))
    assert (found["message"], found["level"]) == ("one of 2", "error")
    assert found["exception"].startswith("Traceback")
    assert found["exception"].endswith("ValueError: deep\n\x1bdown")


def test_text() -> None:
    line = Text(colours=False).format(record("hello", model="m", status=200))
    assert line[2] == line[5] == ":"
    assert line[8:] == " info    hello model=m status=200"


@pytest.mark.parametrize(
    ("level", "colour"),
    [
        (logging.INFO, ""),
        (logging.WARNING, "\x1b[33m"),
        (logging.ERROR, "\x1b[31m"),
        (logging.CRITICAL, "\x1b[31m"),
    ],
)
def test_colours(level: int, colour: str) -> None:
    name = logging.getLevelName(level).lower()
    expected = f" {colour}{name:7}{chr(27) + '[0m' if colour else ''} x"
    assert Text(colours=True).format(record("x", level))[8:] == expected
    assert "\x1b" not in Text(colours=False).format(record("x", level))


@pytest.mark.parametrize("formatter", [JsonLines(), Text(colours=False)])
def test_one_record_is_one_line_whatever_a_caller_wrote(formatter: logging.Formatter) -> None:
    for made in (record(HOSTILE), record("x", model=HOSTILE), record("%s", args=(HOSTILE,))):
        line = formatter.format(made)
        assert len(line.splitlines()) == 1
        assert not any(ord(char) < 0x20 or 0x80 <= ord(char) < 0xA0 for char in line)
        assert "forged" in line
        line.encode()


def test_a_name_in_extra_cannot_end_a_line() -> None:
    assert len(Text(colours=False).format(record("x", **{"a\nb": 1})).splitlines()) == 1
    assert len(JsonLines().format(record("x", **{"a\nb": 1})).splitlines()) == 1


def test_an_exception_in_text_comes_below_and_forges_no_line() -> None:
    lines = Text(colours=False).format(record("x", exc_info=failed())).splitlines()
    assert lines[0].endswith(" x")
    assert lines[1].startswith("  Traceback")
    assert lines[-2:] == ["  ValueError: deep", "  \\x1bdown"]
    assert all(line.startswith("  ") for line in lines[1:])


@pytest.mark.usefixtures("_root")
@pytest.mark.parametrize(
    ("form", "stream", "kind"),
    [
        (LogFormat.AUTO, io.StringIO(), JsonLines),
        (LogFormat.AUTO, Terminal(), Text),
        (LogFormat.TEXT, io.StringIO(), Text),
        (LogFormat.JSON, Terminal(), JsonLines),
    ],
)
def test_set_up(form: LogFormat, stream: io.StringIO, kind: type[logging.Formatter]) -> None:
    set_up(Log(format=form, level=LogLevel.WARNING), stream)
    (handler,) = logging.getLogger().handlers
    assert isinstance(handler.formatter, kind)
    logging.getLogger("detour.y").info("quiet")
    assert stream.getvalue() == ""
    logging.getLogger("detour.y").warning("loud")
    assert "loud" in stream.getvalue()
    assert ("\x1b" in stream.getvalue()) is (kind is Text and stream.isatty())


@pytest.mark.usefixtures("_root")
def test_set_up_writes_to_standard_error(capsys: pytest.CaptureFixture[str]) -> None:
    set_up(Log(level=LogLevel.DEBUG))
    logging.getLogger("detour.y").debug("said")
    logging.getLogger("asyncio").debug("chatter")
    captured = capsys.readouterr()
    assert json.loads(captured.err)["message"] == "said"
    assert captured.out == ""
