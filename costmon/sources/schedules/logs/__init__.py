"""An app's own scheduler log tells of plans and runs: followed over rotations, read in Korean and English.

`LogFollower.poll` is what the engine's thread calls every second or two.
"""

from __future__ import annotations

from costmon.sources.schedules.logs.follower import LogFollower

__all__ = ["LogFollower"]
