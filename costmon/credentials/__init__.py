"""Keys for provider endpoints: where they are kept, and how they are reached without freezing anything.

secret   a key that shows itself to nobody by accident; traces: where it shows in a text
entry    a key as it is stored, with the hosts it may go to; what counts as a key
keyring  the system's keyring, through one daemon thread (patience) that nobody waits for longer than 5 s
files    keys in files that only their owner can read
finding  where a source's key is: keyring, environment, file

A key is bound: it goes only to the hosts it was stored for, or that the operator named in the same section as the key.
"""

from __future__ import annotations

from costmon.credentials.entry import Entry
from costmon.credentials.finding import Found, Place, Wanted, find, find_async, places
from costmon.credentials.keyring import NoKeyringError
from costmon.credentials.patience import OutOfReachError
from costmon.credentials.secret import Secret

__all__ = [
    "Entry",
    "Found",
    "NoKeyringError",
    "OutOfReachError",
    "Place",
    "Secret",
    "Wanted",
    "find",
    "find_async",
    "places",
]
