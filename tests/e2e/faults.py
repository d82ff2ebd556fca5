"""Cells of the fault matrix: one caller, and a few targets that go wrong.

Each cell has providers, models and keys of its own, and each of its providers a scripted one of its own, so that
nothing a cell leaves behind (breakers, hold-offs, budgets, connections) meets another. The first target is the one
asked for; the others stand in for it, under other paths, model names and keys. What a cell has to come to is written
down as turns: who was asked how often, in what order, and what the client gets. `tests.e2e.matrix` plays them.
"""

from __future__ import annotations

import contextlib
import re
from typing import Any
from urllib.parse import quote

import msgspec
from msgspec import Struct

from proxy.fake import Conversation, FakeProvider, Seen
from proxy.fake_faults import Act
from tests.e2e.court import closed
from tests.e2e.kinds import KINDS
from tests.e2e.world import PATIENCE

THRESHOLD = 3
"""Consecutive failures that open a breaker here."""
OPEN_FOR = 60.0
MAX_WAIT = 1.2
"""Longest wait for a rate limit here: the first hold-off of a silent 429 fits in, the second does not."""
LETTERS = "abcd"

_PREFIXES = {
    "openai": ("/v1", "/api/openai/v1", "/serving/v1", "/last/v1"),
    "anthropic": ("/v1", "/anthropic/v1"),
    "gemini": ("/v1beta", "/google/v1beta"),
    "fal": ("", ""),
}
_MODELS = ("alpha-{}", "labs/beta-{}-mini", "gamma-{}", "delta-{}-large")
_KEY_FIELDS = {
    "openai": (b"Authorization", b"Bearer %b"),
    "anthropic": (b"x-api-key", b"%b"),
    "gemini": (b"x-goog-api-key", b"%b"),
    "fal": (b"Authorization", b"Key %b"),
    "api-key": (b"api-key", b"%b"),
}
"""By dialect, or by the provider's own `auth`."""
_ON_THE_WAY = frozenset((b"host", b"via", b"connection", b"content-length"))
"""Fields of one leg only, or compared otherwise."""
_SECRET = re.compile(rb"auth|key|token|secret|cookie|^openai-(organization|project)$", re.IGNORECASE)


async def stalled_503(talk: Conversation) -> None:
    """503, and silence in the middle of its body."""
    talk.send(talk.head(503, [(b"content-type", b"application/json")], length=90) + b'{"error":{"message":"')
    await talk.forever()


SCRIPTS: dict[str, Act] = {"stalled-503": stalled_503}
"""What the scripted provider does not know by itself."""


class Place(Struct, frozen=True, kw_only=True):
    """One target of a cell: what its provider does (None: nobody listens), and how an attempt there is judged.

    `like` is a script that sends the same and ends, where `script` does not; `same` puts the target at the provider of
    the place before it; `more` are further settings of the provider (None takes one away); `window` is its configured
    context window.
    """

    script: str | None = "ok"
    result: str = "success"
    message: str = ""
    like: str = ""
    same: bool = False
    window: int | None = None
    more: dict[str, Any] = {}


class Turn(Struct, frozen=True, kw_only=True):
    """One exchange: `saw` are the attempts in their order, by place; `by` is whose answer the client gets, "" for ours.

    `body` is what the client gets: the answer as it came (`theirs`), an answer of ours (`own`), the provider's
    beginning with an error event of ours behind it (`event`, or `begun` when the beginning may be shorter).
    `cause` is why it was answered elsewhere, or refused. `opens` is the scope of the breaker that is open afterwards.
    """

    saw: str
    by: str = ""
    status: int = 200
    body: str = "theirs"
    end: str = "clean"
    says: str = ""
    results: tuple[str, ...] = ()
    cause: str = ""
    opens: str = ""
    wait: tuple[float, float] | None = None
    """Bounds of Retry-After, in seconds."""
    fields: tuple[bytes, ...] = ()
    caller: str = "caller"
    takes: tuple[float, float] = (0.0, PATIENCE)
    """Bounds of how long the client waits, in seconds."""
    opened: bool = False
    """The first place's target is opened by hand before it."""
    state: str = "open"
    """Of the breaker that is named by `opens`."""
    moves: tuple[tuple[str, str, str], ...] = ()
    """Further transitions of the first place's target in this turn: from, to, cause."""
    trips: tuple[tuple[str, str], ...] = ()
    """Breakers of other places that open in it: place and scope."""
    after: float = 0.0
    """Seconds to let pass before it."""


