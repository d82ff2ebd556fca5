"""Findings and situations for tests of what is made of them."""

from __future__ import annotations

from typing import Any

from config.alerts import Severity
from healthapi.alerts.rules import Finding, Findings
from healthapi.alerts.situation import Situation

NOW = 1_767_225_600.0  # 2026-01-01T00:00:00Z


def situation(healthy: int = 10, known: int = 10, **more: Any) -> Situation:
    return Situation(**{"at": NOW, "known": known, "healthy": healthy, **more})


def finding(subject: str = "groq", severity: Severity = Severity.WARNING, rule: str = "provider_offline") -> Finding:
    return Finding(rule, subject, severity, f"{subject} is {severity}")


def findings(*found: Finding, unknown: tuple[str, ...] = ()) -> Findings:
    return Findings({one.key: one for one in found}, frozenset(unknown))
