from __future__ import annotations

import pytest

from healthapi.labels import LENGTH, fits, http_status


@pytest.mark.parametrize(
    "name",
    ["gpt-4o", "meta-llama/llama-3.3-70b-instruct:free", 'a"b\\c', "modèle", "模型", "two words", "x" * LENGTH],
)
def test_what_can_be_written_keeps_its_name(name: str) -> None:
    assert fits(name)


@pytest.mark.parametrize(
    "name", ["a\nb", "a\rb", "a\x00b", "\x1b[31m", "\udcff", "\u2028", "\u202e", "x" * (LENGTH + 1)]
)
def test_what_cannot_does_not(name: str) -> None:
    assert not fits(name)


@pytest.mark.parametrize(
    ("status", "label"),
    [
        (0, "0"),
        (200, "200"),
        (404, "404"),
        (429, "429"),
        (499, "499"),
        (503, "503"),
        (522, "522"),
        (529, "529"),
        (299, "2xx"),
        (451, "451"),
        (477, "4xx"),
        (555, "5xx"),
        (700, "7xx"),
        (999, "9xx"),
        (123456, "9xx"),
        (-1, "0xx"),
    ],
)
def test_statuses(status: int, label: str) -> None:
    assert http_status(status) == label


def test_statuses_are_few_whatever_a_provider_sends() -> None:
    assert len({http_status(status) for status in range(100_000)}) < 100
