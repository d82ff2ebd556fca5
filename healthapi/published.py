"""The documents that consumers of the original cache read, by their keys (docs/health-api.md, "In Redis")."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from healthapi import views
from healthapi.turns import turns
from healthapi.views.rows import model_row
from healthapi.views.sources import Sources
from healthapi.views.survey import surveyed

MODELS: Final = 500
"""Most rows of `health:models`, the most recent first."""


async def documents(sources: Sources) -> dict[str, bytes]:
    """All of them, as JSON."""
    found = await surveyed(sources)
    made: dict[str, Any] = {
        "health:system": views.system(sources, found),
        "health:providers": {"providers": views.provider_rows(sources, found).providers},
        "health:models": {"models": [model_row(target) async for target in turns(found.targets[:MODELS])]},
        "health:gateways": views.gateways(sources, found).data,
    }
    return {name: msgspec.json.encode(document) for name, document in made.items()}
