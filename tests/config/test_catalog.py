from __future__ import annotations

import re

import pytest

from config.baseurl import expand, parse_base_url
from config.catalog import ALIASES, CATALOG, NATIVE_AUTH, Entry, canonical
from config.words import Dialect


def test_every_account_of_the_contract_is_there() -> None:
    assert len(CATALOG) == 39
    names = """openai anthropic openrouter groq together fireworks deepinfra cerebras xai nebius novita featherless
        chutes huggingface aimo near aihubmix anannas onerouter vercel-ai-gateway helicone clarifai alibaba simplismart
        canopywave sybil morpheus modelz cloudflare-workers-ai google-vertex gemini fal fal-queue deepseek mistral
        moonshot minimax zai akash"""
    assert list(CATALOG) == names.split()


@pytest.mark.parametrize(
    ("provider", "variables"),
    [
        ("fal", ("FAL_KEY", "FAL_API_KEY")),
        ("alibaba", ("ALIBABA_CLOUD_API_KEY", "ALIBABA_API_KEY")),
        ("vercel-ai-gateway", ("VERCEL_AI_GATEWAY_API_KEY", "VERCEL_API_TOKEN")),
        ("huggingface", ("HUG_API_KEY", "HF_TOKEN", "HUGGINGFACE_API_KEY")),
        ("gemini", ("GEMINI_API_KEY", "GOOGLE_API_KEY")),
    ],
)
def test_key_variables_that_were_once_confused(provider: str, variables: tuple[str, ...]) -> None:
    assert CATALOG[provider].variables == variables


@pytest.mark.parametrize("entry", CATALOG.values(), ids=str)
def test_every_entry_can_be_used(entry: Entry) -> None:
    url, missing = expand(entry.base_url, dict.fromkeys(re.findall(r"\$\{(\w+)\}", entry.base_url), "x1"))
    origin, prefix = parse_base_url(url)
    assert missing == ()
    assert origin.tls
    assert prefix == entry.prefix.replace("${CLOUDFLARE_ACCOUNT_ID}", "x1")
    assert entry.variables
    assert set(entry.prefixes) <= {str(dialect) for dialect in Dialect}


def test_aliases_lead_to_entries_and_hide_none() -> None:
    assert ALIASES == {"alibaba-cloud": "alibaba", "google": "google-vertex"}
    assert not ALIASES.keys() & CATALOG.keys()
    assert canonical("google") == "google-vertex"
    assert canonical("groq") == "groq"


def test_every_dialect_has_its_own_place_for_the_key() -> None:
    assert set(NATIVE_AUTH) == set(Dialect)
