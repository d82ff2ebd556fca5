from __future__ import annotations

import msgspec
import pytest

from breaker.outcome import NO_MODEL, Blame, Status
from healthapi import views
from healthapi.views.breakers import BreakerRow
from tests.healthapi.admin_world import LOOPBACK, World

MODEL = "llama-3.3-70b-versatile"
KEY = "1a2b3c4d5e6f7a8b9c"
FIELDS = (
    "provider model scope credential mode state failure_count success_count failure_rate recent_requests "
    "consecutive_failures opened_at seconds_until_retry reason cause generation trials_out manual hold_off_seconds"
)
OBSERVE = LOOPBACK + "breakers: {mode: observe}\n"
OFF = LOOPBACK + "breakers: {mode: 'off'}\n"


def row(world: World, provider: str = "groq", model: str | None = MODEL) -> BreakerRow:
    found = views.breaker_row(world.admin().local(), provider, model)
    assert found is not None
    return found


def failing(world: World, times: int, model: str = MODEL, message: str = "503 overloaded") -> None:
    for _ in range(times):
        world.attempt("groq", model, Status.ERROR, message=message)


def refused(world: World, times: int = 5, blame: Blame = Blame.PROVIDER_CREDENTIAL, key: str = KEY) -> None:
    for _ in range(times):
        world.attempt("groq", MODEL, Status.ERROR, key, blame=blame, http_status=401, message="401: bad key")


def test_the_fields() -> None:
    assert " ".join(BreakerRow.__struct_fields__) == FIELDS


def test_a_closed_breaker() -> None:
    world = World()
    world.attempt("groq", MODEL)
    failing(world, 3)
    assert row(world) == BreakerRow(
        provider="groq",
        model=MODEL,
        scope="target",
        credential=None,
        mode="enforce",
        state="closed",
        failure_count=3,
        success_count=1,
        failure_rate=0.75,
        recent_requests=4,
        consecutive_failures=3,
    )


def test_an_open_breaker() -> None:
    world = World()
    failing(world, 5)
    world.now += 12.5
    assert row(world) == BreakerRow(
        provider="groq",
        model=MODEL,
        scope="target",
        credential=None,
        mode="enforce",
        state="open",
        opened_at="2026-01-01T00:00:00.000Z",
        seconds_until_retry=47.5,
        reason="5 failures in a row, last: 503 overloaded",
        cause="consecutive",
        generation=1,
    )


def test_opened_at_stays_while_time_goes_by() -> None:
    world = World()
    world.now += 0.1234
    failing(world, 5)
    seen = set()
    for _ in range(50):
        world.now += 0.7
        seen.add(row(world).opened_at)
    assert seen == {"2026-01-01T00:00:00.123Z"}


def test_a_half_open_breaker() -> None:
    world = World()
    failing(world, 5)
    world.now += 61
    assert (row(world).state, row(world).seconds_until_retry) == ("open", 0.0)  # looking moves nothing
    assert world.registry.admit("groq", MODEL, world.monotonic, lease=10.0)
    half_open = row(world)
    assert (half_open.state, half_open.trials_out, half_open.seconds_until_retry) == ("half_open", 1, 0.0)
    assert half_open.opened_at == "2026-01-01T00:00:00.000Z"


def test_a_breaker_that_was_opened_by_hand() -> None:
    world = World()
    world.registry.open("groq", None, world.monotonic, 90.0)
    found = row(world, model=None)
    assert (found.scope, found.model, found.manual, found.cause) == ("provider", None, True, "manual")
    assert (found.state, found.seconds_until_retry) == ("open", 90.0)


@pytest.mark.parametrize(("config", "mode"), [(LOOPBACK, "enforce"), (OBSERVE, "observe"), (OFF, "off")])
def test_what_was_not_attempted_yet_is_closed_in_its_mode(config: str, mode: str) -> None:
    world = World(config)
    assert row(world) == BreakerRow(
        provider="groq", model=MODEL, scope="target", credential=None, mode=mode, state="closed"
    )
    assert row(world, "openrouter", None).mode == mode


