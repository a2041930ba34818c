"""Tests that need whole processes: kill storms, forks, full disks, other users."""
