"""Bases of structs in modules that are compiled.

mypyc drops the keywords of a class (`class X(Struct, frozen=True)`) without a word; what a base has is inherited, so
they are said here once, in a module that is never compiled.
"""

from __future__ import annotations

from typing import dataclass_transform

from msgspec import Struct, field


@dataclass_transform(frozen_default=True, field_specifiers=(field,))
class Frozen(Struct, frozen=True):
    """Cannot be changed; compared and hashed by its fields."""
