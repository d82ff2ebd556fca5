"""What a configuration comes to: the rows of `detour check`."""

from __future__ import annotations

from msgspec import Struct

from config.audit import shown_url, table
from config.effective import Config, Provider
from config.problems import LONGEST, visible


class ProviderRow(Struct, frozen=True):
    """One provider served. `credential` is `api_key`, a variable's name, `none needed` or None when there is none."""

    provider: str
    base_url: str
    dialect: str
    credential: str | None
    missing: tuple[str, ...]


class TargetRow(Struct, frozen=True):
    """One target of one model group; `first_byte`, `answer` in seconds."""

    group: str
    tier: str
    provider: str
    model: str
    configured: bool
    first_byte: float
    answer: float


class Report(Struct, frozen=True):
    """Everything `detour check` says."""

    listen: str
    admin: str
    store: str
    adds_credentials: bool
    providers: list[ProviderRow]
    targets: list[TargetRow]
    warnings: tuple[str, ...]


def report(config: Config) -> Report:
    """What `config` comes to."""
    settings = config.settings
    return Report(
        listen=str(settings.listen),
        admin=str(settings.admin.listen),
        store=str(settings.store),
        adds_credentials=config.adds_credentials,
        providers=[_provider(provider) for provider in config.providers.values()],
        targets=[
            TargetRow(
                group=group.name,
                tier="by traffic" if group.tier is None else group.tier.value,
                provider=target.provider,
                model=target.model,
                configured=usable(config.providers[target.provider]),
                first_byte=target.timeouts.first_byte,
                answer=target.timeouts.answer,
            )
            for group in config.groups.values()
            for target in group.targets
        ],
        warnings=config.warnings,
    )


def usable(provider: Provider) -> bool:
    """Whether Detour itself could send a request there: it has the key and the whole address."""
    return provider.configured and not provider.missing_variables


def render(found: Report) -> str:
    """The report as text for people."""
    keys = "added for callers that bring none" if found.adds_credentials else "never added: callers bring their own"
    parts = [
        visible(f"listen {found.listen}, admin {found.admin}, store {found.store}; credentials are {keys}", LONGEST),
        table([("PROVIDER", "BASE URL", "DIALECT", "CREDENTIAL"), *map(_cells, found.providers)]),
    ]
    if found.targets:
        head = ("MODEL GROUP", "TIER", "TARGET", "STATE")
        lines = [
            (row.group, row.tier, f"{row.provider}/{row.model}", "ok" if row.configured else "unconfigured")
            for row in found.targets
        ]
        parts.append(table([head, *lines]))
    parts.extend(f"warning: {visible(warning, LONGEST)}" for warning in found.warnings)
    return "\n\n".join(parts)


def _provider(provider: Provider) -> ProviderRow:
    credential = provider.key_source or ("none needed" if provider.keyless else None)
    return ProviderRow(provider.name, shown_url(provider), provider.dialect, credential, provider.missing_variables)


def _cells(row: ProviderRow) -> tuple[str, ...]:
    address = f"needs {', '.join(row.missing)}" if row.missing else row.base_url
    return row.provider, address, row.dialect, row.credential or "none"
