"""Field names told apart."""

from __future__ import annotations

from proxy.names import LONGEST, MOST, Names


def test_special_names_are_found_in_any_case() -> None:
    names = Names((b"host",))
    assert [names[name] for name in (b"host", b"HOST", b"Host", b"Hosts", b"")] == [b"host", b"host", b"host", b"", b""]
    assert names[b"X-Detour-Token"] == b"x-detour-token"
    assert names[b"X-Detour"] == b""


def test_what_is_remembered_is_right_the_second_time() -> None:
    names = Names((b"host",))
    for _ in range(2):
        assert names[b"Host"] == b"host"
        assert names[b"Accept"] == b""


def test_hostile_names_take_no_memory() -> None:
    names = Names((b"host",))
    for number in range(3 * MOST):
        assert names[b"x-%d" % number] == b""
        assert len(names) <= MOST
    before = len(names)
    assert names[b"x" * (LONGEST + 1)] == b""
    assert len(names) == before
    assert names[b"HOST"] == b"host"
