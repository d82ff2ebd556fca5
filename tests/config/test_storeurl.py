from __future__ import annotations

import pytest

from config.storeurl import StoreKind, StoreUrl


@pytest.mark.parametrize(
    ("text", "kind", "path", "shown"),
    [
        ("memory:", StoreKind.MEMORY, "", "memory:"),
        ("sqlite:///detour.db", StoreKind.SQLITE, "detour.db", "sqlite:///detour.db"),
        ("sqlite:////var/lib/d.db", StoreKind.SQLITE, "/var/lib/d.db", "sqlite:////var/lib/d.db"),
        ("redis://localhost:6379/0", StoreKind.REDIS, "", "redis://localhost:6379/0"),
        ("rediss://u:pw@host", StoreKind.REDIS, "", "rediss://***@host"),
        ("redis://[::1]:6379", StoreKind.REDIS, "", "redis://[::1]:6379"),
        ("redis+sentinel://:pw@a:1,b:2/svc/0", StoreKind.SENTINEL, "", "redis+sentinel://***@a:1,b:2/svc/0"),
        ("redis+sentinel://a:1/svc", StoreKind.SENTINEL, "", "redis+sentinel://a:1/svc"),
        ("redis+cluster://a:1,b:2", StoreKind.CLUSTER, "", "redis+cluster://a:1,b:2"),
    ],
)
def test_stores(text: str, kind: StoreKind, path: str, shown: str) -> None:
    store = StoreUrl.parse(text)
    assert (store.kind, store.path, str(store)) == (kind, path, shown)
    assert store.url.reveal() == text
    assert "pw" not in repr(store)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("postgres://x", "must be memory:"),
        ("memory", "must be memory:"),
        ("memory:x", "takes nothing"),
        ("sqlite:detour.db", "must name a file"),
        ("sqlite:///", "must name a file"),
        ("redis://:p@ss/w@host", "must have a number"),
        ("redis://", "must name its hosts"),
        ("redis://a:1,b:2", "more than one host"),
        ("redis://a/x", "must have a number"),
        ("redis+cluster://a:1/9x", "must have a number"),
        ("redis+sentinel://a:1", "must name the service"),
        ("redis+sentinel://a:1/svc/x", "must have a number"),
        ("redis://[::1", "is not an address"),
    ],
)
def test_what_is_no_store(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        StoreUrl.parse(text)
