"""What counts as a key, and a key as it is stored: with the hosts it may go to.

Nothing here keeps a key in a local variable of a function that can raise: a traceback that shows locals would show it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass

from costmon.credentials.secret import Secret
from costmon.errors import CredentialError

MAX_LENGTH = 4096
VERSION = 1
_MAX_HOSTS = 50


@dataclass(frozen=True, slots=True)
class Entry:
    """A key and the hosts ("api.openai.com", "gateway.example:8443") it was stored for."""

    secret: Secret
    hosts: tuple[str, ...]

    def allows(self, hosts: Iterable[str]) -> bool:
        """Whether the key may go to all of them."""
        return set(hosts) <= set(self.hosts)

    def document(self) -> Secret:
        """What is stored, as JSON text; a secret, because the key is inside."""
        return Secret(
            json.dumps({"v": VERSION, "hosts": list(self.hosts), "secret": self.secret.reveal()}) + "\n"
        )


def parse_entry(document: Secret, where: str) -> Entry:
    """The entry `document` spells; `where` is what errors call the place. Raises CredentialError."""
    found = _parsed(document)
    if isinstance(found, str):
        raise CredentialError(f"{where} holds no key that costmon wrote ({found}); store it again")
    return Entry(cleaned(found.secret, where), found.hosts)


def is_document(text: Secret) -> bool:
    """Whether it is JSON of ours rather than a bare key."""
    return text.begins_with("{")


def cleaned(text: Secret, where: str) -> Secret:
    """The key without what surrounds it in a paste. Raises CredentialError, naming `where`, if it cannot be one."""
    secret = Secret(text.reveal().strip())
    problem = _problem(secret)
    if problem:
        raise CredentialError(f"{where} {problem}")
    return secret


def _problem(secret: Secret) -> str:
    """What is wrong with a key, as the rest of a sentence; '' if nothing is."""
    text = secret.reveal()
    if not text:
        return "is empty; give the key"
    if len(text.splitlines()) > 1:
        return "has several lines; a key is one line"
    if len(text) > MAX_LENGTH:
        return f"has {len(text):,} characters; a key has {MAX_LENGTH:,} at most"
    if not text.isascii():
        return "has characters that no key has (not ASCII); copy it again"
    if not text.isprintable():
        return "has control characters; copy it again"
    if text[0] in "\"'" and text[-1] == text[0]:
        return "stands in quotes; give it without them"
    if text[0] == "{":
        return "is JSON; give the key alone"
    if text.lower().startswith("bearer "):
        return 'begins with "Bearer"; give the key alone'
    if " " in text:
        return "has a space inside; copy it again"
    return ""


def _parsed(document: Secret) -> Entry | str:
    """The entry, or why it is none; the parser's own exceptions carry the text and end here."""
    try:
        found = json.loads(document.reveal())
    except (ValueError, RecursionError):
        return "it is not JSON"
    if not isinstance(found, dict) or found.get("v") != VERSION:
        return "it is of another version"
    hosts, text = found.get("hosts"), found.get("secret")
    if not isinstance(text, str) or not isinstance(hosts, list) or len(hosts) > _MAX_HOSTS:
        return "a part of it is missing"
    if not all(isinstance(host, str) and host.isprintable() and 0 < len(host) <= 260 for host in hosts):
        return "its hosts are no names"
    return Entry(Secret(text), tuple(hosts))
