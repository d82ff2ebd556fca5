"""The columns of every list, as they were first told: readers may count on their places."""

from __future__ import annotations

from typing import Final

NO_LISTS: Final = {"/readyz", "/v1/model-health/provider/{provider}/sla"}
"""Documents that hold lists beside much else: they are no list."""

COLUMNS: Final = {
    "/health/providers": """
        provider gateway status total_models healthy_models degraded_models unhealthy_models
        avg_response_time_ms overall_uptime last_checked error_message circuit_breaker_state
        circuit_breaker_reason
    """,
    "/health/models": """
        model_id provider gateway status response_time_ms success_rate last_checked last_success last_failure
        error_count total_requests avg_response_time_ms uptime_percentage error_message circuit_breaker_state
        circuit_breaker_reason delisted
    """,
    "/health/gateways": """
        name status latency_ms available last_check error healthy total_models configured
    """,
    "/health/dashboard": """
        model_id name provider status status_color response_time uptime last_checked
    """,
    "/v1/model-health": """
        provider model last_response_time_ms last_status last_called_at call_count success_count error_count
        average_response_time_ms last_error_message created_at updated_at gateway monitoring_tier
        circuit_breaker_state consecutive_failures consecutive_successes last_success_at last_failure_at
        uptime_percentage_24h uptime_percentage_7d uptime_percentage_30d p50_response_time_ms
        p95_response_time_ms p99_response_time_ms p50_first_byte_ms p95_first_byte_ms circuit_breaker_reason
        delisted
    """,
    "/v1/model-health/unhealthy": """
        provider model error_rate last_response_time_ms last_status last_called_at call_count success_count
        error_count average_response_time_ms last_error_message created_at updated_at gateway monitoring_tier
        circuit_breaker_state consecutive_failures consecutive_successes last_success_at last_failure_at
        uptime_percentage_24h uptime_percentage_7d uptime_percentage_30d p50_response_time_ms
        p95_response_time_ms p99_response_time_ms p50_first_byte_ms p95_first_byte_ms circuit_breaker_reason
        delisted
    """,
    "/v1/model-health/providers": """
        provider model_count total_calls
    """,
    "/v1/model-health/history": """
        at calls success error timeout rate_limited network_error error_rate average_response_time_ms
        p50_response_time_ms p95_response_time_ms p50_first_byte_ms p95_first_byte_ms
    """,
    "/v1/model-health/cleanup": """
        provider model reason configured last_called_at call_count error_rate
    """,
    "/v1/providers": """
        name dialect base_url configured key variables found missing targets models
    """,
    "/v1/providers/{provider}/models": """
        model offered tracked groups delisted_since new
    """,
    "/v1/alerts": """
        id rule subject state severity value threshold message since fired_at resolved_at told_at messages
        silenced channels inhibited_by
    """,
    "/circuit-breakers": """
        name provider model scope credential mode state failure_count success_count failure_rate recent_requests
        consecutive_failures opened_at seconds_until_retry reason cause generation trials_out manual
        hold_off_seconds
    """,
    "/circuit-breakers/{provider}": """
        name provider model scope credential mode state failure_count success_count failure_rate recent_requests
        consecutive_failures opened_at seconds_until_retry reason cause generation trials_out manual
        hold_off_seconds
    """,
}
"""By the path of the route."""
