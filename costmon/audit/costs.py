"""What runs cost a week: how often, times tokens, times price. Unknown is None, never 0."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Mapping
from fractions import Fraction
from typing import NamedTuple

from costmon.audit.services import Member
from costmon.audit.values import Cadence
from costmon.pricing.calculators.scenario import Load
from costmon.pricing.lookup.show import Catalogue, Found
from costmon.shim.money import Money

USUAL = (4000, 1000)
"""Input and output tokens of the call by which two models are compared where nothing is known."""


class Run(NamedTuple):
    """What one run takes on average: `calls`, and of each call its tokens."""

    calls: Fraction
    input_tokens: int
    output_tokens: int


class Known(NamedTuple):
    """What the ledger knows of runs, by job and by app, each in lower case."""

    jobs: Mapping[str, Run]
    apps: Mapping[str, Run]


NOTHING_KNOWN = Known({}, {})


class Pricing:
    """Prices by the catalogue at one time.

    Args:
        tokens: input and output of a run, as somebody said; before what the ledger knows.
        model: what a service asks that names no model.
    """

    def __init__(
        self,
        catalogue: Catalogue,
        at_us: int,
        tokens: tuple[int, int] | None = None,
        model: str = "",
        known: Known = NOTHING_KNOWN,
    ) -> None:
        self._catalogue, self._at, self._tokens, self._model, self._known = (
            catalogue,
            at_us,
            tokens,
            model,
            known,
        )
        self._found: dict[str, Found | None] = {}
        self._weeks: dict[tuple[str, Run, Fraction], Money | None] = {}
        self.unpriced: set[str] = set()
        """Models that were asked about, and have no price."""
        self.lacks_tokens = self.lacks_model = False

    def weekly(self, member: Member, cadences: Iterable[Cadence], names: Iterable[str] = ()) -> Money | None:
        """What a service's runs cost a week; None where its tokens or its price are not known."""
        return self._week(
            self._model_of(member),
            self._run(member, names),
            sum((one.weekly for one in cadences), Fraction(0)),
        )

    def of_job(self, cadence: Cadence, job: str, models: Iterable[str]) -> Money | None:
        """What a job that no service declares costs a week, with the one model that is named around it."""
        named = set(models)
        model = named.pop() if len(named) == 1 else self._model if not named else ""
        run = (
            Run(Fraction(1), *self._tokens) if self._tokens is not None else self._known.jobs.get(job.lower())
        )
        return self._week(model, run, cadence.weekly)

    def per_run(self, model: str) -> Money | None:
        """What a run costs with that model, by the tokens that somebody said."""
        return self._week(model, Run(Fraction(1), *self._tokens) if self._tokens else None, Fraction(1))

    def ratio(self, model: str, other: str) -> tuple[Fraction, Fraction] | None:
        """How many times dearer `model` is than `other`: (least, most) of an input token, an output token, and a usual call;
        None where a price is not known."""
        found = []
        for tokens in ((1_000_000, 0), (0, 1_000_000), self._tokens or USUAL):
            run = Run(Fraction(1), *tokens)
            mine, theirs = self._week(model, run, Fraction(1)), self._week(other, run, Fraction(1))
            if mine is None or theirs is None or mine.currency != theirs.currency:
                return None
            if theirs.nano:
                found.append(Fraction(mine.nano, theirs.nano))
        return (min(found), max(found)) if len(found) == 3 and found[2] > 1 else None

    def _model_of(self, member: Member) -> str:
        """The one model it names, else what somebody said; '' where it names several."""
        named = {one.value for one in member.models if one.value}
        return named.pop() if len(named) == 1 else self._model if not named else ""

    def _run(self, member: Member, names: Iterable[str]) -> Run | None:
        if self._tokens is not None:
            return Run(Fraction(1), *self._tokens)
        of_job = (self._known.jobs.get(name.lower()) for name in names)
        of_app = (self._known.apps.get(name.lower()) for name in member.apps)
        return next((run for run in (*of_job, *of_app) if run is not None), None)

    def _week(self, model: str, run: Run | None, weekly: Fraction) -> Money | None:
        self.lacks_tokens |= run is None
        self.lacks_model |= not model
        if run is None or not model:
            return None
        # Many files say the same; a price is looked up by hour and by rule, which takes its time.
        key = (model, run, weekly)
        if key not in self._weeks:
            self._weeks[key] = self._priced(model, run, weekly)
        return self._weeks[key]

    def _priced(self, model: str, run: Run, weekly: Fraction) -> Money | None:
        found = self._find(model)
        if found is None:
            self.unpriced.add(model)
            return None
        load = Load(weekly * run.calls / 7, run.input_tokens, run.output_tokens, days=7)
        result = found.cost_of(self._at, load)
        nano = result.of_days(7)
        # What lacks a part of its price is no sum to compare by.
        if nano is None or result.unpriced:
            self.unpriced.add(model)
            return None
        return Money(nano, result.currency)

    def _find(self, model: str) -> Found | None:
        if model not in self._found:
            self._found[model] = self._catalogue.find(model[:200], None, self._at)
        return self._found[model]


_RUNS = """select job_run.{name}, count(distinct job_run.id), sum(r.calls), sum(r.input_tokens), sum(r.output_tokens)
    from job_run join (select run_id, sum(calls) calls, sum(input_tokens) input_tokens, sum(output_tokens) output_tokens
        from rollup_run group by run_id) r on r.run_id = job_run.id
    where job_run.ended_at is not null group by lower(job_run.{name}) having sum(r.calls) > 0"""


def known_of(db: sqlite3.Connection) -> Known:
    """What runs took on average, so far."""
    return Known(_averages(db, "job"), _averages(db, "app"))


def _averages(db: sqlite3.Connection, name: str) -> dict[str, Run]:
    return {
        str(of).lower(): Run(Fraction(calls, runs), round(input_tokens / calls), round(output_tokens / calls))
        for of, runs, calls, input_tokens, output_tokens in db.execute(_RUNS.format(name=name))
    }


def less(now: Money | None, then: Money | None) -> Money | None:
    """What is saved, None where one of the two is not known."""
    if now is None or then is None or now.currency != then.currency:
        return None
    return Money(now.nano - then.nano, now.currency)


def total(parts: Iterable[Money | None]) -> Money | None:
    """The sum; None where one is not known, or they are in several currencies."""
    known = list(parts)
    if not known or any(one is None for one in known):
        return None
    sums = [one for one in known if one is not None]
    return (
        None
        if len({one.currency for one in sums}) > 1
        else Money(sum(one.nano for one in sums), sums[0].currency)
    )
