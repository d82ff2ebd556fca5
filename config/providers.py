"""One provider's entry, the catalog and the environment made into the provider that requests see."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

from msgspec import structs

from config.baseurl import UNSET_HOST, expand, parse_base_url
from config.catalog import CATALOG, NATIVE_AUTH, Entry
from config.effective import Origin, Provider
from config.egress import excepted, from_environment
from config.place import child
from config.problems import Problem, did_you_mean
from config.secret import Secret
from config.settings import (
    BreakerOverrides,
    Breakers,
    Cap,
    CapOverrides,
    ProbeOverrides,
    Probes,
    ProviderSettings,
    Settings,
    Sla,
    SlaOverrides,
    TimeoutOverrides,
    Timeouts,
    Upstream,
)
from config.words import AuthStyle, Dialect

_Base = TypeVar("_Base", Timeouts, Breakers, Cap, Sla)


def resolve(base: _Base, *overrides: TimeoutOverrides | BreakerOverrides | CapOverrides | SlaOverrides) -> _Base:
    """`base` with the overrides of its kind laid over it, the last one on top."""
    for override in overrides:
        given = {name: value for name, value in structs.asdict(override).items() if value is not None}
        base = structs.replace(base, **given)
    return base


def make_provider(
    name: str, entry: ProviderSettings, settings: Settings, environ: Mapping[str, str], problems: list[Problem]
) -> Provider | None:
    """The provider `name`, or None with the reason added to `problems`. What `entry` leaves out `settings` say."""
    known = CATALOG.get(name)
    path = child("providers", name)
    if entry.base_url is None and known is None:
        message = f'is missing, and "{name}" is not in the catalog{did_you_mean(name, CATALOG)}'
        problems.append(Problem(child(path, "base_url"), message))
        return None
    address = _address(child(path, "base_url"), entry.base_url, known, environ, problems)
    if address is None:
        return None
    origin, prefix, missing = address
    dialect = entry.dialect or (known.dialect if known else Dialect.OPENAI)
    variables = entry.api_key_env or (known.variables if known else ())
    credential, source = _credential(entry, variables, environ)
    origin = _way(path, origin, entry, settings.upstream, environ, problems)
    list_path, list_origin = _list(entry, known, dialect, prefix, origin)
    made = Provider(
        name=name,
        origin=origin,
        prefix=prefix,
        prefixes=_prefixes(entry, known, dialect, prefix),
        dialect=dialect.value,
        auth=_auth(entry, known, dialect),
        credential=credential,
        key_variables=variables,
        headers=_headers(entry, known, environ),
        timeouts=resolve(settings.timeouts, known.timeouts if known else TimeoutOverrides(), entry.timeouts),
        breakers=resolve(settings.breakers, entry.breakers),
        probes=_probes(settings.probes, known, entry.probes),
        sla=resolve(settings.sla, entry.sla),
        missing_variables=missing,
        keyless=known is None and not variables and credential is None,
        catalogued=known is not None,
        key_source=source,
        list_path=list_path,
        list_origin=list_origin,
    )
    if known is None or known.queue_at is None or origin.host != known.host or dialect is not known.dialect:
        return made
    queue, path = parse_base_url(CATALOG[known.queue_at].base_url)
    there = structs.replace(origin, scheme=queue.scheme, host=queue.host, port=queue.port)
    return structs.replace(made, queue=structs.replace(made, origin=there, prefix=path))


def _list(
    entry: ProviderSettings, known: Entry | None, dialect: Dialect, prefix: str, origin: Origin
) -> tuple[str | None, Origin | None]:
    """Where its list of models is: the path with its query, and the origin where that is another one.

    The catalog tells while its dialect is the catalogued one, and a URL of its own while the base URL is.
    """
    where = "models" if dialect is not Dialect.FAL else None
    if known is not None and dialect is known.dialect:
        where = known.list_at
    if where is None:
        return None, None
    if "://" in where:
        if entry.base_url is not None:
            return None, None
        url, _, query = where.partition("?")
        found, path = parse_base_url(url)
        return f"{path}?{query}", structs.replace(origin, scheme=found.scheme, host=found.host, port=found.port)
    beside = where.removeprefix("../")
    return f"{prefix if where == beside else prefix.rpartition('/')[0]}/{beside}", None


def _probes(base: Probes, known: Entry | None, own: ProbeOverrides) -> Probes:
    """What holds for the probes of a provider."""
    if known is not None and known.models_per_minute is not None:
        base = structs.replace(base, models_per_minute=known.models_per_minute)
    given = {name: value for name, value in structs.asdict(own).items() if value is not None}
    cap = resolve(base.daily_cap, own.daily_cap or CapOverrides())
    return structs.replace(base, **{**given, "daily_cap": cap})


def usable_key(value: str) -> bool:
    """Whether an environment variable's value can be sent as a key: visible ASCII, nothing else."""
    return bool(value) and value.isascii() and value.isprintable() and " " not in value


