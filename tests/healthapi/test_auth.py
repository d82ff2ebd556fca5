from __future__ import annotations

import pytest

from config.secret import Secret
from healthapi.auth import Access, Door
from healthapi.errors import Problem

TOKEN = Secret("s3cret-token")
RIGHT = b"Bearer s3cret-token"

NEEDED = {  # access: on loopback, elsewhere, elsewhere with metrics open, elsewhere with health open
    Access.OPEN: (False, False, False, False),
    Access.METRICS: (False, True, False, True),
    Access.HEALTH: (False, True, True, False),
    Access.READ: (False, True, True, True),
    Access.WRITE: (True, True, True, True),
}


@pytest.mark.parametrize("access", list(Access))
def test_who_needs_the_token(access: Access) -> None:
    doors = (
        Door(TOKEN, True, frozenset()),
        Door(TOKEN, False, frozenset()),
        Door(TOKEN, False, frozenset({"metrics"})),
        Door(TOKEN, False, frozenset({"health"})),
    )
    assert tuple(door.needs_token(access) for door in doors) == NEEDED[access]


@pytest.mark.parametrize("word", ["read", "write", "open"])
def test_admin_open_opens_nothing_but_what_it_may(word: str) -> None:
    door = Door(TOKEN, False, frozenset({word}))
    assert door.needs_token(Access.READ)
    assert door.needs_token(Access.WRITE)


@pytest.mark.parametrize("field", [RIGHT, b"bearer s3cret-token", b"BEARER   s3cret-token  ", b" Bearer s3cret-token"])
def test_the_right_token_opens(field: bytes) -> None:
    Door(TOKEN, False, frozenset()).check(Access.WRITE, [field])


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ([], "token_missing"),
        ([b""], "token_wrong"),
        ([b"Bearer"], "token_wrong"),
        ([b"Bearer "], "token_wrong"),
        ([b"Bearer s3cret-toke"], "token_wrong"),
        ([b"Bearer s3cret-token1"], "token_wrong"),
        ([b"Bearer S3CRET-TOKEN"], "token_wrong"),
        ([b"Basic s3cret-token"], "token_wrong"),
        ([b"s3cret-token"], "token_wrong"),
        ([b"Bearer\ts3cret-token"], "token_wrong"),
        ([b"Bearer \xff\xfe"], "token_wrong"),
        ([b"Bearer ***"], "token_wrong"),
        ([RIGHT, RIGHT], "token_wrong"),
        ([RIGHT, b"Bearer other"], "token_wrong"),
    ],
)
def test_anything_else_is_401_with_a_challenge(fields: list[bytes], code: str) -> None:
    with pytest.raises(Problem) as caught:
        Door(TOKEN, False, frozenset()).check(Access.READ, fields)
    assert (caught.value.status, caught.value.code) == (401, code)
    assert caught.value.headers == (("WWW-Authenticate", 'Bearer realm="detour"'),)
    assert "s3cret" not in caught.value.message


@pytest.mark.parametrize("loopback", [True, False])
@pytest.mark.parametrize("fields", [[], [RIGHT], [b"Bearer "]])
def test_without_a_configured_token_it_is_403_and_says_what_to_set(loopback: bool, fields: list[bytes]) -> None:
    with pytest.raises(Problem, match=r"admin\.token") as caught:
        Door(None, loopback, frozenset()).check(Access.WRITE, fields)
    assert (caught.value.status, caught.value.code) == (403, "token_not_configured")


def test_what_needs_no_token_does_not_look_at_one() -> None:
    Door(TOKEN, True, frozenset()).check(Access.READ, [b"Bearer wrong"])
    Door(None, False, frozenset()).check(Access.OPEN, [])


def test_the_comparison_is_the_secrets_own_which_takes_constant_time(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[object] = []
    matches = Secret.matches

    def spy(self: Secret, candidate: str | bytes) -> bool:
        seen.append(candidate)
        return matches(self, candidate)

    monkeypatch.setattr(Secret, "matches", spy)
    Door(TOKEN, False, frozenset()).check(Access.READ, [RIGHT])
    assert seen == [b"s3cret-token"]


STRANGE = "clé-\u0430-😀"


@pytest.mark.parametrize(
    ("sent", "right"),
    [
        (STRANGE.encode(), True),
        (STRANGE.encode("utf-16"), False),
        ("clé-".encode("latin-1"), False),
        ("clé-a-😀".encode(), False),
        (STRANGE.encode("ascii", "replace"), False),
        (STRANGE.encode()[:-1], False),
    ],
)
def test_a_token_of_any_characters_is_compared_as_bytes(sent: bytes, right: bool) -> None:
    """The configuration takes visible ASCII alone; what decides here raises for nothing else either."""
    door = Door(Secret(STRANGE), False, frozenset())
    if right:
        door.check(Access.WRITE, [b"Bearer " + sent])
        return
    with pytest.raises(Problem) as caught:
        door.check(Access.WRITE, [b"Bearer " + sent])
    assert caught.value.code == "token_wrong"
