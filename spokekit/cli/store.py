"""Check the store, back it up, and put a backup in its place."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from spokekit._workspace import workspace
from spokekit.cli._output import FAILED, Format, FormatOption, emit, say
from spokekit.errors import Conflict, NotFound, VaultError

if TYPE_CHECKING:
    from spokekit.connections.backups import Contents

app = typer.Typer(no_args_is_help=True)

COLUMNS = (
    "file",
    "bytes",
    "layout",
    "connections",
    "registered_groups",
    "applies",
    "last_change",
    "keys",
    "keys_missing",
    "words",
)
FileArgument = Annotated[Path, typer.Argument(help="The backup, one file; it holds the secrets sealed, and no key.")]


@app.command()
def check(
    file: Annotated[
        Path | None, typer.Argument(help="A backup to look at; without it, the store in use.", show_default=False)
    ] = None,
    format: FormatOption = Format.table,
) -> None:
    """Read the whole of the store, or of a backup, and say what is in it and which vault key it needs.

    Nothing is changed. The exit code is 1 when it is damaged, empty, of a newer spokekit, or no store at all.
    """
    from spokekit.connections.backups import look

    path = _store_here(file)
    if file is None and not path.exists() and not list(path.parent.glob(f"{path.name}-*")):
        say(f"There is no store yet: {path} is made when the first connection is added.")
        emit([], format, COLUMNS, empty="")
        return
    found = look(path)
    if format is Format.table:
        say(f"{path} is in order: {found.words}")
        say(_keys(path))
    else:
        emit([_row(found)], format, COLUMNS)


@app.command()
def backup(
    file: FileArgument,
    replace: Annotated[bool, typer.Option("--replace", help="Write over a file that is there.")] = False,
) -> None:
    """Write a copy of the store to FILE, whole and checked, while notebooks and commands may go on using it."""
    from spokekit.connections.backups import backup as write

    path = _store_here()
    if not path.exists():
        raise NotFound(f"There is no store yet ({path}).", hint="Add a connection first; then there is something.")
    found = write(path, file, replace=replace)
    say(f"Written: {found.path}, with {found.words}")
    say(_keys(found.path))
    _keep_its_keys(found.path)


@app.command()
def restore(
    file: FileArgument,
    yes: Annotated[
        bool, typer.Option("--yes", help="Do not ask where the backup is of another store, or seems to be.")
    ] = False,
) -> None:
    """Put a backup in the place of the store, and keep the store that is there now beside it.

    Refused while another process uses the store, and for a file that is damaged, of a newer spokekit or no store.
    """
    from spokekit.connections.backups import Restore

    this = Restore(_store_here(), file)
    say(f"{this.file} holds {this.found.words}")
    say(_keys(this.file))
    if this.damage:
        say(f"The store that is there now cannot be read: {this.damage}")
    elif this.here is not None:
        say(f"The store that is there now holds {this.here.words}")
    question = ""
    if this.another:
        question = "It is the backup of another store: it has no connection and no apply of the one that is there."
    elif this.another is None and _missing(this.file):
        question = "It seems to be the backup of another store: its secrets need a key that is not in this home."
    if question:
        _confirm(question, yes)
    kept = this.carry_out()
    say(f"The store is now as in {this.file}: {this.found.words}")
    if kept is not None:
        say(f"The store that was there is kept: {kept}")


def _confirm(question: str, yes: bool) -> None:
    if yes:
        say(question)
        return
    if not sys.stdin.isatty():
        raise Conflict(question, hint="Give --yes to put it in place all the same. The store is as it was.")
    if not typer.confirm(f"{question} Put it in place?", err=True):
        say("Nothing was changed.")
        raise typer.Exit(FAILED)


def _row(found: Contents) -> dict[str, Any]:
    keys, missing = _needed(found.path), _missing(found.path)
    more = {"file": str(found.path), "keys": sorted(keys), "keys_missing": sorted(missing), "words": found.words}
    return {**vars(found), **more}


def _needed(path: Path) -> set[str]:
    """Return the ids of the keys that the secrets in a store need."""
    from spokekit.oauth.key_users import in_backup

    return in_backup(path) or set()


def _missing(path: Path) -> set[str]:
    """Return the ids of the keys that the secrets in a store need and this home does not have."""
    from spokekit.oauth.vault import keys_at_hand

    needed = _needed(path)
    return needed - set(keys_at_hand()) if needed else set()


def _keys(path: Path) -> str:
    """Say which keys of the vault the secrets in a store need, and whether they are here."""
    from spokekit.oauth.keys import WAY_OUT
    from spokekit.oauth.vault import keys_at_hand

    needed = _needed(path)
    if not needed:
        return "No secret is in it, so it needs no key of the vault."
    here = keys_at_hand()
    names = " and ".join(sorted(needed))
    lacking = sorted(needed - set(here))
    if lacking:
        return (
            f"Its secrets need the vault key {names}, and {' and '.join(lacking)} is not in this home: put the key "
            f"file (vault.json) of the store's home back too. {WAY_OUT}"
        )
    where = "the keyring" if {here[one] for one in needed} == {"keyring"} else "the key file of this home (vault.json)"
    return f"Its secrets need the vault key {names}, which is in {where} and not in the file: keep it, too."


def _keep_its_keys(path: Path) -> None:
    if not _needed(path):
        return
    try:
        workspace().vault.note_backup(path)
    except VaultError as error:
        say(f"The backup is written, and the vault cannot be used: {error}")


def _store_here(file: Path | None = None) -> Path:
    """Return `file`, or that of the store in use; what defines its tables is imported, to hold a file against them."""
    from spokekit.confluence import quota
    from spokekit.connections import connection
    from spokekit.connections.backups import file_of
    from spokekit.connections.store import chosen
    from spokekit.groups import journal, registry

    _ = quota, connection, journal, registry
    return file_of(chosen()[0]) if file is None else file.absolute()