class Cell(Struct, frozen=True, kw_only=True):
    """A kind of request, the targets, and the turns. `grouped` says that the targets are a model group."""

    name: str
    kind: str
    places: tuple[Place, ...]
    turns: tuple[Turn, ...]
    grouped: bool = True
    body: bytes | None = None
    """A body of its own; `@model@` is replaced."""


def but(thing: Any, **changes: Any) -> Any:
    """A Struct with some fields changed."""
    return msgspec.structs.replace(thing, **changes)


class Stage:
    """A cell's names, its scripted providers and its part of the configuration."""

    def __init__(self, cell: Cell, number: int) -> None:
        self.cell = cell
        self.number = number
        self.letters = LETTERS[: len(cell.places)]
        self.kind = KINDS[cell.kind]
        self.fakes: dict[str, FakeProvider] = {}
        self.ports: dict[str, int] = {}
        self.spent: list[str] = []
        """Every attempt so far: place and result."""
        self.open_scope = ""
        """Scope of the first place's breaker that is not closed now."""
        self.longest = OPEN_FOR
        """Seconds for which it is open at most."""

    def place(self, letter: str) -> Place:
        return self.cell.places[LETTERS.index(letter)]

    def home(self, letter: str) -> str:
        """The place whose provider serves a place."""
        index = LETTERS.index(letter)
        while self.cell.places[index].same:
            index -= 1
        return LETTERS[index]

    def provider(self, letter: str) -> str:
        return f"p{self.number}{self.home(letter)}"

    def model(self, letter: str) -> str:
        name = _MODELS[LETTERS.index(letter)].format(self.number)
        return f"fal-ai/{name}" if self.kind.dialect == "fal" else name

    def target(self, letter: str) -> str:
        return f"{self.provider(letter)}/{self.model(letter)}"

    def prefix(self, letter: str) -> str:
        return _PREFIXES[self.kind.dialect][LETTERS.index(self.home(letter))]

    def own_key(self, letter: str) -> str:
        return f"sk-own-{self.number}{self.home(letter)}"

    async def open(self, stack: contextlib.AsyncExitStack, mirror: FakeProvider) -> None:
        """Start the providers that are there at all."""
        for letter in self.letters:
            place = self.place(letter)
            mirror.models[self.model(letter)] = place.like or place.script or "ok"
            if not place.same:
                if place.script is None:
                    self.ports[letter] = stack.enter_context(closed())
                    continue
                fake = self.fakes[letter] = await stack.enter_async_context(FakeProvider())
                fake.scripts.update(SCRIPTS)
                self.ports[letter] = fake.port
            if self.home(letter) in self.fakes:
                self.fakes[self.home(letter)].models[self.model(letter)] = place.script or "ok"

    def settings(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """Providers and model groups of this cell."""
        providers: dict[str, Any] = {}
        for letter in self.letters:
            if not self.place(letter).same:
                entry = {
                    "base_url": f"http://127.0.0.1:{self.ports[letter]}{self.prefix(letter)}",
                    "dialect": self.kind.dialect,
                    "api_key": self.own_key(letter),
                } | self.place(letter).more
                providers[self.provider(letter)] = {key: value for key, value in entry.items() if value is not None}
        targets = [
            {"target": self.target(letter)}
            | ({"context_window": window} if (window := self.place(letter).window) is not None else {})
            for letter in self.letters
        ]
        return providers, {f"group-{self.number}": {"targets": targets}} if self.cell.grouped else {}

    # What is sent, and what each provider has to see of it.

    def path(self, letter: str) -> str:
        """The path a place is asked for."""
        if self.kind.dialect == "fal":
            return f"/{self.model(letter)}"
        own = _PREFIXES[self.kind.dialect][0]
        rest = self.kind.path.partition("?")[0].removeprefix(own)
        return self.prefix(letter) + rest.replace("models/m:", f"models/{quote(self.model(letter), safe='')}:")

    def query(self, caller: str, *, foreign: bool) -> str:
        """The query as sent, or as another provider than the asked one has to see it."""
        items = [self.kind.path.partition("?")[2], "trace=%2Fa%20b+c", "", "empty="]
        key = f"key=sk-{caller}-{self.number}-query"
        return "&".join([*items[:2], *([] if foreign else [key]), *items[2:]]).lstrip("&")

    def body(self, letter: str) -> bytes:
        """The body a place has to see."""
        model = self.model(letter).encode()
        if self.cell.body is not None:
            return self.cell.body.replace(b"@model@", model)
        if self.kind.content_type != b"application/json":
            return self.kind.body.replace(b"\r\n\r\nm\r\n", b"\r\n\r\n%b\r\n" % model, 1)
        # Spaces, escapes, numbers and a nested field of the same name: nothing but the one value may change.
        more = (
            b', "metadata" : {"model": "alpha-%d"},\n "note": "caf\\u00e9 \xc3\xa9 \\/", "top_p":1.0e0 }' % self.number
        )
        return self.kind.body[:-1].replace(b'"model": "m"', b'"model" :\t"%b"' % model) + more

    def fields(self, turn: Turn) -> list[tuple[bytes, bytes]]:
        """The caller's fields but for those of the one leg."""
        secret = f"{turn.caller}-{self.number}".encode()
        name, form = _KEY_FIELDS[self.kind.dialect]
        extra = [(one.partition(b": ")[0], one.partition(b": ")[2]) for one in turn.fields]
        return [
            (b"User-Agent", b"matrix/1"),
            (name, form % (b"sk-" + secret)),
            (b"X-Trace", b"one \xe9"),
            (b"OpenAI-Organization", b"org-" + secret),
            (b"OpenAI-Project", b"proj-" + secret),
            (b"anthropic-version", b"2023-06-01"),
            (b"Cookie", b"session=" + secret),
            (b"X-Team-TOKEN", secret),
            (b"x-my-secret-name", secret),
            (b"X-Upstream-Auth", secret),
            (b"X-Copy", b"the key sk-%b, in a field that is not called so" % secret),
            (b"Content-Type", self.kind.content_type),
            (b"X-Trace", b"two"),
            *extra,
        ]

    def request(self, turn: Turn) -> bytes:
        """The bytes the client sends."""
        body = self.body("a")
        lines = [
            f"POST /{self.provider('a')}{self.path('a')}?{self.query(turn.caller, foreign=False)} HTTP/1.1".encode()
        ]
        lines += [b"Host: localhost", *(name + b": " + value for name, value in self.fields(turn))]
        return b"\r\n".join([*lines, b"Content-Length: %d" % len(body)]) + b"\r\n\r\n" + body

    def check_seen(self, seen: Seen, turn: Turn) -> None:
        """A provider was asked the right question and told no secret that is not its own."""
        letter = self.letter_of(seen)
        assert seen.body == self.body(letter), seen.body[:200]
        foreign = self.home(letter) != "a"
        assert seen.method == "POST"
        query = self.query(turn.caller, foreign=foreign)
        assert seen.target == f"{self.path(letter)}?{query}".encode(), seen.target
        assert seen.all(b"content-length") == [b"%d" % len(seen.body)]
        assert seen.all(b"host") == [b"127.0.0.1:%d" % self.ports[self.home(letter)]]
        assert len(seen.all(b"via")) == 1
        expected = [pair for pair in self.fields(turn) if not pair[0].lower().startswith(b"x-detour-")]
        found = [pair for pair in seen.headers if pair[0].lower() not in _ON_THE_WAY]
        if foreign:
            expected = [pair for pair in expected if not _SECRET.search(pair[0]) and pair[0] != b"X-Copy"]
            name, form = _KEY_FIELDS[self.place(letter).more.get("auth", self.kind.dialect)]
            key = (name.lower(), form % self.own_key(letter).encode())
            secrets = [(one.lower(), value) for one, value in found if _SECRET.search(one)]
            assert secrets == [key], seen.headers
            found = [pair for pair in found if not _SECRET.search(pair[0])]
            assert turn.caller.encode() not in seen.target + b"".join(value for _, value in seen.headers)
        assert found == expected, (found, expected)
        others = [self.own_key(one).encode() for one in self.letters if self.home(one) != self.home(letter)]
        assert not any(other in value for other in others for _, value in seen.headers)

    def seen_at(self, seen: Seen) -> str:
        """The provider that saw this."""
        return next(letter for letter, fake in self.fakes.items() if any(one is seen for one in fake.log))

    def seen(self, since: float) -> list[Seen]:
        """Everything that came to this cell's providers since then, in order."""
        whole = [seen for fake in self.fakes.values() for seen in fake.log if seen.at >= since]
        return sorted(whole, key=lambda seen: seen.at)

    def letter_of(self, seen: Seen) -> str:
        """The place a request came to."""
        home = self.seen_at(seen)
        return next(one for one in self.letters if self.home(one) == home and self.model(one) == seen.model)
