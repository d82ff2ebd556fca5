"""A fleet of three on Redis under a morning of simulated traffic: probes are exactly those that the rules say.

Four hours with an outage, caps that are reached, a midnight, a pace of different models, targets that are called by
users and the death of the sidecar whose duty it is, on a moved clock. What was sent when, and what became of all the
rest, is compared with rules that are written from the documentation alone (`morning_rules`).
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator

import pytest

from config.load import load_text
from proxy.rounds import share
from tests.proxy.morning import move_redis, town
from tests.proxy.morning_rules import DAY, Call, Caps, Fate, Key, Rules, Target
from tests.redis_server import RedisServer, redis_server

pytestmark = pytest.mark.timeout(120)

MIDNIGHT = 1_790_000_000 // DAY * DAY
START = MIDNIGHT - 2 * 3600
END = MIDNIGHT + 2 * 3600
HOUR = 3600
DIES = START + 5400
LEASE = 8
WITHIN = 15
"""Seconds in which another one takes over."""

ILL = {"groq": (START + 1000, START + 3400)}
"""Between when all of a provider's models fail."""

CAPS = {"": Caps(400, 100_000), "openai": Caps(40, 100_000), "mistral": Caps(100_000, 220)}
PACES = {"openrouter": 4}
TARGETS = [
    *(Target("groq", f"c{n}", "critical") for n in range(4)),
    *(Target("groq", f"p{n}", "popular") for n in range(3)),
    *(Target("openai", f"c{n}", "critical") for n in range(6)),
    *(Target("openai", f"s{n}", "standard") for n in range(4)),
    *(Target("openai", f"dall-e-{n}", "popular", free=True) for n in range(3)),
    *(Target("mistral", f"p{n}", "popular", 600) for n in range(3)),
    *(Target("mistral", f"o{n}", "on_demand") for n in range(2)),
    *(Target("openrouter", f"vendor/c{n}:free", "critical") for n in range(9)),
    *(Target("openrouter", f"vendor/\u00e9 {n}", "standard") for n in range(4)),
    *(Target("xai", f"t{n}") for n in range(16)),
    Target("xai", "off", "critical", probed=False),
    Target("gemini", "keyless", "critical", probed=False),
    Target("deepseek", "quiet", "critical", probed=False),
    Target("cerebras", "refuses", "critical"),
    Target("cerebras", "limits", "critical"),
    Target("cerebras", "mistakes", "critical"),
]
FREE = {target.key for target in TARGETS if target.free}
ANSWERS = {
    "refuses": Fate("error", tokens=0),
    "limits": Fate("rate_limited", tokens=0),
    "mistakes": Fate("caller_error", tokens=0),
}


def configuration(store: str, pause: int) -> str:
    """The file of the fleet."""
    keyed = ["groq", "openrouter", "xai", "cerebras"]
    lines = [
        f'store: "{store}"',
        "redis: {timeout: 5s}",
        f"probes: {{pause: {pause}s, daily_cap: {{requests: {CAPS[''].requests}, tokens: {CAPS[''].tokens}}}}}",
        "breakers: {failure_threshold: 100000, failure_rate: 1, min_requests: 1000000}",
        "providers:",
        *(f"  {name}: {{api_key: k}}" for name in keyed),
        *(
            f"  {name}: {{api_key: k, probes: {{daily_cap: {{requests: {cap.requests}, tokens: {cap.tokens}}}}}}}"
            for name, cap in CAPS.items()
            if name
        ),
        "  gemini: {}",
        "  deepseek: {api_key: k, probes: {enabled: false}}",
        "models:",
    ]
    for number, target in enumerate(TARGETS):
        probe = [f"interval: {target.interval}s"] if target.interval else []
        probe += ["enabled: false"] if target.model == "off" else []
        entry = f'target: "{target.provider}/{target.model}", probe: {{{", ".join(probe)}}}'
        tier = f"tier: {target.tier}, " if target.tier else ""
        lines.append(f"  g{number}: {{{tier}targets: [{{{entry}}}]}}")
    return "\n".join(lines)


def fate(key: Key, now: int) -> Fate:
    """What becomes of a probe."""
    begin, end = ILL.get(key[0], (0, 0))
    if begin <= now < end:
        return Fate("error", blamed=True, tokens=5)
    found = ANSWERS.get(key[1], Fate())
    return found._replace(tokens=0) if key in FREE else found


