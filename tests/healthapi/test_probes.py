from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from config.watched import WatchedFiles
from healthapi import probes
from healthapi.admin import Admin, Call
from healthapi.keeper import Keeper
from healthapi.parameters import Parameters
from tests.healthapi.admin_world import KEY, TOKEN, World


async def readyz(admin: Admin, query: str = "") -> tuple[int, dict[str, Any]]:
    made = await probes.readyz(admin, Call({}, Parameters(query), "", "adm-1"))
    return made.status, json.loads(made.body)


async def checks(world: World, **changes: Any) -> dict[str, dict[str, Any]]:
    _, document = await readyz(world.admin(**changes), "verbose")
    return {check.pop("name"): check for check in document["checks"]}


async def test_it_lives_whatever_else() -> None:
    world = World()
    world.is_draining = True
    world.listeners["proxy"] = False
    made = await probes.livez(world.admin(), Call({}, Parameters(""), "", "adm-1"))
    assert (made.status, made.body) == (200, b'{"status":"ok"}')


async def test_it_is_ready() -> None:
    assert await readyz(World().admin()) == (200, {"status": "ok"})


async def test_while_draining_it_is_not() -> None:
    world = World()
    world.is_draining = True
    status, document = await readyz(world.admin())
    assert (status, document["status"]) == (503, "draining")
    assert document["error"] == {
        "type": "unavailable",
        "message": document["detail"],
        "code": "draining",
        "status": 503,
        "request_id": "adm-1",
    }
    assert "checks" not in document


async def test_with_a_listener_down_it_is_not() -> None:
    world = World()
    world.listeners["proxy"] = False
    status, document = await readyz(world.admin(), "verbose")
    assert (status, document["status"], document["detail"]) == (503, "listener_down", "the proxy listener is down")
    assert [check["name"] for check in document["checks"] if not check["ok"] and check["required"]] == [
        "listener proxy"
    ]


async def test_what_is_looked_at() -> None:
    told = await checks(World("log: {level: info}"))
    assert list(told) == ["traffic", "listener proxy", "listener admin", "store", "config", "reload", "event_loop"]
    assert told["traffic"] == {"ok": True, "required": True, "detail": "taken"}
    assert told["store"] == {"ok": True, "required": False, "detail": "ok"}
    assert told["event_loop"] == {"ok": True, "required": False, "detail": "at most 0 ms late in the last minute"}


async def test_files_of_tls_are_told_and_never_make_it_unready() -> None:
    world = World()
    day = 86_400.0
    files = [
        WatchedFiles("tls", None, world.now + day),
        WatchedFiles("admin.tls", None, world.now - day),
        WatchedFiles("ca_bundle /lab.pem"),
        WatchedFiles("ca_bundle /old.pem", "cannot read /old.pem"),
    ]
    told = await checks(world, files=files)
    assert {name: told[name]["ok"] for name in told if name.startswith("files ")} == {
        "files tls": True,
        "files admin.tls": False,
        "files ca_bundle /lab.pem": True,
        "files ca_bundle /old.pem": False,
    }
    assert not any(told[name]["required"] for name in told if name.startswith("files "))
    assert told["files tls"]["detail"].startswith("the certificate expires at ")
    assert told["files admin.tls"]["detail"].startswith("the certificate expired at ")
    assert told["files ca_bundle /old.pem"]["detail"] == "changed, and not taken over: cannot read /old.pem"
    assert (await readyz(world.admin(files=files)))[0] == 200


class Troubled(Keeper):
    @property
    def trouble(self) -> str:
        return "cannot reach redis://user:canary-pw@10.0.0.1:6379/0: refused"


async def test_store_trouble_is_told_and_never_makes_it_unready() -> None:
    world = World()
    keeper = world.kept_by(Troubled)
    assert (await readyz(world.admin(keeper=keeper), "verbose"))[0] == 200
    store = (await checks(world, keeper=keeper))["store"]
    assert store == {
        "ok": False,
        "required": False,
        "detail": "cannot reach redis://***@10.0.0.1:6379/0: refused",
    }


async def test_a_file_that_cannot_be_had_is_told(tmp_path: Path) -> None:
    world = World(archive=str(tmp_path / "absent" / "detour.db"))
    await world.keeper.flush()
    store = (await checks(world))["store"]
    await world.close()
    assert (store["ok"], store["required"]) == (False, False)
    assert "absent" in store["detail"]


async def test_warnings_of_the_configuration_are_told() -> None:
    world = World()
    told = await checks(world, config=msgspec.structs.replace(world.config, warnings=("first", "second")))
    assert told["config"] == {"ok": False, "required": False, "detail": "first; second"}
    told = await checks(world, config=msgspec.structs.replace(world.config, warnings=()))
    assert told["config"] == {"ok": True, "required": False, "detail": "no warnings"}


@pytest.mark.parametrize(("late", "ok"), [(0.0, True), (0.249, True), (0.25, False), (3.0, False)])
async def test_a_late_event_loop_is_told_and_never_makes_it_unready(late: float, ok: bool) -> None:
    world = World()
    world.lag.seen(late, 1.0)
    assert (await readyz(world.admin()))[0] == 200
    loop = (await checks(world))["event_loop"]
    assert loop == {"ok": ok, "required": False, "detail": f"at most {late * 1000:.0f} ms late in the last minute"}


async def test_no_secret_is_told() -> None:
    world = World()
    world.is_draining = True
    _, document = await readyz(world.admin(keeper=world.kept_by(Troubled)), "verbose")
    text = json.dumps(document)
    for secret in (KEY, TOKEN, "canary"):
        assert secret not in text


async def test_without_listeners_told_there_is_no_check_of_them() -> None:
    world = World()
    admin = Admin(
        config=world.config,
        store=world.store,
        keeper=world.keeper,
        registry=world.registry,
        metrics=world.metrics,
        lag=world.lag,
        version="1",
        instance="i",
        draining=lambda: False,
        now=lambda: 0.0,
    )
    status, document = await readyz(admin, "verbose")
    assert status == 200
    assert not any(check["name"].startswith("listener") for check in document["checks"])
