"""The documents that consumers of the original cache read, by their keys (docs/health-api.md, "In Redis")."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from healthapi import views
from healthapi.views.sources import Sources

MODELS: Final = 500
"""Most rows of `health:models`, the most recent first."""


def documents(sources: Sources) -> dict[str, bytes]:
    """All of them, as JSON."""
    made: dict[str, Any] = {
        "health:system": views.system(sources),
        "health:providers": {"providers": views.provider_rows(sources).providers},
        "health:models": {"models": views.model_rows(sources).models[:MODELS]},
        "health:gateways": views.gateways(sources).data,
    }
    return {name: msgspec.json.encode(document) for name, document in made.items()}
