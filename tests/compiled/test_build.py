"""What `make compiled` has made: all is compiled that should be, and its classes are what they are in Python."""

from __future__ import annotations

import importlib
import json
import re
import sys
import zipfile
from pathlib import Path
from typing import Any

from msgspec import Struct

from tests.compiled.shipped import MODULES, ROOT, name, needed, run, said

pytestmark = needed

OPTIONS = ("frozen", "eq", "order", "array_like", "gc", "tag", "omit_defaults", "forbid_unknown_fields", "weakref")

LOOK = f"""
import importlib, json, msgspec
from tests.compiled.test_build import described
print(json.dumps({{name: described(importlib.import_module(name)) for name in {list(map(name, MODULES))!r}}}))
"""


def described(module: Any) -> dict[str, Any]:
    """Where a module is from, and of its structs their options, fields and defaults."""
    structs = {
        one.__name__: {
            "options": {option: getattr(one.__struct_config__, option) for option in OPTIONS},
            "fields": one.__struct_fields__,
            "names": one.__struct_encode_fields__,
            "defaults": repr(one.__struct_defaults__),
            "hash": one.__hash__ is not None,
        }
        for one in vars(module).values()
        if isinstance(one, type) and issubclass(one, Struct) and one.__module__ == module.__name__
    }
    return {"file": Path(module.__file__).suffix, "structs": structs}


def test_structs_are_the_same() -> None:
    compiled = json.loads(said(LOOK))
    assert {name for name, found in compiled.items() if found["file"] != ".so"} == set()
    for file in map(name, MODULES):
        interpreted = json.loads(json.dumps(described(importlib.import_module(file))))
        assert compiled[file]["structs"] == interpreted["structs"], file
    assert sum(len(found["structs"]) for found in compiled.values()) > 20


def test_it_says_so() -> None:
    done = run("-m", "proxy.cli", "version")
    python = ".".join(map(str, sys.version_info[:3]))
    assert re.fullmatch(rf"detour \S+ \(compiled, Python {python}\)\n", done.stdout), done


def test_the_source_comes_along_and_says_where_an_error_was() -> None:
    """A traceback has the lines of the source, and no path of the machine that built it."""
    told = said("""
import traceback
from breaker.transitions import Event, State, after
try:
    after(State.CLOSED, Event.WAITED)
except Exception as error:
    print(traceback.format_exc())
""")
    assert re.search(r'File "breaker/transitions.py", line \d+, in after\n +raise IllegalEventError', told), told


def test_the_wheel_is_for_this_python_and_holds_both() -> None:
    (wheel,) = (ROOT / "build" / "wheel").glob("*.whl")
    assert f"-cp3{sys.version_info.minor}-cp3{sys.version_info.minor}-" in wheel.name
    with zipfile.ZipFile(wheel) as archive:
        held = set(archive.namelist())
        libraries = [file for file in held if file.endswith(".so")]
        for library in libraries:
            assert str(ROOT).encode() not in archive.read(library), "a path of the machine that built it"
    assert set(MODULES) <= held
    assert {re.sub(r"\..*", ".py", library) for library in libraries} - {"detour__mypyc.py"} == set(MODULES)
    assert "hatch_build.py" not in held


def test_what_refers_to_itself_is_collected() -> None:
    """Compiled objects are no leak where they make a circle: one that holds an object of Python shows when it goes."""
    told = said("""
import asyncio, gc, weakref
from proxy.watch import Watch

class Holder:
    def look(self, now):
        pass

def circle(loop):
    holder = Holder()
    holder.watch = Watch(loop)
    holder.watch.every(holder.look)
    return weakref.ref(holder)

loop = asyncio.new_event_loop()
gc.disable()
seen = circle(loop)
assert seen() is not None
gc.collect()
print(seen() is None)
loop.close()
""")
    assert told == "True\n"


def test_a_coroutine_that_is_closed_runs_its_last_lines() -> None:
    told = said("""
import asyncio
from proxy.pool import Pool

class Connector:
    async def open(self, origin, protocol, limit):
        await asyncio.sleep(10)

async def main():
    pool = Pool(None, Connector(), asyncio.get_running_loop())
    for end in ("close", "cancel"):
        if end == "cancel":
            task = asyncio.create_task(pool.connect(1.0))
            await asyncio.sleep(0)
            assert pool.connecting == 1
            task.cancel()
            await asyncio.wait([task])
            assert task.cancelled()
        else:
            connecting = pool.connect(1.0)
            connecting.send(None)
            assert pool.connecting == 1
            connecting.close()
        print(end, pool.connecting)

asyncio.run(main())
""")
    assert told == "close 0\ncancel 0\n"
