"""One trouble from when it begins until it is over."""

from __future__ import annotations

import hashlib
from typing import Self

from msgspec import Struct, field

from config.alerts import Severity
from healthapi.alerts.message import State
from healthapi.alerts.rules import Finding, Key


class Alert(Struct, kw_only=True):
    """One alert; times are Unix times.

    `since` is when the trouble began, `fired_at` when it had lasted long enough, `told_at` when the last message about
    it was written, and `told` as how bad: None where there was none. `quiet_since` is since when it seems to be over.
    """

    id: str
    rule: str
    subject: str
    severity: Severity
    value: float | None
    threshold: float | None
    message: str
    state: State = State.PENDING
    since: float
    fired_at: float | None = None
    told_at: float | None = None
    told: Severity | None = None
    messages: int = 0
    quiet_since: float | None = None
    resolved_at: float | None = None
    results: dict[str, str] = field(default_factory=dict)
    """What became of its last message, by channel."""
    inhibited_by: tuple[Key, ...] = ()
    """The alerts that it is but the consequence of: while there are any, it is not told."""
    freed_at: float | None = None
    """When it was that the last time."""

    @classmethod
    def begin(cls, finding: Finding, now: float) -> Self:
        """An alert for what was found at `now`."""
        named = f"{finding.rule}\0{finding.subject}\0{now:.3f}".encode()
        return cls(
            id=hashlib.blake2b(named, digest_size=8).hexdigest(),
            rule=finding.rule,
            subject=finding.subject,
            severity=finding.severity,
            value=finding.value,
            threshold=finding.threshold,
            message=finding.message,
            since=now,
        )

    @property
    def key(self) -> Key:
        """What it is the same trouble by."""
        return self.rule, self.subject

    def take(self, finding: Finding) -> None:
        """It is still there, and looks like this now."""
        self.severity = finding.severity
        self.value = finding.value
        self.threshold = finding.threshold
        self.message = finding.message
        self.quiet_since = None

    def not_after(self, now: float) -> None:
        """Take a clock into account that was set back: nothing has happened later than `now`."""
        self.since = min(self.since, now)
        for name in ("fired_at", "told_at", "quiet_since", "freed_at"):
            at = getattr(self, name)
            if at is not None and at > now:
                setattr(self, name, now)
