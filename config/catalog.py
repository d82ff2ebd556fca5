"""The providers Detour knows by name: facts, one row each. Adding one needs no code.

A `${NAME}` in a base URL is an environment variable it cannot do without. Of several key variables the first one set
wins. `prefixes` are API prefixes of dialects other than the provider's own.
"""

from __future__ import annotations

from typing import Any, Final

from msgspec import Struct

from config.settings import TimeoutOverrides
from config.words import AuthStyle, Dialect

NATIVE_AUTH: Final = {
    Dialect.OPENAI: AuthStyle.BEARER,
    Dialect.ANTHROPIC: AuthStyle.X_API_KEY,
    Dialect.GEMINI: AuthStyle.X_GOOG_API_KEY,
    Dialect.FAL: AuthStyle.KEY,
}
"""Where each dialect has its key unless a provider says otherwise."""


FAL_MODELS: Final = "https://api.fal.ai/v1/models?limit=100"
"""Where all of fal's endpoints are listed (https://docs.fal.ai/platform-apis/v1/models)."""


class Entry(Struct, frozen=True, kw_only=True):
    """One catalogued provider. `header_variables` are headers sent when their environment variable is set.

    `models_per_minute` is how many different models of it may be probed within a minute, where that is limited.
    `list_at` is where its list of models is, with the query that asks for all of it: behind its base URL, with `../`
    beside that, or a URL of its own, which needs no key; None where it has none.
    `limit_field` is what the most tokens of a chat completion are called; `queue` says that it can be asked how a
    request is doing, `queue_at` names the entry of the same vendor that can, and takes the same keys.
    """

    name: str
    base_url: str
    variables: tuple[str, ...]
    dialect: Dialect = Dialect.OPENAI
    auth: AuthStyle | None = None
    aliases: tuple[str, ...] = ()
    prefixes: dict[str, str] = {}
    headers: dict[str, str] = {}
    header_variables: dict[str, str] = {}
    timeouts: TimeoutOverrides = TimeoutOverrides()
    models_per_minute: int | None = None
    chat: bool = True
    list_at: str | None = "models"
    limit_field: str = "max_tokens"
    queue: bool = False
    queue_at: str | None = None

    @property
    def host(self) -> str:
        """The host of its base URL."""
        return self.base_url.partition("://")[2].partition("/")[0]

    @property
    def prefix(self) -> str:
        """The path of its base URL."""
        return "".join(self.base_url.partition("://")[2].partition("/")[1:])


def _entry(name: str, base_url: str, variables: str, **more: Any) -> Entry:
    return Entry(name=name, base_url=base_url, variables=tuple(variables.split()), **more)


