"""The channel of `[notify] desktop = false`: nothing is shown, and that is what was asked for."""

from __future__ import annotations

from costmon.act.channels import Delivery


class NullNotifier:
    """Answers every notification with success, so that alerts are marked and never retried."""

    def send(self, title: str, body: str, urgency: str, replaces: str = "") -> Delivery:  # noqa: ARG002
        return Delivery(True, "none", "desktop notifications are turned off in the config")
