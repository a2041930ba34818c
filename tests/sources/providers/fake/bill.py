"""What was really spent at a fake provider: rows by UTC day, which may be revised, and a balance."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal


@dataclass(frozen=True)
class Charge:
    """One group's spend of one UTC day, in dollars."""

    day: date
    amount: Decimal
    model: str = ""
    project: str | None = None
    key: str | None = None
    requests: int = 1
    input_tokens: int = 0
    cached_tokens: int = 0
    output_tokens: int = 0


@dataclass
class Bill:
    charges: list[Charge] = field(default_factory=list)
    balance: Decimal = Decimal(100)

    def spend(self, day: date, amount: str | Decimal, model: str = "", **more: object) -> None:
        self.charges.append(Charge(day, Decimal(amount), model, **more))  # type: ignore[arg-type]
        self.balance -= Decimal(amount)

    def of(self, day: date) -> list[Charge]:
        return [charge for charge in self.charges if charge.day == day]

    def total(self, first: date, last: date) -> Decimal:
        """Of the days from `first` to `last`, both included."""
        return sum((charge.amount for charge in self.charges if first <= charge.day <= last), Decimal(0))
