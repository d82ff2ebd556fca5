"""The demo as a whole: a real child, real traffic, and a clean end."""

from __future__ import annotations

import asyncio
import io
import re
import signal
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from proxy import demo, demo_lanes
from proxy.demo import Child
from proxy.demo_lanes import LANES

ROOT = Path(__file__).resolve().parents[2]
QUICK = [msgspec.structs.replace(lane, pause=0.01) for lane in LANES if lane.provider in ("steady", "flaky", "unpaid")]


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


async def test_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo, "EACH_FRAME", 0.2)
    monkeypatch.delenv("NO_COLOR", raising=False)
    out = Terminal()
    assert await demo._demo(1.0, out, QUICK) == 0
    text = out.getvalue()
    before, _, drawn = text.partition("system: ")
    assert "/v1/model-health\n" in before
    frames = drawn.split("\x1b[")
    assert text.count("system: ") >= 3
    assert re.search(r"\x1b\[\d+F\x1b\[Jsystem: ", text)
    assert "flaky" in frames[-1] or "flaky" in drawn


async def test_elsewhere_plain_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo, "EACH_LINE", 0.4)
    monkeypatch.setenv("DETOUR_LISTEN", "nonsense")  # a setting of the caller's, which must not reach the child
    out = io.StringIO()
    assert await demo._demo(1.0, out, QUICK) == 0
    text = out.getvalue()
    assert "\x1b" not in text
    last = text.rpartition("system: ")[2]
    steady = next(line for line in last.splitlines() if line.startswith("steady")).split()
    assert int(steady[3]) == int(steady[4]) > 0
    assert "healthy" in steady
    unpaid = next(line for line in last.splitlines() if line.startswith("unpaid"))
    assert "insufficient_quota" in unpaid


async def test_a_breaker_opens_and_closes_and_traffic_goes_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first answers of `ailing` fail; then it is well, and two trials show it."""
    quick = {"failure_threshold": 3, "open_for": "300ms", "jitter": 0}
    monkeypatch.setattr(demo_lanes, "BREAKERS", demo_lanes.BREAKERS | quick)
    lanes = [
        msgspec.structs.replace(lane, pause=0.02, script="once@after=3" if lane.provider == "ailing" else lane.script)
        for lane in LANES
        if lane.provider in ("steady", "ailing")
    ]
    out = io.StringIO()
    assert await demo._demo(2.5, out, lanes) == 0
    last = out.getvalue().rpartition("system: ")[2]
    story = [line.split("  ", 2)[2] for line in last.splitlines() if "  ailing/llama-3.3-70b  " in line]
    assert [line.partition(":")[0] for line in story] == ["closed -> open", "open -> half-open", "half-open -> closed"]
    assert story[0].startswith("closed -> open: 3 failures in a row, last: 503")
    ailing = next(line for line in last.splitlines() if line.startswith("ailing"))
    assert int(re.split(r" {2,}", ailing)[7]) >= 1
    assert re.split(r" {2,}", ailing)[6] == "closed"


async def test_ctrl_c() -> None:
    """As `detour demo` in a process: the signal ends it and its child with status 0."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "proxy.cli", "demo"), stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=ROOT
    )
    try:
        assert process.stdout is not None
        admin = ""
        while b"every script" not in (line := await process.stdout.readline()):
            assert line
            if found := re.search(rb"metrics +(http://127.0.0.1:\d+)", line):
                admin = found[1].decode()
        process.send_signal(signal.SIGINT)
        _, errors = await asyncio.wait_for(process.communicate(), 20)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert (process.returncode, errors) == (0, b"")
    with pytest.raises(OSError, match=r"onnect"):
        await asyncio.open_connection("127.0.0.1", int(admin.rpartition(":")[2]))


async def test_a_detour_that_does_not_start() -> None:
    out = io.StringIO()
    wrong = [msgspec.structs.replace(LANES[0], dialect="esperanto")]
    assert await demo._demo(5.0, out, wrong) == 1
    assert out.getvalue().startswith("Detour did not start:\n")
    assert "esperanto" in out.getvalue()


async def test_a_detour_that_dies(monkeypatch: pytest.MonkeyPatch) -> None:
    class Dying(Child):
        async def start(self, path: Path) -> bool:
            started = await super().start(path)
            assert self._process is not None
            asyncio.get_running_loop().call_later(0.2, self._process.kill)
            return started

    monkeypatch.setattr(demo, "Child", Dying)
    monkeypatch.setattr(demo, "EACH_LINE", 0.01)
    out = io.StringIO()
    assert await demo._demo(30.0, out, QUICK) == 1
    assert "Detour ended by itself:\n" in out.getvalue()


async def test_a_child_that_will_not_go(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo, "STOPPING", 0.1)
    child = Child()
    code = "import signal, time; signal.signal(15, signal.SIG_IGN); print('deaf', flush=True); time.sleep(60)"
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", code, stdout=subprocess.PIPE)
    assert process.stdout is not None
    await process.stdout.readline()
    child._process = process
    await child.stop()
    assert child.ended
    assert process.returncode == -signal.SIGKILL


async def test_a_child_that_was_never_started() -> None:
    child = Child()
    await child.wait()
    await child.stop()
    assert child.ended
    assert child.last_words() == ""


async def test_what_the_child_says_is_read_whatever_it_is() -> None:
    noise = "import sys; e = sys.stderr; e.write('x' * 200000 + '\\n[]\\n{\\n\\x1b[2Jlast\\n')"
    child = Child()
    child._process = await asyncio.create_subprocess_exec(sys.executable, "-c", noise, stderr=subprocess.PIPE)
    await child._read()
    await child.wait()
    assert child.proxy == ""
    assert child.last_words().endswith("  ?[2Jlast")
