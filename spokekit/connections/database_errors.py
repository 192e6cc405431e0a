"""What a database says when it fails, as errors of ours: what happened, why probably, what to do next."""

from __future__ import annotations

import sqlite3

import sqlalchemy as sa

from spokekit.connections import store_address
from spokekit.errors import StoreError

_Words = tuple[str, str | None, str]

HELD: _Words = (
    "The store ({where}) is held by another program.",
    "Another notebook or command is writing to it, or one was stopped in the middle.",
    "Close it and try again; nothing was changed.",
)
DAMAGED: _Words = (
    "The store ({where}) is damaged: SQLite cannot read it.",
    "The disk was full or the computer stopped while it was written, or another program wrote into it.",
    "In a terminal, put a backup in its place with: spokekit store restore FILE (it keeps the damaged store; do not "
    "copy a file over it by hand). Without a backup, move the store away: spokekit then starts with an empty "
    "one, and the connections have to be set up again.",
)
_READ_ONLY: _Words = (
    "The store ({where}) cannot be written: it is read-only.",
    "The file or its folder belongs to somebody else, or the disk is mounted for reading.",
    "Give yourself the right to write, or choose another folder with SPOKEKIT_HOME.",
)
_FULL: _Words = (
    "The store ({where}) cannot be written: the disk is full or failing.",
    None,
    "Free some space and try again; nothing was changed.",
)
_NOBODY_IN: _Words = (
    "The store ({where}) lets nobody in.",
    "The server is stopped, or the name, password or address in SPOKEKIT_STORE_URL is wrong.",
    "Check SPOKEKIT_STORE_URL and that the server runs.",
)
_WENT_AWAY: _Words = (
    "The store ({where}) went away.",
    "The database server was stopped or restarted, or the network to it was cut.",
    "See that the server runs, then look whether the change was made, and try again.",
)
_NO_RIGHT: _Words = (
    "The store ({where}) cannot be written: the database does not allow it.",
    "The user in SPOKEKIT_STORE_URL may only read, or the server is a copy that others write to.",
    "Ask whoever runs the database for the right to write and to make tables.",
)
_FULL_SERVER: _Words = (
    "The store ({where}) cannot be written: the database server's disk is full.",
    None,
    "Ask whoever runs the server to free some space, then try again; nothing was changed.",
)
_TOO_MANY: _Words = (
    "The store ({where}) takes no more connections.",
    "Too many programs or kernels have it open.",
    "Close some of them and try again; nothing was changed.",
)

# PostgreSQL's own codes, since its words come in the language of the server; the longest that fits decides.
_BY_STATE: dict[str, _Words] = {
    "55P03": HELD,
    "57014": HELD,
    "40P01": HELD,
    "40001": HELD,
    "25P03": _WENT_AWAY,
    "57P": _WENT_AWAY,
    "08": _WENT_AWAY,
    "53100": _FULL_SERVER,
    "53300": _TOO_MANY,
    "25006": _NO_RIGHT,
    "42501": _NO_RIGHT,
    "3F000": _NO_RIGHT,
    "28": _NOBODY_IN,
    "3D000": _NOBODY_IN,
}
_BY_WORD: tuple[tuple[tuple[str, ...], _Words], ...] = (
    (("not a database", "malformed", "unsupported file format", "database corruption"), DAMAGED),
    (("is locked", "busy", "lock wait timeout", "queuepool limit"), HELD),
    (("too many clients", "too many connections", "remaining connection slots"), _TOO_MANY),
    (("readonly", "read-only"), _READ_ONLY),
    (("full", "disk i/o", "no space"), _FULL),
    (
        ("unable to open",),
        (
            "The store ({where}) cannot be opened.",
            "Its folder is gone, or you may not write there.",
            "Look at the folder, or choose another one with SPOKEKIT_HOME.",
        ),
    ),
    (
        ("password authentication", "connection refused", "could not translate host", "no pg_hba", "failed to resolve"),
        _NOBODY_IN,
    ),
    (
        (
            "connection unexpectedly",
            "connection is closed",
            "connection is lost",
            "consuming input failed",
            "connection has been closed",
            "lost connection",
            "gone away",
            "shutting down",
            "starting up",
        ),
        _WENT_AWAY,
    ),
)


def explain(error: sa.exc.SQLAlchemyError, url: sa.URL, where: str) -> StoreError:
    """Return a failure of the database at `url` as an error of ours; nothing in it holds the password."""
    cause = error.orig if isinstance(error, sa.exc.DBAPIError) else None
    said = store_address.without_password(" ".join(str(cause or error).split()), url)
    words = _found(cause, said, went_away=isinstance(error, sa.exc.DBAPIError) and error.connection_invalidated)
    if words is not None:
        return of(words, where)
    return StoreError(
        f"The store ({where}) did not answer: {said}.",
        likely="The database may be stopped or out of reach.",
        hint="Try again; what was being changed was not changed.",
    )


def explain_sqlite(error: sqlite3.Error, where: str) -> StoreError:
    """Return a failure of SQLite, asked without SQLAlchemy, as an error of ours."""
    said = " ".join(str(error).split())
    words = _found(error, said, went_away=False)
    return of(words, where) if words is not None else StoreError(f"The store ({where}) cannot be read: {said}.")


def _found(cause: BaseException | None, said: str, *, went_away: bool) -> _Words | None:
    state = getattr(cause, "sqlstate", None) or ""
    fitting = [code for code in _BY_STATE if state.startswith(code)]
    if fitting:
        return _BY_STATE[max(fitting, key=len)]
    low = said.lower()
    found = next((words for signs, words in _BY_WORD if any(sign in low for sign in signs)), None)
    return found or (_WENT_AWAY if went_away else None)


def of(words: _Words, where: str) -> StoreError:
    """Return one of the errors above for a store."""
    message, likely, hint = words
    return StoreError(message.format(where=where), likely=likely, hint=hint)
