"""The channels there are, one file each; a further one is a file and a line in `KINDS`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from config.alerts import Channel as Settings
from config.alerts import ChannelType
from healthapi.alerts.channels.contract import Channel
from healthapi.alerts.channels.email import Email
from healthapi.alerts.channels.sentry import Sentry
from healthapi.alerts.channels.slack import Slack
from healthapi.alerts.channels.webhook import Webhook

KINDS: Final[Mapping[ChannelType, Callable[[Settings], Channel]]] = {
    ChannelType.SLACK: Slack,
    ChannelType.WEBHOOK: Webhook,
    ChannelType.EMAIL: Email,
    ChannelType.SENTRY: Sentry,
}


def channels(configured: Mapping[str, Settings]) -> dict[str, Channel]:
    """The configured channels by name.

    Raises:
        ValueError: one cannot be used; the message says which, why and what to do, without its address.
    """
    made: dict[str, Channel] = {}
    for name, settings in configured.items():
        try:
            made[name] = KINDS[settings.type](settings)
        except ImportError:
            extra = settings.type.value
            raise ValueError(
                f"alerts.channels.{name}: {extra} needs a package that is not installed: pip install 'detour[{extra}]'"
            ) from None
        except ValueError as error:
            raise ValueError(f"alerts.channels.{name}.url: {error}") from None
    return made
