"""Makes a vendor's text fit to be kept, shown and logged: one line, bounded, without credentials. Pure.

Vendors echo keys in their messages. Masked are tokens with known key prefixes, what follows words like `api key:` or
`Bearer`, and long tokens that are not made of words; names of models stay readable. Of an HTML page its title is kept.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

from breaker.outcome import MESSAGE_LIMIT

MASK: Final = "***"

_SCANNED: Final = 4096
_SPACES: Final = re.compile(r"[\s\x00-\x20\x7f-\xa0\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\ud800-\udfff]+")
_TITLE: Final = re.compile(r"<title[^<>]{0,100}>([^<]{1,300})", re.IGNORECASE)
_TAG: Final = re.compile(r"<[^<>]{1,500}>")
_PREFIXED: Final = re.compile(
    r"\b(?:sk|pk|rk|gsk|xai|hf|r8|fw|csk|nvapi|tgp|rc|cpk|ya29|ghp|gho|akia)[-_.][\w\-.*~+/=]{6,}"
    r"|\bAIza[\w\-*]{8,}|\beyJ[\w\-]{6,}\.[\w\-.]*",
    re.IGNORECASE,
)
_NAMED: Final = re.compile(
    r"((?:api[-_ ]?key|access[-_ ]?token|auth[-_ ]?token|secret|password|authorization|\bkey\b)"
    r"(?: (?:provided|is|was)){0,2}[\"']? ?[:=] ?[\"'`]?(?:(?:bearer|basic|key) )?|\bbearer )"
    r"([^\s\"'`,;&<>(){}\[\]]{6,})",
    re.IGNORECASE,
)
_ALWAYS: Final = ("secret", "password", "authorization")
_NAMED_LENGTH: Final = 16
_RUN: Final = re.compile(r"[A-Za-z0-9_\-+=*]{20,}")
_PART: Final = re.compile(r"[-_]+")
_WORD: Final = re.compile(r"[A-Za-z]?[a-z]*\d*[A-Za-z]?|(?:[A-Z][a-z]{2,}){2,3}\d*|[A-Z]+\d*|\d+[A-Za-z]{0,3}")
_LONGEST_WORD: Final = 24


def mask(text: str, secrets: Iterable[str] = ()) -> str:
    """`text` as one line of at most `MESSAGE_LIMIT` characters, credentials and long tokens replaced.

    So are `secrets`, whatever they look like: those that are known to have gone along.
    """
    for secret in secrets:
        text = text.replace(secret, MASK)
    line = _one_line(text)
    line = _NAMED.sub(_named, line)
    line = _PREFIXED.sub(MASK, line)
    line = _RUN.sub(_run, line)
    return line if len(line) <= MESSAGE_LIMIT else line[: MESSAGE_LIMIT - 1] + "…"


def _one_line(text: str) -> str:
    """White space, control and direction characters as single spaces, the tags of an error page taken out.

    Where it is cut, the last word goes: it may be half a credential.
    """
    if len(text) > 4 * _SCANNED:
        text = text[: 4 * _SCANNED].rpartition(" ")[0]
    if "<" in text:
        title = _TITLE.search(text)
        text = text[: text.index("<")] + " " + title.group(1) if title else _TAG.sub(" ", text)
    line = _SPACES.sub(" ", text).strip()
    if len(line) > _SCANNED:
        line = line[:_SCANNED].rpartition(" ")[0]
    return line


def _named(found: re.Match[str]) -> str:
    """What stands after a word for a key, unless it is a plain word itself (`key: temperature`)."""
    name, value = found.groups()
    secret = len(value) >= _NAMED_LENGTH or any(character.isdigit() for character in value)
    return name + MASK if secret or any(word in name.lower() for word in _ALWAYS) else found.group()


def _run(found: re.Match[str]) -> str:
    """A long token, unless all its parts look like words, numbers or both (`claude-3-5-sonnet-20241022`)."""
    run = found.group()
    parts = _PART.split(run)
    wordy = all(len(part) <= _LONGEST_WORD and (len(part) < 6 or _WORD.fullmatch(part)) for part in parts)
    return run if wordy else MASK
