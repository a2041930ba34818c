"""Ways to tell a person something: one `Notifier` per channel, and the `Delivery` each attempt results in."""

from __future__ import annotations

from typing import NamedTuple, Protocol


class Delivery(NamedTuple):
    """What became of one notification.

    `channel` names who answered ('dbus', 'plyer', 'bell', 'none'; 'desktop' when nobody did); `detail` is one
    sentence for people, without the notification's own text.
    """

    ok: bool
    channel: str
    detail: str


class Notifier(Protocol):
    """One channel."""

    def send(self, title: str, body: str, urgency: str, replaces: str = "") -> Delivery:
        """Show plain text (never markup) within 5 s; never raises.

        Args:
            urgency: 'low', 'normal' or 'critical'.
            replaces: a tag; a notification sent earlier with the same tag is replaced, not repeated.
        """
        ...
