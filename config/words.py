"""The words a setting can be, each set an enumeration."""

from __future__ import annotations

import enum


class OpenGet(enum.StrEnum):
    """Admin GETs that can be opened to callers without the token."""

    METRICS = "metrics"
    HEALTH = "health"


class Dialect(enum.StrEnum):
    """The shapes of API that are understood."""

    OPENAI = "openai"
    ANTHROPIC = "anthropic"
    GEMINI = "gemini"
    FAL = "fal"


class AuthStyle(enum.StrEnum):
    """Where a provider wants its key."""

    BEARER = "bearer"
    X_API_KEY = "x-api-key"
    X_GOOG_API_KEY = "x-goog-api-key"
    API_KEY = "api-key"
    KEY = "key"
    QUERY = "query"


class Mode(enum.StrEnum):
    """What breakers do with what they find."""

    ENFORCE = "enforce"
    OBSERVE = "observe"
    OFF = "off"


class Strategy(enum.StrEnum):
    """How the targets of a group are ordered."""

    UPTIME = "uptime"
    LATENCY = "latency"
    ORDER = "order"


class AllOpen(enum.StrEnum):
    """What happens when every breaker is open."""

    FAIL = "fail"
    TRY = "try"


class OnRateLimit(enum.StrEnum):
    """What a 429 leads to."""

    REROUTE = "reroute"
    WAIT = "wait"


class Rescue(enum.StrEnum):
    """What becomes of a stream that breaks."""

    OFF = "off"
    CONTINUE = "continue"
    HOLD = "hold"


class Tier(enum.StrEnum):
    """How much a target matters, most first."""

    CRITICAL = "critical"
    POPULAR = "popular"
    STANDARD = "standard"
    ON_DEMAND = "on_demand"


class LogFormat(enum.StrEnum):
    """How log lines look."""

    AUTO = "auto"
    TEXT = "text"
    JSON = "json"


class LogLevel(enum.StrEnum):
    """Least severity that is logged."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"
