"""`python -m costmon`."""

from __future__ import annotations

from costmon.cli import main

if __name__ == "__main__":
    main()