def test_a_429_holds_off_and_is_no_failure() -> None:
    world = World()
    world.attempt("groq", MODEL, Status.RATE_LIMITED, KEY, blame=Blame.TARGET_CREDENTIAL, retry_after=20.0)
    world.attempt("groq", MODEL, Status.RATE_LIMITED, "other", blame=Blame.TARGET_CREDENTIAL, retry_after=5.0)
    world.now += 2
    assert (row(world).hold_off_seconds, row(world).state) == (18.0, "closed")
    assert row(world, model=None).hold_off_seconds == 0.0
    world.now += 20
    assert row(world).hold_off_seconds == 0.0


def test_the_list_has_all_scopes_by_name() -> None:
    world = World()
    refused(world)
    refused(world, blame=Blame.TARGET_CREDENTIAL)
    world.attempt("groq", MODEL, Status.RATE_LIMITED, KEY, blame=Blame.TARGET_CREDENTIAL, retry_after=20.0)
    world.attempt("openrouter", "meta-llama/llama:free")
    document = views.breaker_list(world.admin().local())
    assert set(document.circuit_breakers) == {
        "groq",
        f"groq/{MODEL}",
        "groq#key:1a2b3c4d",
        f"groq/{MODEL}#key:1a2b3c4d",
        "openrouter",
        "openrouter/meta-llama/llama:free",
    }
    assert (document.total_count, document.open_count, document.half_open_count, document.closed_count) == (6, 2, 0, 4)
    of_key = document.circuit_breakers[f"groq/{MODEL}#key:1a2b3c4d"]
    assert (of_key.scope, of_key.credential, of_key.hold_off_seconds) == ("credential", "1a2b3c4d", 20.0)
    assert document.circuit_breakers["groq#key:1a2b3c4d"].model is None
    assert KEY.encode() not in msgspec.json.encode(document)


def test_the_list_of_one_provider_has_its_own_first() -> None:
    world = World()
    refused(world)
    failing(world, 1, "other")
    world.attempt("openrouter", "m")
    document = views.provider_breakers(world.admin().local(), "groq")
    assert document is not None
    assert list(document.circuit_breakers) == ["groq", f"groq/{MODEL}", "groq/other", "groq#key:1a2b3c4d"]
    assert (document.total_count, document.open_count) == (4, 1)


def test_a_provider_that_was_not_called_yet_has_one_closed_breaker() -> None:
    document = views.provider_breakers(World().admin().local(), "openrouter")
    assert document is not None
    assert list(document.circuit_breakers) == ["openrouter"]
    assert (document.total_count, document.closed_count) == (1, 1)


def test_aliases_are_their_providers() -> None:
    world = World("providers: {alibaba: {}}")
    world.attempt("alibaba", "qwen")
    sources = world.admin().local()
    document = views.provider_breakers(sources, "alibaba-cloud")
    assert document is not None
    assert list(document.circuit_breakers) == ["alibaba", "alibaba/qwen"]
    assert row(world, "alibaba-cloud", "qwen").provider == "alibaba"


def test_names_that_look_alike_hide_nothing() -> None:
    world = World()
    refused(world, 1)
    refused(world, 1, key="1a2b3c4d-another")
    world.attempt("groq", "m#key:1a2b3c4d")
    refused(world, 1, Blame.TARGET_CREDENTIAL)
    world.attempt("groq", f"{MODEL}#key:1a2b3c4d")
    for last in "\udc80", "\udc81", "\udc82":
        world.attempt("groq", f"no-utf8-{last}")
    document = views.breaker_list(world.admin().local())
    assert len(document.circuit_breakers) == document.total_count == len(list(world.registry.breakers())) == 10
    assert msgspec.json.encode(document)


def test_a_hostile_reason_is_text() -> None:
    world = World()
    failing(world, 5, message='"}\r\ndata: x\n\n<script>\udcff\x00')
    told = msgspec.json.encode(row(world))
    assert b"\n" not in told
    assert msgspec.json.decode(told)["reason"].endswith('"}\r\ndata: x\n\n<script>?\x00')


