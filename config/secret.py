"""A value that must not be seen: credentials, tokens, addresses with a password in them."""

from __future__ import annotations

import hmac
from typing import Final

SHOWN: Final = "***"
"""What is seen of a secret wherever it is printed."""


class Secret:
    """Text that never prints.

    `repr`, `str` and formatting show `***`. JSON encoders refuse it, and show `***` when they are given `str` for
    what they do not know (`json.dumps(…, default=str)`, `msgspec.json.encode(…, enc_hook=str)`). It cannot be
    pickled, so that it reaches no other process by accident.
    """

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        """Keep `value`, which must not be empty: an empty secret would match a missing one."""
        if not value:
            raise ValueError("must not be empty")
        self._value = value

    def reveal(self) -> str:
        """The text itself, for the one place that sends it."""
        return self._value

    def matches(self, candidate: str | bytes) -> bool:
        """Whether `candidate` is the secret, in a time that does not tell how much of it was right."""
        if isinstance(candidate, str):
            candidate = candidate.encode("utf-8", "surrogatepass")
        return hmac.compare_digest(self._value.encode("utf-8", "surrogatepass"), candidate)

    def __eq__(self, other: object) -> bool:
        """Equal when the texts are: two loads of one file give equal settings."""
        return self.matches(other._value) if isinstance(other, Secret) else NotImplemented

    def __hash__(self) -> int:
        """The text's own hash, which differs from process to process."""
        return hash(self._value)

    def __repr__(self) -> str:
        return SHOWN

    __str__ = __repr__

    def __format__(self, spec: str) -> str:
        return format(SHOWN, spec)

    def __reduce__(self) -> str:
        raise TypeError("a secret is not pickled")
