"""The made-up vendor: looks at the demo's ledger to decide how long an answer is, and fails now and then."""

from __future__ import annotations

import random
from threading import Lock

from costmon.budget.rows import read_budgets
from costmon.demo.home import BUDGET, DAY_S
from costmon.demo.pace import MIN_TOKENS, Moment, Request, answer_tokens
from costmon.demo.server import Answer, Ask
from costmon.errors import CostmonError
from costmon.shim import cards
from costmon.shim.prices import Prices
from costmon.store import Store, open_ledger

_FAILURES = {429: 0.025, 500: 0.008}
_SAFE_FROM = 9300
"""From here on nothing fails: the steps over 95 % and 100 % are the point of the story."""


class MadeUpVendor:
    """Callable from the server's threads.

    Args:
        day_s: real seconds of a simulated day; answers take their time in proportion.
    """

    def __init__(self, home: str, day_s: float, seed: int = 7) -> None:
        self._home = home
        self._pause = day_s / 72
        self._random = random.Random(seed)
        self._lock = Lock()

    def __call__(self, ask: Ask) -> Answer:
        with self._lock:  # answers are decided one by one, or two calls would both fill the same gap
            try:
                store = open_ledger(self._home)
                try:
                    return self._answer(ask, store)
                finally:
                    store.close()
            except CostmonError:
                return Answer(MIN_TOKENS, 0.1)

    def _answer(self, ask: Ask, store: Store) -> Answer:
        seconds = self._pause * self._random.uniform(0.1, 0.25)
        found = moment_of(store)
        if found is None:
            return Answer(MIN_TOKENS, seconds)
        if found.points < _SAFE_FROM:
            for status, share in _FAILURES.items():
                if self._random.random() < share:
                    return Answer(0, seconds / 2, status)
        prompt, per_token = costs(ask, store)
        request = Request(ask.app, prompt, per_token, ask.max_tokens)
        return Answer(answer_tokens(found, request, self._random.randint(45, 100)), seconds)


def moment_of(store: Store) -> Moment | None:
    """Where the simulated day stands; None when the budget is gone (somebody edited the demo's config)."""
    now = store.now()
    for budget, period in read_budgets(store.db, now):
        if budget.name == BUDGET:
            minute = now // 60_000_000 % (DAY_S // 60)
            return Moment(minute, period.spent + period.assumed, budget.amount)
    return None


def costs(ask: Ask, store: Store) -> tuple[int, int]:
    """(the prompt's cost, one output token's cost) in nano USD at list price; zeros when there is none."""
    card = Prices().card(store.db, ask.provider, ask.model, store.now(), "", anywhere=True)
    if card is None:
        return 0, 0
    usage = {"input_tokens": ask.prompt_tokens, "output_tokens": 0}
    prompt = cards.price(card, usage).nano or 0
    whole = cards.price(card, {**usage, "output_tokens": 1000}).nano or 0
    return prompt, (whole - prompt) // 1000