@pytest.mark.parametrize("model", [None, "m", NO_MODEL])
def test_unknown_names_have_none_and_get_none(model: str | None) -> None:
    world = World()
    sources = world.admin().local()
    assert views.breaker_row(sources, "grok", model) is None
    assert views.provider_breakers(sources, "grok") is None
    assert views.breaker_row(sources, "groq", "never-called") is None


def test_a_read_creates_no_breaker() -> None:
    world = World()
    sources = world.admin().local()
    for model in (None, MODEL, "never-called", NO_MODEL, "~other"):
        for provider in ("groq", "openrouter", "grok"):
            views.breaker_row(sources, provider, model)
            views.provider_breakers(sources, provider)
    views.breaker_list(sources)
    assert list(world.registry.breakers()) == []
    assert not world.registry.budgets()
    assert len(world.registry) == 0


# What open breakers mean to the rest


def statuses(world: World) -> tuple[str, str, str, str]:
    sources = world.admin().local()
    return (
        views.model_rows(sources).data[0].status,
        views.provider_rows(sources).data[0].status,
        views.gateways(sources).data["groq"].status,
        views.system(sources).overall_status,
    )


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        (LOOPBACK, ("unhealthy", "offline", "unhealthy", "unhealthy")),
        (OBSERVE, ("healthy", "online", "healthy", "healthy")),
        (OFF, ("healthy", "online", "healthy", "healthy")),
    ],
)
def test_an_open_target_is_unhealthy_where_it_blocks(config: str, expected: tuple[str, ...]) -> None:
    world = World(config)
    for _ in range(100):
        world.attempt("groq", MODEL)
    world.registry.open("groq", MODEL, world.monotonic, 60.0)
    assert statuses(world) == expected
    sources = world.admin().local()
    record = views.model_health(sources, "groq", MODEL)
    assert record is not None
    assert (record.circuit_breaker_state, record.circuit_breaker_reason) == ("open", "opened by hand for 60 s")
    (model,) = views.model_rows(sources).data
    assert (model.circuit_breaker_state, model.circuit_breaker_reason) == ("open", "opened by hand for 60 s")
    (provider,) = views.provider_rows(sources).data
    assert (provider.circuit_breaker_state, provider.circuit_breaker_reason) == ("closed", None)


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        (LOOPBACK, ("healthy", "offline", "unhealthy", "unhealthy")),
        (OBSERVE, ("healthy", "online", "healthy", "healthy")),
    ],
)
def test_an_open_provider_is_offline_where_it_blocks(config: str, expected: tuple[str, ...]) -> None:
    world = World(config)
    for _ in range(100):
        world.attempt("groq", MODEL)
    world.registry.open("groq", None, world.monotonic, 60.0)
    assert statuses(world) == expected
    (provider,) = views.provider_rows(world.admin().local()).data
    assert (provider.circuit_breaker_state, provider.circuit_breaker_reason) == ("open", "opened by hand for 60 s")


def test_an_open_provider_without_records_is_no_available_gateway() -> None:
    world = World()
    world.registry.open("groq", None, world.monotonic, 60.0)
    gateway = views.gateways(world.admin().local()).data["groq"]
    assert (gateway.status, gateway.available) == ("unhealthy", False)


def test_an_open_breaker_of_a_key_makes_nobody_else_look_ill() -> None:
    world = World()
    for _ in range(100):
        world.attempt("groq", MODEL)
    refused(world)
    assert statuses(world)[:2] == ("healthy", "online")


def test_half_open_and_closed_again_are_judged_by_what_was_seen() -> None:
    world = World()
    for _ in range(1000):
        world.attempt("groq", MODEL)
    failing(world, 5)
    assert statuses(world)[0] == "unhealthy"
    world.now += 61
    for _ in range(2):
        permit = world.registry.admit("groq", MODEL, world.monotonic)
        assert views.model_rows(world.admin().local()).data[0].circuit_breaker_state == "half_open"
        assert statuses(world)[0] == "healthy"
        permit.cancel()  # type: ignore[union-attr]
    world.registry.reset("groq", MODEL, world.monotonic)
    assert views.model_rows(world.admin().local()).data[0].circuit_breaker_reason is None
