"""A metered call as the hooks see it: what is asked for, what came of it, and the admitted attempt in between."""

from __future__ import annotations

from typing import NamedTuple

from costmon.shim.booking import Charge
from costmon.shim.events import Attempt, Usage


class Call(NamedTuple):
    """A metered call about to be made. `free`: the config says that its host costs nothing.

    `cost`: nano of `currency` the caller states for it (a tracked API), else None = priced by tokens.
    `fingerprint`: keyed hash of what is asked, '' when it could not be read: equal calls have equal ones.
    `units`: what else it is expected to use beside tokens (images, seconds of audio), to be reserved with them.
    """

    api: str
    family: str
    provider: str
    model: str
    endpoint: str
    input_tokens: int = 0
    max_output: int | None = None
    has_output: bool = True
    free: bool = False
    anywhere: bool = False
    source: str = "shim"
    cost: int | None = None
    currency: str = "USD"
    essential: bool | None = None
    fingerprint: str = ""
    units: Usage | None = None


class Outcome(NamedTuple):
    """What is known after the call. `cost`: nano stated by the caller, or nano USD reported by the provider;
    `charged` False = provably not billed. `text_bytes`: of generated text that came, 0 when not known.
    `once`: it may be seen again, and is written only if the ledger has no event with its response id yet.
    """

    outcome: str
    usage: Usage | None = None
    estimated: bool = False
    charged: bool = True
    at_least_reserved: bool = False
    model: str = ""
    cost: int | None = None
    status_code: int | None = None
    error: str | None = None
    service_tier: str = ""
    duration_us: int | None = None
    first_token_us: int | None = None
    request_id: str = ""
    response_id: str = ""
    text_bytes: int = 0
    once: bool = False


class Open(NamedTuple):
    """An admitted attempt, not yet settled. `written`: its reservation is in the ledger."""

    attempt: Attempt
    charges: list[Charge]
    call: Call
    written: bool
