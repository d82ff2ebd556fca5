"""Where an exchange goes."""

from __future__ import annotations

from config.load import load_text
from proxy.paths import CHAT
from proxy.peek import peek
from proxy.plan import Step, plan
from proxy.route import Route, route

CONFIG = load_text("providers: {openai: {timeouts: {idle: 7s}}}\n", {})


def test_to_what_was_asked_for_and_nowhere_else() -> None:
    found = route("/openai/v1/chat/completions", CONFIG)
    assert isinstance(found, Route)
    seen = peek(CHAT, found.path, b"application/json", b'{"model": "m"}')
    (step,) = plan(found, seen, CONFIG)
    assert step == Step(found.provider, "m", CONFIG.timeouts("openai", "m"))
    assert step.timeouts.idle == 7.0
