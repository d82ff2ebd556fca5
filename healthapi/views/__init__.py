"""The documents of the admin port: frozen Structs with the contract's field names, and the functions that make them."""

from healthapi.views.breakers import breaker_list, breaker_row, provider_breakers
from healthapi.views.dashboard import dashboard
from healthapi.views.gateways import gateways
from healthapi.views.history import model_history
from healthapi.views.models import model_health_list, unhealthy
from healthapi.views.record import model_health
from healthapi.views.rows import model_rows, provider_rows
from healthapi.views.sla import provider_sla
from healthapi.views.sources import Sources
from healthapi.views.system import system
from healthapi.views.totals import provider_summary, providers, stats

__all__ = [
    "Sources",
    "breaker_list",
    "breaker_row",
    "dashboard",
    "gateways",
    "model_health",
    "model_health_list",
    "model_history",
    "model_rows",
    "provider_breakers",
    "provider_rows",
    "provider_sla",
    "provider_summary",
    "providers",
    "stats",
    "system",
    "unhealthy",
]
