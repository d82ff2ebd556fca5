from __future__ import annotations

from collections.abc import Iterator

import pytest
from msgspec import Struct

from config.schema import doc_of
from config.settings import OVERRIDES, SHORTHANDS, Settings
from config.shapes import Field, Shape, fields


def sections(section: type[Struct] = Settings) -> Iterator[type[Struct]]:
    yield section
    for field in fields(section):
        shape: Shape = field.shape.value or field.shape.item or field.shape
        if shape.section is not None:
            yield from sections(shape.section)


ALL = sorted(set(sections()), key=lambda section: section.__name__)


@pytest.mark.parametrize("section", ALL)
def test_every_key_is_documented(section: type[Struct]) -> None:
    assert section.__doc__
    assert [field.key for field in fields(section) if not doc_of(section, field)] == []


@pytest.mark.parametrize("section", ALL)
def test_every_key_is_one_word_of_the_file(section: type[Struct]) -> None:
    assert all(field.key.replace("_", "").isalnum() and field.key.islower() for field in fields(section))
    assert all(sum(map(bool, forms(field))) == 1 for field in fields(section))


def forms(field: Field) -> list[object]:
    return [field.shape.kind, field.shape.section, field.shape.item, field.shape.value]


@pytest.mark.parametrize("narrow", OVERRIDES)
def test_overrides_have_the_keys_and_kinds_of_what_they_override(narrow: type[Struct]) -> None:
    wide = fields(OVERRIDES[narrow])
    assert [field.key for field in fields(narrow)] == [field.key for field in wide]
    assert [field.shape.kind for field in fields(narrow)] == [field.shape.kind for field in wide]
    assert all(field.default is None for field in fields(narrow))


def test_a_shorthand_stands_for_a_key_that_exists() -> None:
    assert all(key in {field.key for field in fields(section)} for section, key in SHORTHANDS.items())


def test_the_defaults_of_the_contract() -> None:
    settings = Settings()
    assert str(settings.listen) == "127.0.0.1:8080"
    assert str(settings.admin.listen) == "127.0.0.1:9090"
    assert str(settings.store) == "sqlite:///detour.db"
    limits = settings.timeouts
    assert (limits.connect, limits.first_byte, limits.idle, limits.answer, limits.total, limits.stream_total) == (
        5, 120, 120, 600, 900, 3600
    )  # fmt: skip
    breakers = settings.breakers
    assert (breakers.failure_threshold, breakers.failure_rate, breakers.min_requests, breakers.window) == (
        5,
        0.5,
        10,
        60,
    )
    assert (breakers.open_for, breakers.max_open_for, breakers.jitter, breakers.half_open_requests) == (60, 300, 0.1, 1)
    assert (breakers.success_threshold, breakers.slow_first_byte, breakers.slow_rate) == (2, 30, 0.8)
    assert (settings.limits.request_body, settings.limits.replay, settings.limits.replay_total) == (
        64 << 20, 8 << 20, 256 << 20
    )  # fmt: skip
    assert (settings.retries.max_attempts, settings.retries.max_wait, settings.retries.budget) == (3, 3, 0.2)
    critical = settings.tiers.critical
    assert (critical.interval, critical.timeout, critical.max_tokens) == (300, 30, 10)
    cleanup = settings.cleanup
    assert (cleanup.every, cleanup.older_than) == (0, 30 * 86400)
