from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from breaker.outcome import MESSAGE_LIMIT
from proxy.mask import mask

HEX = "0123456789abcdef" * 2
KEYS = [
    "sk-proj-" + "aB3" * 15,
    "sk-ant-api03-" + "xY9_" * 20,
    "sk-or-v1-" + HEX * 2,
    "gsk_" + "a1B2" * 12,
    "xai-" + "Zz9" * 20,
    "hf_" + "AbCdEf" * 5,
    "AIzaSyD-9tSrke72PouQMnMX-a7eZSW0jkFMBWY",
    "r8_" + "a1b2" * 9,
    "ya29.a0AfH6SMBx-" + "qW3" * 20,
    "123e4567-e89b-12d3-a456-426614174000:" + HEX,
    "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9PlFUP0THsR8U",
    "dGhpcyBpcyBub3QgYSBrZXkgYnV0IGxvbmc=",
]


@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize(
    "text",
    [
        "{}",
        "Incorrect API key provided: {}.",
        "Authorization: Bearer {}",
        "GET /v1?key={}&a=b",
        '"{}" is wrong',
        "a\n{}",
    ],
)
def test_keys_are_masked(key: str, text: str) -> None:
    shown = mask(text.format(key))
    assert "***" in shown
    for at in range(0, len(key) - 12):
        assert key[at : at + 12] not in shown


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("password: hunter", "password: ***"),
        ("Authorization: Basic dXNlcjpw", "Authorization: Basic ***"),
        ("api_key=abcdef123", "api_key=***"),
        ("Bearer abcdef123 expired", "Bearer *** expired"),
        ("Incorrect API key provided: sk-ab****yz.", "Incorrect API key provided: ***"),
    ],
)
def test_short_keys_are_known_by_what_stands_before(text: str, shown: str) -> None:
    assert mask(text) == shown


@pytest.mark.parametrize(
    "text",
    [
        "",
        "The model `meta-llama/Llama-3.3-70B-Instruct-Turbo` does not exist",
        "claude-3-5-sonnet-20241022: Overloaded",
        "deepseek-ai/DeepSeek-R1-Distill-Qwen-32B is busy",
        "gemini-2.5-flash-preview-native-audio-dialog",
        "models/gemini-2.0-flash-exp-image-generation is not found for API version v1beta",
        "Rate limit reached on tokens per min (TPM): Limit 30000, Used 29000. Please try again in 1.5s.",
        "context_length_exceeded insufficient_quota content_policy_violation",
        "Invalid value for key: temperature",
        "503 overloaded_error: Überlastet, bitte später",
    ],
)
def test_what_is_no_secret_stays_readable(text: str) -> None:
    assert mask(text) == text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (" a\r\n\tb \x00 c\u2028d\u202ee\x7f\u200bf ", "a b c d e f"),
        ("<html><head><title>502 Bad\nGateway</title></head><body>x</body>", "502 Bad Gateway"),
        ("502: <html><TITLE lang='en'>Oops</TITLE>", "502: Oops"),
        ("<p>no <b>title</b></p>", "no title"),
        ("1 < 2", "1 < 2"),
        ("a\ud800b", "a b"),
    ],
)
def test_it_is_one_line_without_tags(text: str, shown: str) -> None:
    assert mask(text) == shown


def test_long_texts_are_cut() -> None:
    shown = mask("word " * 1000)
    assert len(shown) == MESSAGE_LIMIT
    assert shown.endswith("…")
    assert mask("wor " * 125)[-3:] == "wor"


@pytest.mark.parametrize("spaces", [0, 4080, 16370])
def test_half_a_key_at_the_cut_is_not_shown(spaces: int) -> None:
    """However the text is cut, no beginning of a key too short to be known as one is left over."""
    key = "Q7" * 300
    for more in range(0, 40, 3):
        shown = mask("x" + " " * (spaces + more) + " " + key + " end" + " " * 20_000 + key)
        assert "Q7" not in shown


@given(text=st.text(max_size=300), times=st.integers(1, 60))
@settings(max_examples=200, deadline=None)
def test_any_text_becomes_one_short_line(text: str, times: int) -> None:
    shown = mask(text * times)
    assert len(shown) <= MESSAGE_LIMIT
    assert not any(character in shown for character in "\r\n\0\x85\u2028\u202e")
    shown.encode()


@pytest.mark.parametrize(
    "unit", ["<", "<title", "key: ", "sk-", "a", "a-", "eyJ.", "bearer ", "=", "x" * 19 + " ", "\u202e"]
)
def test_no_repetition_takes_long(unit: str) -> None:
    """Work that grew with the square or worse would be felt here."""
    for _ in range(20):
        assert len(mask(unit * 20_000)) <= MESSAGE_LIMIT


def test_what_went_along_is_masked_whatever_it_looks_like() -> None:
    wordy, short = "team-alpha-production-orchid", "sk-123"
    text = f"{wordy} is unknown, and so is {short}"
    assert mask(text) == text
    assert mask(text, (wordy, short)) == "*** is unknown, and so is ***"
