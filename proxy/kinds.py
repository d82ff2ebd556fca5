"""What vendors' error words mean: as which HTTP status they count, and which of them are of a special kind. Data only.

Words are compared in lower case: `type`, `code`, `status` and `reason` strings of error objects. Texts are matched only
where a vendor gives no word of its own for the case.
"""

from __future__ import annotations

import re
from typing import Final

STATUS_OF: Final[dict[str, int]] = {
    # 400: the caller's request
    "invalid_request_error": 400,
    "invalid_request": 400,
    "invalid_prompt": 400,
    "invalid_argument": 400,
    "failed_precondition": 400,
    "out_of_range": 400,
    "bad_request": 400,
    "badrequesterror": 400,
    "bad_request_error": 400,
    "validation_error": 400,
    "unprocessable_entity": 400,
    "unsupported_value": 400,
    "unsupported_parameter": 400,
    "data_residency_mismatch": 400,
    "invalid_image": 400,
    "invalid_image_format": 400,
    "invalid_base64_image": 400,
    "invalid_image_url": 400,
    "invalid_image_mode": 400,
    "image_too_large": 400,
    "image_too_small": 400,
    "image_parse_error": 400,
    "image_file_too_large": 400,
    "image_file_not_found": 400,
    "unsupported_image_media_type": 400,
    "empty_image_file": 400,
    "failed_to_download_image": 400,
    "tool_use_failed": 400,
    "json_validate_failed": 400,
    "context_length_exceeded": 400,
    "model_context_window_exceeded": 400,
    "string_above_max_length": 400,
    "content_policy_violation": 400,
    "image_content_policy_violation": 400,
    "content_filter": 400,
    "content_filtered": 400,
    "content_moderation": 400,
    "moderation_blocked": 400,
    "bio_policy": 400,
    "data_inspection_failed": 400,
    "datainspectionfailed": 400,
    "responsibleaipolicyviolation": 400,
    "api_key_invalid": 400,
    # 401, 402, 403, 404
    "authentication_error": 401,
    "invalid_authentication_error": 401,
    "incorrect_api_key_error": 401,
    "authenticationerror": 401,
    "unauthenticated": 401,
    "unauthorized": 401,
    "invalid_api_key": 401,
    "billing_error": 402,
    "payment_required": 402,
    "insufficient_balance": 402,
    "permission_error": 403,
    "permission_denied": 403,
    "permission_denied_error": 403,
    "forbidden": 403,
    "not_found_error": 404,
    "not_found": 404,
    "notfounderror": 404,
    "model_not_found": 404,
    "request_too_large": 413,
    # 408 and 504: time
    "request_timeout": 408,
    "timeout": 504,
    "timeout_error": 504,
    "deadline_exceeded": 504,
    "gateway_timeout": 504,
    "vector_store_timeout": 504,
    # 429
    "rate_limit_error": 429,
    "rate_limit_exceeded": 429,
    "rate_limit": 429,
    "rate_limited": 429,
    "rate_limit_reached_error": 429,
    "ratelimiterror": 429,
    "too_many_requests": 429,
    "resource_exhausted": 429,
    "insufficient_quota": 429,
    "exceeded_current_quota_error": 429,
    "billing_hard_limit_reached": 429,
    "billing_not_active": 429,
    # 5xx
    "server_error": 500,
    "api_error": 500,
    "internal": 500,
    "internal_error": 500,
    "internal_server_error": 500,
    "internalservererror": 500,
    "unknown": 500,
    "data_loss": 500,
    "unimplemented": 501,
    "bad_gateway": 502,
    "upstream_error": 502,
    "provider_error": 502,
    "service_unavailable": 503,
    "service_unavailable_error": 503,
    "serviceunavailable": 503,
    "unavailable": 503,
    "overloaded": 503,
    "engine_overloaded": 503,
    "engine_overloaded_error": 503,
    "capacity_exceeded": 503,
    "overloaded_error": 529,
}
"""The status an error word counts as; from the vendors' error pages and the enumerations of their SDKs."""

DEFAULT_STATUS: Final = 500
"""What an error counts as that names neither a known status nor a known word."""

QUOTA: Final = frozenset(
    {
        "insufficient_quota",
        "insufficient_balance",
        "exceeded_current_quota_error",
        "billing_hard_limit_reached",
        "billing_not_active",
        "billing_error",
        "arrearage",
    }
)
"""The account has nothing left to spend."""

QUOTA_TEXT: Final = re.compile(r"credit balance is too low|insufficient_quota")

KEY: Final = frozenset({"api_key_invalid", "invalid_api_key", "incorrect_api_key_error"})
"""The key is wrong, whatever status says so (Gemini: 400)."""

KEY_TEXT: Final = re.compile(r"incorrect api key|api key not valid")

CONTEXT: Final = frozenset({"context_length_exceeded", "model_context_window_exceeded"})
"""The prompt is longer than the model takes."""

CONTEXT_TEXT: Final = re.compile(
    r"(?:maximum|model|exceeds?(?: the)?|limit of the) context (?:length|window)"
    r"|context (?:length|window) (?:of|is|exceed)"
    r"|exceeds? (?:the )?(?:\w+ )?context|prompt is too long|prompt exceeds max length"
    r"|exceeds the maximum number of tokens|maximum prompt length|range of input length"
    r"|tokens \+ `?max_new_tokens|exceeded model token limit|reduce the length of the (?:messages|prompt|input)"
)
"""Anthropic, Gemini, xAI, TGI, Fireworks, Alibaba, Moonshot, Z.ai and the servers built on vLLM say it in words."""

POLICY: Final = frozenset(
    {
        "content_policy_violation",
        "image_content_policy_violation",
        "content_filter",
        "content_filtered",
        "content_moderation",
        "moderation_blocked",
        "bio_policy",
        "data_inspection_failed",
        "datainspectionfailed",
        "responsibleaipolicyviolation",
        "prohibited_content",
        "safety",
    }
)
"""The content was refused."""

POLICY_TEXT: Final = re.compile(
    r"usage polic|usage guidelines|content polic|content management policy|content filter|safety system"
    r"|content exists risk|considered high risk|requires moderation|was flagged|flagged (?:as|for|by)"
    r"|inappropriate content|responsible ai"
    r"|violat\w+ (?:\w+ ){0,3}polic"
)

MODEL: Final = frozenset({"model_not_found", "modelnotfound", "model_not_available"})
"""The model is not there, or not for this key."""

MODEL_TEXT: Final = re.compile(r"\bmodels?\b|\bmodels/|no endpoints found|\bdeployment\b|\bapplication\b")

LIMIT_TEXT: Final = re.compile(
    r"output limit (?:was |is )?reached"
    r"|max\w{0,20}tokens?\W.{0,80}?(?:below|at least|too (?:low|small)|minimum|greater than|higher|>=|\breached)"
    r"|(?:minimum|below|too (?:low|small)).{0,80}?max\w{0,20}tokens?"
    r"|(?:because of|due to|reason)\W{1,5}length",
    re.DOTALL,
)
"""The most tokens that an answer may have were too few for it, or for the model to be asked at all."""

REQUEST_TEXT: Final = re.compile(r"\brequest\b.{0,80}(?:not found|not exist|unknown)|(?:no such|unknown) request\b")
"""There is no request of that id."""
