"""A request made ready for another target than its caller asked for (semantics section 3). Pure.

Only what must change does: origin and API prefix, the model's name, the credentials. It is asked for when a request
really goes elsewhere, so the ordinary request pays nothing for it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import structs

from config.bases import Frozen
from proxy import credentials, paths
from proxy.credentials import Placement
from proxy.splice import splice
from proxy.way import spends_for_a_page

if TYPE_CHECKING:
    from config.effective import Config, Provider
    from proxy.asked import Asked


class Rewritten(Frozen):
    """What to send in place of what came.

    `target` is what is asked upstream, `placed` says which fields to drop and add (its own `target` is the same), and
    the length of `body` is the new Content-Length.
    """

    target: bytes
    placed: Placement
    body: bytes | bytearray


def pins(asked: Asked) -> bool:
    """Whether only the target that was asked for can answer: ask when another is considered, it reads the body.

    A result fetched later is fetched where the caller asked for it, and what an encoded body refers to is not seen.
    """
    return (
        not asked.endpoint.generation
        or asked.scan.upgrade is not None
        or not asked.body.whole
        or asked.peek.background
        or asked.peek.pins(asked.body.data)
        or any(name.lower() == b"content-encoding" for name, _ in asked.scan.kept)
    )


def rewrite(asked: Asked, to: Provider, model: str, config: Config) -> Rewritten | None:
    """The request for `model` at `to`, or None when it cannot go there as its caller wrote it."""
    placed = place(asked, to, model, config)
    if placed is None:
        return None
    body = splice(asked.endpoint, asked.scan.content_type, asked.body.data, model)
    return None if body is None else Rewritten(placed.target, placed, body)


def place(asked: Asked, to: Provider, model: str, config: Config) -> Placement | None:
    """What `rewrite` makes of the head alone, which takes no time that grows with the body; None as there.

    At the same provider the caller's credential and fields are kept. At another, nothing of them goes along: it must
    have a credential of its own (if it needs one) that this caller may spend, and speak the request's dialect.
    """
    if to.name == asked.route.provider.name:
        return _moved(asked, model)
    return _abroad(asked, to, model, config)


def _moved(asked: Asked, model: str) -> Placement | None:
    """The placement for another model of the same provider."""
    route, placed = asked.route, asked.placed
    path = paths.with_model(asked.endpoint, route.path, model, route.provider.prefix)
    return None if path is None else structs.replace(placed, target=_target(path, placed.target))


def _abroad(asked: Asked, to: Provider, model: str, config: Config) -> Placement | None:
    """The placement for another provider."""
    route, endpoint = asked.route, asked.endpoint
    prefix = to.prefixes.get(endpoint.dialect)
    rest = paths.rest(route.path, route.provider, endpoint)
    if prefix is None or rest is None or not _may_receive(to, asked, config):
        return None
    path = paths.with_model(endpoint, f"{prefix}/{rest}", model, prefix)
    return None if path is None else credentials.foreign(asked.scan, _target(path, route.target), to, endpoint)


def _may_receive(to: Provider, asked: Asked, config: Config) -> bool:
    """Whether `to` can be asked with a credential of its own, and this caller may spend it."""
    if not to.configured or to.missing_variables:
        return False
    if not credentials.own_secret(to):
        return True
    scan = asked.scan
    return credentials.may_spend(scan, asked.route.target, config) and not spends_for_a_page(scan, config)


def _target(path: str, target: bytes) -> bytes:
    """`path` with the query of `target`."""
    _, mark, query = target.partition(b"?")
    return path.encode("utf-8", "surrogateescape") + mark + query
