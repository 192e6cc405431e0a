"""Coming in: the join code and how often a wrong one may be tried, a learner's key, and the names on the board."""

from __future__ import annotations

import hmac
import secrets
import time
from collections import deque
from collections.abc import Callable, Collection
from hashlib import sha256

from spokekit.board.wire import CODE_LETTERS

CODE_LENGTH = 6
CERTIFICATE_LENGTH = 12
MOST_TRIES = 10
"""Wrong codes that one address may send in `TRIES_SECONDS`."""
MOST_TRIES_IN_ALL = 100
TRIES_SECONDS = 60.0

_HOW = (
    *("Amber", "Brave", "Bright", "Calm", "Clear", "Clever", "Copper", "Coral", "Curious", "Eager", "Early", "Fair"),
    *("Fleet", "Gentle", "Golden", "Happy", "Honest", "Jolly", "Keen", "Kind", "Lively", "Lucky", "Merry", "Mild"),
    *("Modest", "Noble", "Patient", "Polite", "Proud", "Quick", "Quiet", "Ready", "Silver", "Steady", "Sunny", "Swift"),
    *("Tidy", "Velvet", "Warm", "Wise"),
)
_WHO = (
    *("Avocet", "Badger", "Beaver", "Bittern", "Bunting", "Crane", "Curlew", "Dipper", "Dolphin", "Dunlin", "Falcon"),
    *("Finch", "Fox", "Gannet", "Hare", "Heron", "Hoopoe", "Ibis", "Jay", "Kestrel", "Kite", "Lark", "Lynx", "Marten"),
    *("Merlin", "Newt", "Oriole", "Osprey", "Otter", "Owl", "Plover", "Puffin", "Raven", "Robin", "Seal", "Siskin"),
    *("Stork", "Swallow", "Tern", "Wren"),
)


def new_code(length: int = CODE_LENGTH) -> str:
    """Return a code of letters that are read for nothing else."""
    return "".join(secrets.choice(CODE_LETTERS) for _ in range(length))


def as_typed(code: str) -> str:
    """Return a code in the form in which codes are compared: blanks, hyphens and small letters do not count."""
    return "".join(code.split()).replace("-", "").upper()


def same(one: str, other: str) -> bool:
    """Compare two texts in a time that does not tell where they differ."""
    return hmac.compare_digest(one.encode("utf-8", "surrogatepass"), other.encode("utf-8", "surrogatepass"))


def new_key() -> str:
    """Return a key of 256 bits."""
    return secrets.token_urlsafe(32)


def digest(key: str) -> str:
    """Return what is kept of a key; the key itself is not."""
    return sha256(key.encode("utf-8", "surrogatepass")).hexdigest()


def pseudonym(taken: Collection[str]) -> str:
    """Return a name of two words that nobody in the class has."""
    for _ in range(200):
        made = f"{secrets.choice(_HOW)} {secrets.choice(_WHO)}"
        if made not in taken:
            return made
    return next(made for one in _HOW for other in _WHO if (made := f"{one} {other}") not in taken)


def new_seed(taken: Collection[int]) -> int:
    """Return a number from which a learner's world is made, another one for each."""
    while (made := 1 + secrets.randbelow(1_000_000)) in taken:
        pass
    return made


class Tries:
    """How often something was tried wrongly, by address and in all, in the last minute."""

    def __init__(
        self,
        most: int = MOST_TRIES,
        in_all: int = MOST_TRIES_IN_ALL,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._most, self._in_all, self._clock = most, in_all, clock
        self._wrong: deque[tuple[float, str]] = deque()

    def wait(self, address: str) -> float:
        """Return for how many seconds no further try is heard from `address`; 0 when one is."""
        now = self._clock()
        while self._wrong and now - self._wrong[0][0] >= TRIES_SECONDS:
            self._wrong.popleft()
        own = [at for at, who in self._wrong if who == address]
        full = own[-self._most :][:1] if len(own) >= self._most else []
        if len(self._wrong) >= self._in_all:
            full.append(self._wrong[-self._in_all][0])
        return max((at + TRIES_SECONDS - now for at in full), default=0.0)

    def wrong(self, address: str) -> None:
        """Note a wrong try."""
        self._wrong.append((self._clock(), address))