def traffic(seed: int) -> list[Call]:
    """Users' calls: a few targets all the time, others now and then, some at times, and one that no file names."""
    dice = random.Random(seed)
    calls = []

    def add(at: int, key: Key, what: Fate = Fate()) -> None:  # noqa: B008 - nothing that changes
        calls.append(Call(at, key, what, dice.randrange(3)))

    for second in range(START + 7, END, 97):
        add(second, ("groq", "c0"), fate(("groq", "c0"), second))
        add(second + 3, ("xai", "t0"))
    for _ in range(60):
        add(dice.randrange(START, END), ("openai", f"c{dice.randrange(6)}"))
        add(dice.randrange(START, END), ("openrouter", f"vendor/c{dice.randrange(9)}:free"))
        add(dice.randrange(START, END), ("xai", f"t{int(dice.paretovariate(1)) % 16}"))
    for second in range(START + 2000, START + 2600, 20):  # enough for a status of its own; the last ones are well
        what = Fate("timeout", blamed=True) if second < START + 2500 else Fate()
        add(second, ("openai", "s0"), what)
    for second in range(START + 4000, START + 5000, 250):
        add(second, ("cerebras", "found"))
        add(second, ("cerebras", "typo"), Fate("error"))
    return sorted(calls)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with redis_server(tmp_path_factory.mktemp("redis")) as found:
        yield found


@pytest.mark.parametrize(("seed", "pause"), [(1, 30), (2, 17)])
async def test_a_morning(server: RedisServer, seed: int, pause: int, monkeypatch: pytest.MonkeyPatch) -> None:
    server.command("FLUSHALL")
    move_redis(monkeypatch)
    config = load_text(configuration(f"redis://{server.address}", pause), {})
    rules = Rules(TARGETS, CAPS, PACES, fate, share, START, pause)
    calls = traffic(seed)
    over = 0
    async with town(server, config, START, fate) as fleet:
        look_at = round_ended = START
        for now in range(START, END):
            fleet.move(now)
            while calls and calls[0].at <= now:
                call = calls.pop(0)
                rules.call(call)
                await next(p for p in fleet.posts[call.sidecar :] + fleet.posts if p.alive).call(call.key, call.fate)
            if now % HOUR == 0 and now > START:
                rules.count(now)
                await fleet.refresh()
            if over == now:
                fleet.expire()
                rules.began(now)
            if over and now < over:
                continue
            # Looks come when the sidecar says, and whenever what is counted by the minute may be counted anew.
            if now >= look_at or over == now or (now % 60 == 0 and now >= round_ended):
                sent, asked = len(fleet.sent), sum(fleet.results().values())
                look_at = await fleet.look(dies=not over and now >= DIES)
                if not all(post.alive for post in fleet.posts) and not over:
                    over = now + LEASE
                if len(fleet.sent) > sent or sum(fleet.results().values()) > asked:
                    round_ended = now + pause
            died = over == now + LEASE
            rules.second(now, dies=died)
            assert [(at, key) for at, key, _ in fleet.sent[-20:]] == rules.sent[-20:], now - START
        await fleet.renew()
        await fleet.refresh()
        assert [(at, key) for at, key, _ in fleet.sent] == rules.sent
        assert fleet.results() == rules.results
        told = fleet.holder.probing.spend
        for name in ("", "groq", "openai", "mistral", "openrouter", "xai", "cerebras"):
            assert [told.sum(name).requests, told.sum(name).tokens] == rules.spent[MIDNIGHT // DAY, name], name
        assert next(name for at, _, name in fleet.sent if at >= over) != fleet.sent[0][2]
    assert over - DIES <= WITHIN + 60, "the next round after it was to die, and the lease"
    happened = Counter(result for _, result in rules.results.elements())
    assert min(happened[what] for what in ("success", "error", "rate_limited", "caller_error", "capped", "claimed")) > 0
    for key in (("groq", "c0"), ("xai", "t0")):
        assert not [at for at, sent in rules.sent if sent == key and at > START + 60], "traffic stood for its probes"
    minutes = [
        len({key for at, key in rules.sent if key[0] == "openrouter" and m <= at < m + 60})
        for m in range(START, END, 30)
    ]
    assert max(minutes) == PACES["openrouter"]
    days = [
        sum(at // DAY == day and key[0] == "openai" for at, key in rules.sent) for day in (START // DAY, END // DAY)
    ]
    assert max(days) <= CAPS["openai"].requests
