"""What a provider's answer to a free question says of a model, and what any answer says it cost. Pure; never raises."""

from __future__ import annotations

from typing import Any, Final

from proxy import listing
from proxy.inband import InBandError, parse
from proxy.probe import Asks

UNLISTED: Final = InBandError(
    404, "model_not_found", "the provider's list of models does not name it", frozenset({"model_not_found"})
)
UNREADABLE: Final = InBandError(400, "unreadable_list", "the provider's list of models cannot be read")


def lacks(asks: Asks, model: str, body: bytes, dialect: str) -> InBandError | None:
    """What a complete 2xx answer to a question about `model` lacks, as the error it amounts to; None for nothing."""
    if asks is not Asks.LIST:
        return None
    page = listing.read(body, dialect)
    if not page.names:
        return UNREADABLE
    known = model in page.names or model.partition(":")[0] in page.names
    if known:
        return None
    return UNREADABLE if page.more else UNLISTED  # it may stand on another page


def spent(body: bytes) -> int | None:
    """The tokens that a generation's answer says it took, None where it does not say."""
    document = parse(body) if b"usage" in body else None
    usage = document.get("usage") or document.get("usageMetadata") if isinstance(document, dict) else None
    if not isinstance(usage, dict):
        return None
    whole = _count(usage, "total_tokens", "totalTokenCount")
    if whole is not None:
        return whole
    parts = [_count(usage, "input_tokens", "prompt_tokens"), _count(usage, "output_tokens", "completion_tokens")]
    known = [part for part in parts if part is not None]
    return sum(known) if known else None


def _count(usage: dict[str, Any], *names: str) -> int | None:
    for name in names:
        value = usage.get(name)
        if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
            return value
    return None
