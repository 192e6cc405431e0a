"""Join a class, see what was sent to it, and leave it."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from urllib.parse import quote

from spokekit._secret import Secret
from spokekit.board.wire import Join, Joined, Sent
from spokekit.errors import InputError, NotFound
from spokekit.training.attempts import events_here
from spokekit.training.board_client import AGAIN, GONE, WHERE, BoardClient, NotInClass
from spokekit.training.my_class import (
    MyClass,
    class_address,
    forget_class,
    my_class,
    raise_hand,
    read_class,
    write_class,
)
from spokekit.training.progress import Confirmed

_CODE = 20


def join_class(root: Path, address: str, code: str = "", name: str = "") -> MyClass:
    """Come into a class, or go on in the one that this practice home is in, and keep that.

    Parameters
    ----------
    root:
        The practice home.
    address, code:
        As they stand on the trainer's board. Without a code, only a class that was joined before is gone on with.
    name:
        A name for the trainer; without it there is only the pseudonym.

    Raises
    ------
    InputError
        Address or code is wrong.
    Conflict
        The class is full.
    TransportError, UnexpectedAnswer
        The board cannot be reached, or what answers is none.
    NotInClass
        The class that was joined before does not know this computer, and no code was given.
    """
    url, code, name = class_address(address), code.strip(), " ".join(name.split())
    if len(name) > 80 or not name.isprintable():
        raise InputError("A name has up to 80 letters, and none that cannot be seen.", field="name")
    if len(code) > _CODE:
        raise InputError("This is too long for a code.", field="code", hint=WHERE)
    before = my_class(root)
    if before is not None and before.url == url:
        again = _go_on(root, before, name, with_code=bool(code))
        if again is not None:
            return again
    if not code:
        raise InputError("The code of the class is missing.", field="code", hint=WHERE)
    with closing(BoardClient(url)) as board:
        found = board.join(Join(code, name))
    joined = _kept(root, url, found, Secret(found.key), name)
    raise_hand(root, False)
    return joined


def _go_on(root: Path, before: MyClass, name: str, *, with_code: bool) -> MyClass | None:
    """Go on as the same learner; None where the class does not know the key and there is a code to join with."""
    with closing(BoardClient(before.url)) as board:
        try:
            found = board.join(Join(name=name, key=before.key.reveal()))
        except InputError:
            if with_code:
                return None
            raise NotInClass(GONE, hint=AGAIN) from None
    return _kept(root, before.url, found, before.key, name or before.name, begins_after=before.begins_after)


def _kept(root: Path, url: str, found: Joined, key: Secret, name: str, begins_after: int | None = None) -> MyClass:
    if begins_after is None:
        events = events_here(root)
        with closing(events.store):
            begins_after = events.last()
    joined = MyClass(
        url, key, found.class_name, found.pseudonym, found.learner, found.seed, begins_after, name, tuple(found.lessons)
    )
    write_class(root, joined)
    return joined


def leave_class(root: Path) -> None:
    """Leave the class: nothing more is sent. What was sent stays on the board until it is deleted there.

    Raises `NotFound` where nobody joined.
    """
    if not forget_class(root):
        raise NotFound("This practice home is in no class.", hint="There is nothing to leave.")


def _joined(root: Path) -> MyClass:
    joined = read_class(root)
    if joined is None:
        raise NotFound("This practice home is in no class.", hint="Join one: spokekit lessons join ADDRESS --code CODE")
    return joined


def what_was_sent(root: Path) -> Sent:
    """Return all that the board keeps of this learner; raises `SpokekitError` where it cannot be asked."""
    joined = _joined(root)
    with closing(BoardClient(joined.url, joined.key)) as board:
        return board.sent()


def confirmed(root: Path) -> Confirmed | None:
    """Return what the board has of a certificate, with its code; None where nobody joined.

    Raises `SpokekitError` where the board cannot be asked, and `NotFound` when nothing was right in the class yet.
    """
    joined = my_class(root)
    if joined is None:
        return None
    with closing(BoardClient(joined.url, joined.key)) as board:
        found = board.certificate()
    at = f"{joined.url}api/verify?code={quote(found.code, safe='')}"
    return Confirmed(found.code, at, found.class_name, found.pseudonym, len(found.lessons))


__all__ = ["confirmed", "join_class", "leave_class", "what_was_sent"]
