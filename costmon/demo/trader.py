"""The demo's first app: every half hour it asks expensive models what to buy. It has not declared itself essential."""

from __future__ import annotations

import random

import costmon
from costmon.demo.child import SimulatedTime, Vendor, end_with_parent, say
from costmon.errors import SpendBlocked

EVERY_MIN = 30
_SYMBOLS = ("ACME", "GLOBEX", "INITECH", "HOOLI", "UMBRELLA", "STARK", "WAYNE", "TYRELL")


def main() -> None:
    end_with_parent()
    costmon.instrument(app="trader")
    clock, vendor = SimulatedTime(), Vendor("trader")
    while True:
        clock.sleep_until(clock.next_multiple(EVERY_MIN))
        try:
            trade(vendor)
        except SpendBlocked as blocked:
            say("refused", f"SpendBlocked: {blocked}")


@costmon.job("trade", every=f"{EVERY_MIN}m")
def trade(vendor: Vendor) -> None:
    """One run of the job: look at two stocks, weigh the signals, read the news."""
    for symbol in random.sample(_SYMBOLS, 2):
        with costmon.context(route="/research"):
            prompt = f"Is {symbol} worth its price? {ticks(150)}"
            told(vendor.message("claude-sonnet-4-5", prompt, 1200))
    with costmon.context(route="/signals"):
        told(vendor.chat("gpt-4o", f"Which signal is the strongest? {ticks(60)}", 600))
    with costmon.context(route="/news"):
        told(vendor.chat("gpt-4o-mini", f"Sum up what moved the market: {ticks(80)}", 300))


def told(status: int) -> None:
    say("ok" if status == 200 else "failed", "traded" if status == 200 else f"the API answered {status}")


def ticks(count: int) -> str:
    """The last `count` prices of a random walk."""
    price, steps = 10_000, []
    for _ in range(count):
        price += random.randint(-40, 41)
        steps.append(f"{price // 100}.{price % 100:02d}")
    return " ".join(steps)


if __name__ == "__main__":
    main()
