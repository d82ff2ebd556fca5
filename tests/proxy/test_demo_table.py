from __future__ import annotations

from typing import Any

import pytest

from proxy.demo_table import Said, breaker, elsewhere, introduction, printable, table

SYSTEM = {"overall_status": "degraded", "healthy_models": 1, "degraded_models": 0, "unhealthy_models": 1}
SHOWS = {("steady", "m"): "answers", ("flaky", "m"): "every 4th: 503", ("unseen", "m"): "nothing yet"}


def record(provider: str, **more: Any) -> dict[str, Any]:
    fixed = {"provider": provider, "model": "m", "call_count": 10, "success_count": 9, "last_error_message": None}
    return {**fixed, "p50_first_byte_ms": None, "average_response_time_ms": 12.4, **more}


def row(provider: str, model: str | None, state: str, wait: float | None = None, held: float = 0.0) -> dict[str, Any]:
    given = {"provider": provider, "model": model, "state": state}
    return {**given, "seconds_until_retry": wait, "hold_off_seconds": held}


def test_lines_stand_in_the_order_of_the_demo() -> None:
    records = [record("stranger"), record("flaky", last_error_message="503: no\x1b[2J\nroom"), record("steady")]
    live = {("steady", "m"): "healthy", ("flaky", "m"): "unhealthy"}
    breakers = {"flaky/m": row("flaky", "m", "open", wait=7.2)}
    lines = table(Said(SYSTEM, records, live, breakers, {("flaky", "m"): 12}), SHOWS)
    assert lines[0] == "system: degraded (1 healthy, 0 degraded, 1 unhealthy models)"
    assert lines[1].split()[:2] == ["provider", "model"]
    assert [line.split()[0] for line in lines[2:]] == ["steady", "flaky", "stranger"]
    assert lines[2].split() == ["steady", "m", "answers", "10", "9", "healthy", "closed", "-", "12", "ms"]
    assert lines[3].split()[7:12] == ["unhealthy", "open", "7", "s", "12"]
    assert lines[3].endswith("503: no?[2J?room")
    assert " unknown " in lines[4]


def test_no_line_is_wider_than_the_terminal() -> None:
    lines = table(Said(SYSTEM, [record("flaky", last_error_message="x" * 500)]), SHOWS, width=60)
    assert max(map(len, lines)) == 60


def test_long_cells_are_cut() -> None:
    [line] = table(Said(SYSTEM, [record("a" * 50, call_count=7)]), {})[2:]
    assert line.startswith("a" * 9 + "…  m")


@pytest.mark.parametrize(
    ("status", "colour"), [("healthy", 32), ("degraded", 33), ("unhealthy", 31), ("unknown", None)]
)
def test_colours(status: str, colour: int | None) -> None:
    [line] = table(Said(SYSTEM, [record("steady")], {("steady", "m"): status}), SHOWS, colours=True)[2:]
    assert (f"\x1b[{colour}m{status}\x1b[0m" in line) is (colour is not None)


def test_without_data() -> None:
    assert len(table(Said(), SHOWS)) == 2


def test_nothing_acts_on_the_terminal() -> None:
    assert printable("a\x1b\x07\u202eb\u00e9") == "a???bé"


def test_the_introduction_names_the_urls() -> None:
    text = introduction("http://127.0.0.1:1", "http://127.0.0.1:2", 11)
    assert "http://127.0.0.1:2/v1/model-health\n" in text
    assert "http://127.0.0.1:1/steady/v1/chat/completions\n" in text
    assert "http://127.0.0.1:2/circuit-breakers " in text


@pytest.mark.parametrize(
    ("rows", "shown"),
    [
        ([], "closed"),
        ([row("p", None, "closed"), row("p", "m", "closed")], "closed"),
        ([row("p", None, "closed"), row("p", "m", "open", 3.6)], "open 4 s"),
        ([row("p", None, "half_open"), row("p", "m", "closed")], "half-open"),
        ([row("p", "m", "half_open", 0.0), row("p", None, "open", 2.0), row("p", "m", "open", 9.0)], "open 9 s"),
        ([row("p", "m", "open", 0.0, held=5.0)], "open 0 s"),
        ([row("p", "m", "closed", held=2.4), row("p", "m", "closed", held=0.3)], "held 2 s"),
        ([row("p", "other", "open", 9.0), row("q", "m", "open", 9.0), row("q", None, "open", 9.0)], "closed"),
    ],
)
def test_the_worst_breaker_is_shown(rows: list[dict[str, Any]], shown: str) -> None:
    assert breaker(("p", "m"), {str(number): found for number, found in enumerate(rows)}) == shown


def test_what_went_elsewhere_is_added_up() -> None:
    labels = 'from_provider="p",from_model="{}",to_provider="q",to_model="m",cause="{}"'
    lines = ["# HELP detour_reroutes Moved.", "# TYPE detour_reroutes_total counter"]
    counts = (("m", "open", 3), ("m", "error", 4), ("n", "open", 1))
    lines += [f"detour_reroutes_total{{{labels.format(model, cause)}}} {n}.0" for model, cause, n in counts]
    lines += ["# TYPE detour_in_flight_requests gauge", "detour_in_flight_requests 2.0", ""]
    assert elsewhere("\n".join(lines)) == {("p", "m"): 7, ("p", "n"): 1}
    assert elsewhere("") == {}
