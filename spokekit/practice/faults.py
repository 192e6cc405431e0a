"""Things that go wrong on the way: a menu that can be ordered from at start and while the site runs."""

from __future__ import annotations

FAULTS: dict[str, str] = {}
