"""Ids that look opaque, need no table, and can be turned back into the row they stand for.

A world of a million people must not hold a million id strings, so an id is computed from its row number and the
seed: the last 48 bits are the row number times an odd constant, the rest is a digest of them. Turning an id back
inverts the multiplication and compares the whole text, so a made-up id is not found.
"""

from __future__ import annotations

from functools import lru_cache
from hashlib import blake2b

_BITS = 1 << 48


class IdSpace:
    """Two-way mapping between row numbers and uuid-like ids.

    Parameters
    ----------
    key:
        Names the space, for example ``"user:1"``; another key gives other ids.
    prefix:
        Written before each id, for example ``"712020:"``.
    """

    def __init__(self, key: str, prefix: str = "") -> None:
        digest = blake2b(key.encode(), digest_size=16).digest()
        self._salt = digest
        self._factor = int.from_bytes(digest[:6], "big") | 1
        self._shift = int.from_bytes(digest[6:12], "big")
        self._inverse = pow(self._factor, -1, _BITS)
        self._prefix = prefix
        self.of = lru_cache(maxsize=1 << 16)(self._of)

    def _of(self, row: int) -> str:
        tail = (row * self._factor + self._shift) % _BITS
        head = blake2b(tail.to_bytes(6, "big"), digest_size=10, key=self._salt).hexdigest()
        return f"{self._prefix}{head[:8]}-{head[8:12]}-4{head[13:16]}-a{head[17:20]}-{tail:012x}"

    def row(self, text: str) -> int | None:
        """Return the row number of an id, or None when the id is not of this space."""
        try:
            tail = int(text[-12:], 16)
        except ValueError:
            return None
        row = (tail - self._shift) * self._inverse % _BITS
        return row if row < (1 << 32) and self._of(row) == text else None
