from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Struct

from config.kinds import BOOL
from config.shapes import REQUIRED, fields, shape
from config.words import Tier


class Inner(Struct, frozen=True):
    """What it is."""

    flag: Annotated[bool, BOOL, "Its doc."] = True


class Outer(Struct, frozen=True, kw_only=True):
    """The rest is not the headline.

    This.
    """

    for_: Annotated[Tier, "A word."] = msgspec.field(default=Tier.CRITICAL, name="for")
    needed: Inner
    many: tuple[Inner, ...] = ()
    named: dict[Annotated[str, BOOL], Inner | None] = {}


def test_fields_have_their_name_in_the_file_and_their_default() -> None:
    found = {field.key: field for field in fields(Outer)}
    assert list(found) == ["for", "needed", "many", "named"]
    assert (found["for"].name, found["for"].default) == ("for_", Tier.CRITICAL)
    assert found["needed"].default is REQUIRED
    assert found["named"].default == {}


def test_the_four_forms() -> None:
    found = {field.key: field.shape for field in fields(Outer)}
    assert found["for"].kind is not None
    assert found["for"].doc == "A word."
    assert (found["needed"].section, found["needed"].doc) == (Inner, "What it is.")
    assert found["many"].item is not None
    assert found["many"].item.section is Inner
    assert found["named"].value is not None
    assert found["named"].value.section is Inner
    assert found["named"].key is not None
    assert found["named"].key.kind is BOOL


def test_optional_and_nested_annotations_are_seen_through() -> None:
    flag = Annotated[bool, BOOL, "inner"]
    assert shape(flag | None).kind is BOOL
    assert shape(Annotated[flag | None, "outer"]).doc == "outer"
    assert shape(Annotated[Inner, "said here"]).doc == "said here"
