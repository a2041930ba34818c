"""A key that shows itself to nobody by accident."""

from __future__ import annotations

from typing import NoReturn

from costmon.credentials.traces import shows, traces


class Secret:
    """Holds a text that `repr`, `str`, f-strings, logging, pickling, copying and JSON do not give away.

    Only `reveal()` does; whoever calls it puts the text into a request header and nowhere else. Rich and Textual tracebacks
    show locals by `repr`: a secret stays redacted there as long as nobody keeps what `reveal` returned.
    """

    __slots__ = ("_text", "_traces")

    def __init__(self, text: str) -> None:
        self._text = text
        self._traces: tuple[bytes, ...] | None = None

    def reveal(self) -> str:
        """The text itself."""
        return self._text

    def begins_with(self, prefix: str) -> bool:
        """Whether it does; for telling kinds of keys apart."""
        return self._text.startswith(prefix)

    def shows_in(self, text: str) -> bool:
        """Whether the text gives it away: in whole, encoded or not, or its last eight characters."""
        if self._traces is None:
            self._traces = traces(self._text)
        return shows(self._traces, text)

    def fingerprint(self, of: bytes, key: bytes) -> str:
        """A keyed hash of `of` and the text: it finds the same key again, and tells nothing to whoever lacks `key`."""
        from hashlib import blake2b

        found = blake2b(of, digest_size=12, key=key)
        found.update(self._text.encode())
        return found.hexdigest()

    def __repr__(self) -> str:
        return "Secret(•••)"

    __str__ = __repr__

    def __format__(self, spec: str) -> str:
        return repr(self)

    def __bool__(self) -> bool:
        return bool(self._text)

    def __eq__(self, other: object) -> bool:
        import hmac

        return isinstance(other, Secret) and hmac.compare_digest(self._text.encode(), other._text.encode())

    def __hash__(self) -> int:
        return hash(self._text)

    def __reduce__(self) -> NoReturn:
        raise TypeError("a secret is not stored or sent")

    def __copy__(self) -> Secret:
        return self

    def __deepcopy__(self, memo: object) -> Secret:
        return self