def _address(
    path: str, url: str | None, known: Entry | None, environ: Mapping[str, str], problems: list[Problem]
) -> tuple[Origin, str, tuple[str, ...]] | None:
    """Origin, prefix and the URL's missing variables."""
    missing: tuple[str, ...] = ()
    if url is None and known is not None:
        url, missing = expand(known.base_url, environ)
    try:
        origin, prefix = parse_base_url(url or "")
    except ValueError as error:
        problems.append(Problem(path, str(error)))
        return None
    return (Origin(origin.scheme, UNSET_HOST, origin.port) if missing else origin), prefix, missing


def _way(
    path: str,
    origin: Origin,
    entry: ProviderSettings,
    upstream: Upstream,
    environ: Mapping[str, str],
    problems: list[Problem],
) -> Origin:
    """`origin` with what it is reached through and whom it is trusted by."""
    proxy, exceptions = entry.proxy, upstream.no_proxy
    if proxy is None:
        path, proxy = "upstream", upstream.proxy
    if proxy is not None and proxy.scheme == "env":
        try:
            proxy, more = from_environment(environ, origin.scheme)
        except ValueError as error:
            problems.append(Problem(child(path, "proxy"), str(error)))
            return origin
        exceptions += more
    own = entry.proxy is not None and entry.proxy.host
    if proxy is None or not proxy.host or (not own and excepted(origin.host, origin.port, exceptions)):
        proxy = None
    elif proxy.tls and upstream.ca_bundle is not None:
        proxy = structs.replace(proxy, ca_bundle=upstream.ca_bundle)
    return structs.replace(origin, proxy=proxy, ca_bundle=entry.ca_bundle or upstream.ca_bundle or "")


def _auth(entry: ProviderSettings, known: Entry | None, dialect: Dialect) -> AuthStyle:
    if entry.auth is not None:
        return entry.auth
    if known is not None and known.auth is not None and known.dialect is dialect:
        return known.auth
    return NATIVE_AUTH[dialect]


def _credential(
    entry: ProviderSettings, variables: tuple[str, ...], environ: Mapping[str, str]
) -> tuple[Secret | None, str | None]:
    """The key and where it is from: `api_key`, or the name of the first variable that holds one."""
    if entry.api_key is not None:
        return entry.api_key, "api_key"
    for variable in variables:
        value = environ.get(variable, "").strip()
        if usable_key(value):
            return Secret(value), variable
    return None, None


def _prefixes(entry: ProviderSettings, known: Entry | None, dialect: Dialect, prefix: str) -> dict[str, str]:
    """API prefix per dialect; the catalog's hold only while the base URL's path is the catalogued one."""
    catalogued = known is not None and dialect is known.dialect and prefix == known.prefix
    prefixes = {**(known.prefixes if known is not None and catalogued else {}), dialect.value: prefix}
    prefixes.update({str(other): path.rstrip("/") for other, path in entry.prefixes.items()})
    return prefixes


def _headers(
    entry: ProviderSettings, known: Entry | None, environ: Mapping[str, str]
) -> tuple[tuple[bytes, bytes], ...]:
    headers: dict[str, tuple[str, str]] = {}
    if known is not None:
        sent = dict(known.headers)
        for name, variable in known.header_variables.items():
            value = environ.get(variable, "").strip()
            if usable_key(value):
                sent[name] = value
        headers.update({name.lower(): (name, value) for name, value in sent.items()})
    headers.update({name.lower(): (name, value) for name, value in entry.headers.items()})
    return tuple((name.encode("ascii"), value.strip().encode("ascii")) for name, value in headers.values())
