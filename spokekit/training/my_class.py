"""The class that a practice home is in, kept beside its lessons for the owner alone.

Under the practice home::

    lessons/class.json          address, key, pseudonym, seed; written by joining, removed by leaving
    lessons/class-hand.json     whether the hand is up
    lessons/class-state.json    how the reporter gets on, when that changed last
    lessons/reporter.lock       held by the one process that reports
"""

from __future__ import annotations

import hashlib
import json
import re
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NoReturn
from urllib.parse import urlsplit

from spokekit._home import private_folder, write_private
from spokekit._secret import Secret
from spokekit._words import clock
from spokekit.errors import InputError, StoreError

FOLDER = "lessons"
FILE = "class.json"
_HAND = "class-hand.json"
_STATE = "class-state.json"
_EXAMPLE = "http://192.168.1.5:8760"
_PATH = re.compile(r"(/[A-Za-z0-9._~-]+)*/?")
MOST_LETTERS = 300
_SETTLED = 3.0


@dataclass(frozen=True)
class MyClass:
    """The class, and who the learner is in it.

    Attributes
    ----------
    url:
        Address of the board, with a slash at its end.
    key:
        What the learner's own row on the board is written with.
    class_name, pseudonym, learner, name, lessons:
        As the board said them, and the name that the learner gave it, or "".
    seed:
        Decides the worlds of this learner's lessons.
    begins_after:
        The last line of the progress before joining: what came earlier is never sent.
    """

    url: str
    key: Secret
    class_name: str
    pseudonym: str
    learner: int
    seed: int
    begins_after: int
    name: str = ""
    lessons: tuple[str, ...] = field(default=())

    @property
    def place(self) -> str:
        """What tells this membership from another one; it says nothing of the key."""
        return hashlib.sha256(f"place {self.key.reveal()}".encode()).hexdigest()[:16]


def class_address(text: str) -> str:
    """Return the address of a board with a slash at its end; raises `InputError` for what is none.

    Plain http is taken for other computers too: what travels holds no secret but the key of one's own row.
    """
    text = text.strip()
    if not text:
        _refuse("The address of the class is missing.")
    if len(text) > MOST_LETTERS or not text.isprintable() or not text.isascii() or any(c in text for c in " <>\"'`\\"):
        _refuse("This is no address of a class: it is too long, or holds signs that no address has.")
    if "://" not in text:
        text = f"http://{text}"
    try:
        parts = urlsplit(text)
        port, host = parts.port, parts.hostname or ""
    except ValueError:
        _refuse("Host or port of this address cannot be read.")
    if parts.scheme.lower() not in ("http", "https"):
        _refuse(f"{parts.scheme}:// is no way to a class.")
    if not host or "%" in parts.netloc or port == 0:
        _refuse("There is no usable host or port in this address.")
    if "@" in parts.netloc:
        _refuse("There is a user name or password in this address.")
    if parts.query or parts.fragment or "?" in text or "#" in text:
        _refuse("There is a ? or # part at the end of this address.")
    steps = parts.path.split("/")
    if not _PATH.fullmatch(parts.path) or "." in steps or ".." in steps:
        _refuse("The path of this address is none that a class has.")
    netloc = f"[{host}]" if ":" in host else host
    usual = 443 if parts.scheme.lower() == "https" else 80
    where = netloc if port in (None, usual) else f"{netloc}:{port}"
    return f"{parts.scheme.lower()}://{where}{parts.path.rstrip('/')}/"


def _refuse(sentence: str) -> NoReturn:
    raise InputError(
        sentence, field="address", hint=f"It stands on the trainer's board and looks like {_EXAMPLE}; copy it whole."
    )


# -- the file ----------------------------------------------------------------------------------------------------------


def class_file(root: Path) -> Path:
    """Return where a practice home keeps its class."""
    return root / FOLDER / FILE