_ENTRIES: Final = (
    _entry("openai", "https://api.openai.com/v1", "OPENAI_API_KEY", limit_field="max_completion_tokens"),
    _entry(
        "anthropic",
        "https://api.anthropic.com/v1",
        "ANTHROPIC_API_KEY",
        dialect=Dialect.ANTHROPIC,
        prefixes={"openai": "/v1"},
        headers={"anthropic-version": "2023-06-01"},
    ),
    _entry(
        "openrouter",
        "https://openrouter.ai/api/v1",
        "OPENROUTER_API_KEY",
        prefixes={"anthropic": "/api/v1"},
        models_per_minute=4,
        list_at="models?output_modalities=all",
    ),
    _entry("groq", "https://api.groq.com/openai/v1", "GROQ_API_KEY"),
    _entry("together", "https://api.together.xyz/v1", "TOGETHER_API_KEY"),
    _entry("fireworks", "https://api.fireworks.ai/inference/v1", "FIREWORKS_API_KEY"),
    _entry("deepinfra", "https://api.deepinfra.com/v1/openai", "DEEPINFRA_API_KEY"),
    _entry("cerebras", "https://api.cerebras.ai/v1", "CEREBRAS_API_KEY"),
    _entry("xai", "https://api.x.ai/v1", "XAI_API_KEY"),
    _entry("nebius", "https://api.tokenfactory.nebius.com/v1", "NEBIUS_API_KEY"),
    _entry("novita", "https://api.novita.ai/v3/openai", "NOVITA_API_KEY"),
    _entry("featherless", "https://api.featherless.ai/v1", "FEATHERLESS_API_KEY", list_at="models?per_page=1000"),
    _entry("chutes", "https://llm.chutes.ai/v1", "CHUTES_API_KEY"),
    _entry("huggingface", "https://router.huggingface.co/v1", "HUG_API_KEY HF_TOKEN HUGGINGFACE_API_KEY"),
    _entry("aimo", "https://beta.aimo.network/api/v1", "AIMO_API_KEY"),
    _entry("near", "https://cloud-api.near.ai/v1", "NEAR_API_KEY", timeouts=TimeoutOverrides(first_byte=120.0)),
    _entry(
        "aihubmix", "https://aihubmix.com/v1", "AIHUBMIX_API_KEY", header_variables={"APP-Code": "AIHUBMIX_APP_CODE"}
    ),
    _entry("anannas", "https://api.anannas.ai/v1", "ANANNAS_API_KEY"),
    _entry("onerouter", "https://llm.infron.ai/v1", "ONEROUTER_API_KEY"),
    _entry("vercel-ai-gateway", "https://ai-gateway.vercel.sh/v1", "VERCEL_AI_GATEWAY_API_KEY VERCEL_API_TOKEN"),
    _entry("helicone", "https://ai-gateway.helicone.ai/v1", "HELICONE_API_KEY"),
    _entry("clarifai", "https://api.clarifai.com/v2/ext/openai/v1", "CLARIFAI_API_KEY"),
    _entry(
        "alibaba",
        "https://dashscope-intl.aliyuncs.com/compatible-mode/v1",
        "ALIBABA_CLOUD_API_KEY ALIBABA_API_KEY",
        aliases=("alibaba-cloud",),
    ),
    _entry("simplismart", "https://api.simplismart.live", "SIMPLISMART_API_KEY"),
    _entry("canopywave", "https://inference.canopywave.io/v1", "CANOPYWAVE_API_KEY"),
    _entry("sybil", "https://api.sybil.com/v1", "SYBIL_API_KEY"),
    _entry("morpheus", "https://api.mor.org/api/v1", "MORPHEUS_API_KEY"),
    _entry("modelz", "https://backend.alpacanetwork.ai", "MODELZ_API_KEY", chat=False, list_at=None),
    _entry(
        "cloudflare-workers-ai",
        "https://api.cloudflare.com/client/v4/accounts/${CLOUDFLARE_ACCOUNT_ID}/ai/v1",
        "CLOUDFLARE_API_TOKEN",
        list_at="../models/search?per_page=100",
    ),
    _entry(
        "google-vertex",
        "https://${GOOGLE_VERTEX_LOCATION}-aiplatform.googleapis.com/v1",
        "GOOGLE_ACCESS_TOKEN",
        dialect=Dialect.GEMINI,
        auth=AuthStyle.BEARER,
        aliases=("google",),
        list_at=None,
    ),
    _entry(
        "gemini",
        "https://generativelanguage.googleapis.com/v1beta",
        "GEMINI_API_KEY GOOGLE_API_KEY",
        dialect=Dialect.GEMINI,
        prefixes={"openai": "/v1beta/openai"},
    ),
    _entry(
        "fal",
        "https://fal.run",
        "FAL_KEY FAL_API_KEY",
        dialect=Dialect.FAL,
        list_at=FAL_MODELS,
        queue_at="fal-queue",
    ),
    _entry(
        "fal-queue",
        "https://queue.fal.run",
        "FAL_KEY FAL_API_KEY",
        dialect=Dialect.FAL,
        list_at=FAL_MODELS,
        queue=True,
    ),
    _entry("deepseek", "https://api.deepseek.com/v1", "DEEPSEEK_API_KEY"),
    _entry("mistral", "https://api.mistral.ai/v1", "MISTRAL_API_KEY"),
    _entry("moonshot", "https://api.moonshot.ai/v1", "MOONSHOT_API_KEY"),
    _entry("minimax", "https://api.minimax.io/v1", "MINIMAX_API_KEY"),
    _entry("zai", "https://api.z.ai/api/paas/v4", "ZAI_API_KEY"),
    _entry("akash", "https://api.akashml.com/v1", "AKASH_API_KEY"),
)

CATALOG: Final = {entry.name: entry for entry in _ENTRIES}
"""Every catalogued provider by its canonical name, in the order of the docs."""

_HOSTS: Final = {entry.host: entry for entry in reversed(_ENTRIES)}


def known(name: str, host: str) -> Entry | None:
    """What is known of a provider: by its name, or, where it has one of its own, by its host."""
    return CATALOG.get(name) or _HOSTS.get(host)


ALIASES: Final = {alias: entry.name for entry in _ENTRIES for alias in entry.aliases}
"""Other names of catalogued providers."""


def canonical(name: str) -> str:
    """The canonical name of a provider that may be called by an alias."""
    return ALIASES.get(name, name)
