"""Write a file of the state home in one step, for its owner (or the group of a shared home) alone."""

from __future__ import annotations

import os
import tempfile
from contextlib import suppress

from costmon import paths


def replace_text(path: str, text: str) -> None:
    """Make `text` the content of `path`, on the disk before it takes the old one's place. Raises OSError."""
    folder = paths.make_private(os.path.dirname(path))
    descriptor, draft = tempfile.mkstemp(prefix=".new-", dir=folder)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8", newline="\n") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        if paths.is_shared(folder):
            os.chmod(draft, 0o660)
        os.replace(draft, path)
    except BaseException:
        with suppress(OSError):
            os.unlink(draft)
        raise
