"""The demo's second app: customers ask it something every few minutes. It is essential: only 100 % stops it."""

from __future__ import annotations

import random

import costmon
from costmon.demo.child import MINUTE_US, SimulatedTime, Vendor, end_with_parent, say
from costmon.errors import SpendBlocked

DIGEST_EVERY_MIN = 180
_QUESTIONS = (
    "Where is my parcel? It should have been here on Tuesday.",
    "I forgot my password and the mail does not arrive.",
    "Can I pay by invoice, and how long do I have?",
    "The blue one is too small. How do I exchange it?",
)
_HOUSE_RULES = "Answer politely, briefly, in the customer's language, and never promise a refund. " * 9


def main() -> None:
    end_with_parent()
    costmon.instrument(app="chatbot", essential=True)
    clock, vendor = SimulatedTime(), Vendor("chatbot")
    digest_at = clock.next_multiple(DIGEST_EVERY_MIN)
    while True:
        try:
            if clock.now() >= digest_at:
                digest_at += DIGEST_EVERY_MIN * MINUTE_US
                digest(vendor)
            answered(answer(vendor))
            clock.sleep(random.uniform(2, 7))
        except SpendBlocked as blocked:
            say("refused", f"SpendBlocked: {blocked}")
            clock.sleep(random.uniform(20, 30))


def answer(vendor: Vendor) -> int:
    """Answer one customer; the harder the question, the larger the model."""
    prompt = f"{_HOUSE_RULES}\nCustomer: {random.choice(_QUESTIONS)}"
    kind = random.random()
    if kind < 0.55:
        with costmon.context(route="/chat"):
            return vendor.stream("gpt-4o", prompt, 400)
    if kind < 0.8:
        with costmon.context(route="/intent"):
            return vendor.stream("gpt-4o-mini", prompt, 120)
    with costmon.context(route="/translate"):
        return vendor.message("claude-haiku-4-5", prompt, 500)


@costmon.job("digest", every=f"{DIGEST_EVERY_MIN}m")
def digest(vendor: Vendor) -> None:
    """Sum up what customers asked."""
    with costmon.context(route="/digest"):
        answered(vendor.chat("gpt-4o-mini", "Sum up today's questions: " + " ".join(_QUESTIONS) * 4, 200))


def answered(status: int) -> None:
    say(
        "ok" if status == 200 else "failed",
        "answered a customer" if status == 200 else f"the API answered {status}",
    )


if __name__ == "__main__":
    main()
