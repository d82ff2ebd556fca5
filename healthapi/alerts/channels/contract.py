"""What a channel is: the one thing that whoever adds one has to know (docs/CREATING_CHANNELS.md)."""

from __future__ import annotations

from typing import Protocol

from healthapi.alerts.message import Message


class ChannelError(Exception):
    """A message was not taken. The text is for people and never holds an address, a key or what a server said.

    `again` says whether the same message may be taken a little later.
    """

    def __init__(self, message: str, *, again: bool = True) -> None:
        """Say what went wrong."""
        super().__init__(message)
        self.again = again


class Channel(Protocol):
    """A place that messages can be sent to."""

    async def send(self, message: Message) -> None:
        """Send one message and return when it was taken.

        It may be cancelled at any point, after ten seconds for one. While it sends one message about an alert it is not
        asked to send another, but it may be for a message that tries it out.

        Raises:
            ChannelError: it was not taken.
        """
