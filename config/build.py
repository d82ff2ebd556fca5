"""Settings made into the configuration that the data plane reads, or the reasons why that cannot be."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from config.catalog import ALIASES, CATALOG, canonical
from config.checks import check
from config.effective import Config, Group, Provider, Target, Timeouts
from config.place import child, item
from config.problems import Problem, did_you_mean
from config.providers import make_provider, resolve, usable_key
from config.settings import GroupSettings, ProviderSettings, Settings, TargetProbe, TimeoutOverrides
from config.words import Tier

MOST_TARGETS: Final = 100
"""Targets of one group: each is kept with all the others that can stand in for it."""

MOST_OF_ALL: Final = 10_000
"""Targets of all groups together."""


def build(settings: Settings, environ: Mapping[str, str], problems: list[Problem], *, whole_catalog: bool) -> Config:
    """The configuration of `settings`; what is wrong is added to `problems`, and then it is not to be used.

    `whole_catalog`: serve every catalogued provider, not only those named or used by groups.
    """
    check(settings, problems)
    entries = _entries(settings, problems, whole_catalog)
    made = (make_provider(name, entry, settings, environ, problems) for name, entry in entries.items())
    providers = {provider.name: provider for provider in made if provider is not None}
    members = _groups(settings, entries, problems)
    limits = _limits(members, providers, settings)
    windows = _windows(members)
    groups = {
        name: _group(name, group, targets, limits, windows, settings) for name, (group, targets) in members.items()
    }
    aliases = {alias: name for alias, name in ALIASES.items() if name in providers}
    _refuse_open_relay(settings, providers, problems)
    return Config(
        settings=settings,
        providers=providers,
        aliases=aliases,
        groups=groups,
        routes={**{alias: providers[name] for alias, name in aliases.items()}, **providers},
        target_timeouts=limits,
        tiers=_tiers(members),
        targets=frozenset(limits),
        stand_ins=_stand_ins(groups.values(), providers),
        windows=windows,
        probes=_probes(members),
        adds_credentials=settings.listen.loopback or settings.open or _proved(settings),
        client_token=settings.client_token,
        hosts=frozenset(name.lower().rstrip(".") for name in settings.hosts),
        warnings=tuple(_warnings(settings, providers, environ, whole_catalog)),
    )


_Members = dict[str, tuple[GroupSettings, tuple[Target, ...]]]
"""Groups by name, with their targets under canonical provider names and still without their time limits."""


def _entries(settings: Settings, problems: list[Problem], whole_catalog: bool) -> dict[str, ProviderSettings]:
    """What the file says of each provider served, by canonical name."""
    entries: dict[str, ProviderSettings] = {}
    for name, entry in settings.providers.items():
        if canonical(name) in entries:
            message = f"is the same provider as {canonical(name)}, which stands here too"
            problems.append(Problem(child("providers", name), message))
        entries[canonical(name)] = entry
    used = [canonical(t.target.partition("/")[0]) for group in settings.models.values() for t in group.targets]
    for name in CATALOG if whole_catalog else used:
        if name in CATALOG:
            entries.setdefault(name, ProviderSettings())
    return entries


def _groups(settings: Settings, entries: Mapping[str, ProviderSettings], problems: list[Problem]) -> _Members:
    groups: _Members = {}
    if sum(len(group.targets) for group in settings.models.values()) > MOST_OF_ALL:
        problems.append(Problem("models", f"must name at most {MOST_OF_ALL} targets in all"))
        return groups
    for name, group in settings.models.items():
        path = child(child("models", name), "targets")
        targets: dict[tuple[str, str], Target] = {}
        if not group.targets:
            problems.append(Problem(path, "must name at least one target"))
        if len(group.targets) > MOST_TARGETS:
            problems.append(Problem(path, f"must name at most {MOST_TARGETS} targets"))
        for index, entry in enumerate(group.targets[:MOST_TARGETS]):
            first, slash, model = entry.target.partition("/")
            provider = canonical(first)
            if not (slash and first and model):
                problems.append(Problem(item(path, index), f'"{entry.target}" is not provider/model'))
            elif provider not in entries:
                hint = did_you_mean(first, {*entries, *CATALOG, *ALIASES})
                problems.append(Problem(item(path, index), f'provider "{first}" is not configured{hint}'))
            elif (provider, model) in targets:
                problems.append(Problem(item(path, index), f'"{entry.target}" stands in this group twice'))
            else:
                targets[provider, model] = Target(
                    provider=provider, model=model, context_window=entry.context_window, prefill=entry.prefill
                )
        groups[name] = group, tuple(targets.values())
    return groups


def _limits(groups: _Members, providers: Mapping[str, Provider], settings: Settings) -> dict[tuple[str, str], Timeouts]:
    """The time limits of every target of a group. Of several groups that hold one target the first in the file wins."""
    own: dict[tuple[str, str], list[TimeoutOverrides]] = {}
    wide: dict[tuple[str, str], list[TimeoutOverrides]] = {}
    for group, targets in reversed(groups.values()):
        entries = {canonical(t.target.partition("/")[0]) + "/" + t.target.partition("/")[2]: t for t in group.targets}
        for target in targets:
            key = target.provider, target.model
            own.setdefault(key, []).append(entries["/".join(key)].timeouts)
            wide.setdefault(key, []).append(group.timeouts)
    known = {key: providers.get(key[0]) for key in own}
    return {
        key: resolve(provider.timeouts if provider else settings.timeouts, *wide[key], *own[key])
        for key, provider in known.items()
    }


def _group(
    name: str,
    group: GroupSettings,
    targets: tuple[Target, ...],
    limits: Mapping[tuple[str, str], Timeouts],
    windows: Mapping[tuple[str, str], int],
    settings: Settings,
) -> Group:
    limited = (
        Target(
            provider=target.provider,
            model=target.model,
            context_window=windows.get((target.provider, target.model)),
            prefill=target.prefill,
            timeouts=limits[target.provider, target.model],
        )
        for target in targets
    )
    return Group(
        name=name, tier=group.tier, targets=tuple(limited), timeouts=resolve(settings.timeouts, group.timeouts)
    )


def _windows(groups: _Members) -> dict[tuple[str, str], int]:
    """The context window of each target that has one. Of several groups that say one the first in the file wins."""
    windows: dict[tuple[str, str], int] = {}
    for _, targets in groups.values():
        for target in targets:
            if target.context_window is not None:
                windows.setdefault((target.provider, target.model), target.context_window)
    return windows


def _probes(groups: _Members) -> dict[tuple[str, str], TargetProbe]:
    """What is said of the probes of single targets. Of several groups that say something the first in the file wins."""
    found: dict[tuple[str, str], TargetProbe] = {}
    for group, _ in groups.values():
        for entry in group.targets:
            first, _, model = entry.target.partition("/")
            if entry.probe != TargetProbe():
                found.setdefault((canonical(first), model), entry.probe)
    return found


def _stand_ins(groups: Iterable[Group], providers: Mapping[str, Provider]) -> dict[tuple[str, str], tuple[Target, ...]]:
    """For each target that shares a group with others, these others: of all its groups, each once.

    Another provider than the caller asked for can be asked with a credential of its own alone.
    """
    able = {name for name, provider in providers.items() if provider.configured and not provider.missing_variables}
    found: dict[tuple[str, str], dict[tuple[str, str], Target]] = {}
    for group in groups:
        members = {(target.provider, target.model): target for target in group.targets}
        for key in members:
            others = found.setdefault(key, {})
            for other, target in members.items():
                if other != key and (other[0] == key[0] or other[0] in able):
                    others.setdefault(other, target)
    return {key: tuple(others.values()) for key, others in found.items() if others}


def _tiers(groups: _Members) -> dict[tuple[str, str], Tier]:
    order = list(Tier)
    tiers: dict[tuple[str, str], Tier] = {}
    for group, targets in groups.values():
        for target in targets:
            key = target.provider, target.model
            if group.tier is not None:
                tiers[key] = min(tiers.get(key, group.tier), group.tier, key=order.index)
    return tiers


def _refuse_open_relay(settings: Settings, providers: Mapping[str, Provider], problems: list[Problem]) -> None:
    """Nobody's money may be spent by whoever can reach the port (the contract's "No open relay")."""
    if settings.listen.loopback or settings.open or _proved(settings):
        return
    if any(problem.path in ("client_token", "open", "tls.cert", "tls.client_ca") for problem in problems):
        return  # one of them was meant to be there: its own mistake says enough
    holding = [provider.name for provider in providers.values() if provider.credential is not None]
    if holding:
        problems.append(
            Problem(
                "listen",
                f"{settings.listen} can be reached from elsewhere, and anybody who does could spend the credentials of "
                f"{_listed(holding)}. Add the line `client_token: ${{DETOUR_CLIENT_TOKEN}}` so that callers prove "
                "themselves, or `open: true` if everybody may, or listen on 127.0.0.1",
            )
        )


def _proved(settings: Settings) -> bool:
    """Whether callers have a way to prove themselves: a token, or the client certificate without which none gets in."""
    return settings.client_token is not None or settings.tls.client_ca is not None


def _warnings(
    settings: Settings, providers: Mapping[str, Provider], environ: Mapping[str, str], whole_catalog: bool
) -> list[str]:
    warnings = []
    if not settings.admin.listen.loopback and settings.admin.token is None:
        warnings.append(
            f"admin.listen: {settings.admin.listen} can be reached from elsewhere and no admin.token is set, so that "
            "everything but admin.open and the liveness paths is refused"
        )
    for provider in providers.values():
        if provider.missing_variables and not whole_catalog:
            names = " and ".join(provider.missing_variables)
            warnings.append(f"providers.{provider.name}: its address needs {names}; requests to it are refused")
        for variable in provider.key_variables:
            value = environ.get(variable, "").strip()
            if value and not usable_key(value):
                warnings.append(f"providers.{provider.name}: {variable} holds what cannot be a key; it is not used")
    return warnings


def _listed(names: list[str]) -> str:
    shown = ", ".join(names[:3])
    return f"{shown} and {len(names) - 3} more" if len(names) > 3 else shown
