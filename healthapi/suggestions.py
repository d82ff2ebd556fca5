"""What could join the model groups: models that a provider offers under a name like those of a group."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from healthapi.likeness import likeness
from healthapi.turns import turns

if TYPE_CHECKING:
    from config.effective import Config
    from healthapi.offers import Offer

PATHS: Final = "fal"
"""The dialect in which a model's name is a path and each takes bodies of its own: none stands in for another."""


class Suggestion(Struct, frozen=True):
    """A model that is offered and could join a group."""

    group: str
    provider: str
    model: str


class Suggestions:
    """Finds them, and remembers what the names of each list come to."""

    def __init__(self) -> None:
        """Remember nothing yet."""
        self._alike: dict[str, tuple[frozenset[str], dict[str, list[str]]]] = {}

    def adopt(self, config: Config) -> None:
        """Forget the lists of providers that another configuration has not."""
        for name in self._alike.keys() - config.providers.keys():
            del self._alike[name]

    async def find(self, config: Config, names: Iterable[str], of: Callable[[str], Offer]) -> list[Suggestion]:
        """What could join the groups of `config` from the lists of these providers, with turns for others."""
        speaking = [name for name in names if config.providers[name].dialect != PATHS]
        alike = {name: await self._likenesses(name, of(name).names) for name in speaking}
        found: list[Suggestion] = []
        async for group in turns(list(config.groups.values())):
            targets = [(target.provider, target.model) for target in group.targets]
            could = joining(group.name, targets, alike, lambda provider, model: model in of(provider).delisted)
            found += (Suggestion(group.name, *one) for one in could)
        return found

    async def _likenesses(self, provider: str, names: frozenset[str]) -> dict[str, list[str]]:
        """The names by what all names of one model have in common."""
        known = self._alike.get(provider)
        if known is not None and known[0] is names:
            return known[1]
        made: dict[str, list[str]] = {}
        async for name in turns(sorted(names)):
            made.setdefault(likeness(name), []).append(name)
        self._alike[provider] = (names, made)
        return made


def joining(
    group: str,
    targets: Collection[tuple[str, str]],
    offered: Mapping[str, Mapping[str, Collection[str]]],
    left: Callable[[str, str], bool],
) -> list[tuple[str, str]]:
    """Provider and model of what could join a group: offered under a name like its own or one of its targets'. Pure.

    `targets` are the group's (provider, model); `offered` are the names of each provider by their likeness; `left` says
    of a target whether it is not offered any more. A provider with another target in the group needs no second one
    there; of several names the plainest is taken.
    """
    found = []
    wanted = {likeness(name) for name in (group, *(model for _, model in targets))} - {""}
    served = {provider for provider, model in targets if not left(provider, model)}
    for provider in sorted(offered.keys() - served):
        names = {name for like in wanted for name in offered[provider].get(like, ())}
        names -= {model for name, model in targets if name == provider}
        if names:
            found.append((provider, min(names, key=_plainness)))
    return found


def _plainness(name: str) -> tuple[bool, int, str]:
    return ":" in name, len(name), name
