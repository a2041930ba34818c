"""From how many requests a day on is a rented server cheaper than an API? Pure and exact."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

HOUR_SECONDS = 3600


@dataclass(frozen=True, slots=True)
class Server:
    """`price` in nano an hour while it is on; `tokens_per_second` it can serve (all requests together)."""

    price: Fraction
    tokens_per_second: Fraction
    hours_on: Fraction

    @property
    def day(self) -> Fraction:
        """What a day costs, nano."""
        return self.price * self.hours_on

    @property
    def tokens_a_day(self) -> Fraction:
        return self.tokens_per_second * HOUR_SECONDS * self.hours_on


@dataclass(frozen=True, slots=True)
class Comparison:
    """The server and the API at one number of requests a day, nano; `servers` are needed to carry them."""

    requests: Fraction
    servers: int
    hosted: Fraction
    api: Fraction

    @property
    def cheaper(self) -> str:
        """'server', 'api' or 'same'."""
        if self.hosted == self.api:
            return "same"
        return "server" if self.hosted < self.api else "api"


@dataclass(frozen=True, slots=True)
class BreakEven:
    """`from_requests`: the fewest requests a day at which one server costs less than the API, None = never, for one of
    the `reason`s 'capacity' (the server cannot carry so many) and 'free' (the API costs nothing).

    `needed`: that number, whether or not the server can carry it (None when the API is free). `utilisation` is the share
    of the server's tokens that `from_requests` takes. `full_request`: a request's cost on a server that is always busy.
    """

    server: Server
    api_request: Fraction
    tokens_per_request: int
    capacity: int
    needed: int | None
    from_requests: int | None
    reason: str
    utilisation: Fraction | None
    full_request: Fraction | None


def break_even(server: Server, api_request: Fraction, tokens_per_request: int) -> BreakEven:
    """Compare one server with an API that charges `api_request` nano (of the server's currency) for a request.

    Args:
        tokens_per_request: of those that `tokens_per_second` counts, > 0.
    """
    capacity = int(server.tokens_a_day / tokens_per_request)
    full = server.day / capacity if capacity else None
    if api_request <= 0:
        return BreakEven(server, api_request, tokens_per_request, capacity, None, None, "free", None, full)
    needed = int(server.day / api_request) + 1
    if needed > capacity:
        reason, found, used = "capacity", None, None
    else:
        reason, found = "", needed
        used = needed * tokens_per_request / server.tokens_a_day
    return BreakEven(server, api_request, tokens_per_request, capacity, needed, found, reason, used, full)


def compare(found: BreakEven, requests: Fraction) -> Comparison | None:
    """Both at `requests` a day, on as many servers as that takes; None when one cannot even serve a request a day."""
    if not found.capacity:
        return None
    servers = max(1, -int(-requests // found.capacity))
    return Comparison(requests, servers, servers * found.server.day, requests * found.api_request)