def read_class(root: Path) -> MyClass | None:
    """Return the class of a practice home, None where nobody joined; raises `StoreError` for a file that is damaged."""
    try:
        found = json.loads(class_file(root).read_text(encoding="utf-8"))
        key = found.pop("key")
        if not isinstance(key, str) or len(key) < 32:
            raise ValueError
        return MyClass(
            url=class_address(str(found["url"])),
            key=Secret(key),
            class_name=str(found["class_name"]),
            pseudonym=str(found["pseudonym"]),
            learner=int(found["learner"]),
            seed=int(found["seed"]),
            begins_after=int(found["begins_after"]),
            name=str(found["name"]),
            lessons=tuple(str(one) for one in found["lessons"]),
        )
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError, InputError):
        raise StoreError(
            f"The file that says which class this is ({class_file(root)}) cannot be read.",
            hint="Leave the class (spokekit lessons leave) and join again.",
        ) from None


def my_class(root: Path) -> MyClass | None:
    """Return the class of a practice home, or None; a damaged file counts as none, and joining says so."""
    try:
        return read_class(root)
    except StoreError:
        return None


def write_class(root: Path, joined: MyClass) -> None:
    """Keep the class."""
    private_folder(root / FOLDER)
    kept = {**joined.__dict__, "key": joined.key.reveal(), "lessons": list(joined.lessons)}
    write_private(class_file(root), json.dumps(kept, ensure_ascii=False).encode())


def forget_class(root: Path) -> bool:
    """Remove the class from a practice home; False where there was none."""
    there = class_file(root).exists()
    for name in (FILE, _HAND, _STATE):
        (root / FOLDER / name).unlink(missing_ok=True)
    return there


# -- the hand, and how the reporter gets on ----------------------------------------------------------------------------


def _small(root: Path, name: str) -> dict[str, Any]:
    try:
        found = json.loads((root / FOLDER / name).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def hand_is_up(root: Path) -> bool:
    """Tell whether the learner asks for help."""
    return _small(root, _HAND).get("up") is True


def raise_hand(root: Path, up: bool) -> None:
    """Put the hand up or down; the board hears it with the next report."""
    write_private(private_folder(root / FOLDER) / _HAND, json.dumps({"up": up}).encode())


@dataclass(frozen=True)
class ReporterState:
    """How the reporter gets on: whether the board was reached, since when that is so, and why it has ended, or ""."""

    reached: bool
    since: datetime
    ended: str = ""

    @property
    def words(self) -> str:
        """It as a sentence."""
        if self.ended:
            return self.ended
        if self.reached:
            return "What you do in the lessons is sent to the class."
        return f"The class has not been reached since {clock(self.since)}; what you do is kept and sent later."


def reporter_state(root: Path, of: MyClass) -> ReporterState | None:
    """Return how the reporter gets on with a class; None as long as it has not said anything."""
    found = _small(root, _STATE)
    try:
        if found["place"] != of.place:
            return None
        since = datetime.fromisoformat(found["since"])
        return ReporterState(found["reached"] is True, since.replace(tzinfo=since.tzinfo or UTC), str(found["ended"]))
    except (KeyError, TypeError, ValueError):
        return None


def write_reporter_state(root: Path, of: MyClass, state: ReporterState) -> None:
    """Keep how the reporter gets on."""
    kept = {"place": of.place, "reached": state.reached, "since": state.since.isoformat(), "ended": state.ended}
    write_private(private_folder(root / FOLDER) / _STATE, json.dumps(kept, ensure_ascii=False).encode())


class Changes:
    """Tells, cheaply, whether anything that concerns the class may have changed in a practice home.

    It looks at the files' stamps alone, and says yes for some seconds after each change: a database's file is written
    before what was written can be read.
    """

    def __init__(self, root: Path) -> None:
        files = [root / FOLDER / name for name in (FILE, _HAND, _STATE, "current.json")]
        self._files = files + [root / f"spokekit.sqlite{end}" for end in ("", "-wal")]
        self._stamps: list[Any] = []
        self._until = 0.0

    def may_be(self) -> bool:
        """Tell whether it is worth reading again."""
        stamps = [_stamp(path) for path in self._files]
        if stamps != self._stamps:
            self._stamps, self._until = stamps, time.monotonic() + _SETTLED
        return time.monotonic() < self._until


def _stamp(path: Path) -> tuple[int, int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino
