"""From a request's target to a provider and what it is asked (proxy-rules 10 and 11).

The first path segment names the provider; everything after it goes upstream byte for byte. Only configured providers
can be reached: an absolute-form target's authority is ignored, and nothing in a path selects another host.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from config.effective import Provider
from proxy.errors import Refusal
from proxy.mask import mask

if TYPE_CHECKING:
    from config.effective import Config

_ABSOLUTE: Final = re.compile(r"https?://(?![/?])[^/?#]*", re.IGNORECASE)
_FORBIDDEN: Final = re.compile(r"[\x00-\x20\x7f#]")
SHOWN: Final = 64
"""Characters of an unknown provider's name that an answer repeats."""


@dataclass(frozen=True)
class Route:
    """Where a request goes.

    `target` is what is asked there, query included and as it came; `path` is its path.
    """

    provider: Provider
    target: bytes
    path: str


def route(target: str, config: Config) -> Route | Refusal:
    """Find the provider that `target` names.

    `target` is the raw request-target, decoded as UTF-8 with surrogates for what is not.
    """
    if _FORBIDDEN.search(target):
        return Refusal(400, "invalid_request_error", "the target has a fragment, a space or a control character")
    if not target.startswith("/"):
        absolute = _ABSOLUTE.match(target)
        if absolute is None:
            return Refusal(400, "invalid_request_error", "the target is not a path")
        target = target[absolute.end() :]
        if not target.startswith("/"):
            target = "/" + target
    path, mark, query = target[1:].partition("?")
    name, _, rest = path.partition("/")
    provider = config.provider(name)
    if provider is None:
        return _unknown(name, config)
    if provider.missing_variables:
        return _incomplete(provider)
    path = "/" + rest
    return Route(provider, f"{path}{mark}{query}".encode("utf-8", "surrogateescape"), path)


def _unknown(name: str, config: Config) -> Refusal:
    if not name:
        message = "the path must begin with a provider's name, as in /openai/v1/chat/completions"
        return Refusal(404, "unknown_provider", message)
    shown = name if len(name) <= SHOWN else name[:SHOWN] + "…"
    message = f"no provider is called {mask(shown)!a}"
    near = config.similar(name)
    if near:
        message += f"; did you mean {' or '.join(near)}?"
    else:
        message += ": the path must begin with a provider's name, as in /openai/v1/chat/completions"
    return Refusal(404, "unknown_provider", message)


def _incomplete(provider: Provider) -> Refusal:
    names = " and ".join(provider.missing_variables)
    message = f"the address of provider {provider.name} needs {names} in Detour's environment, and it is not set there"
    return Refusal(503, "provider_incomplete", message, (("x-should-retry", "false"),))
