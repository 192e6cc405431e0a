"""See how secrets are protected, and change the key."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from spokekit._workspace import workspace
from spokekit.cli._output import FAILED, Format, FormatOption, emit, say

app = typer.Typer(no_args_is_help=True)

COLUMNS = ("kind", "key_id", "made_at", "keys", "words", "protects")


@app.command()
def status(format: FormatOption = Format.table) -> None:
    """Say which vault is used, where its key lies, and what that protects against."""
    found = workspace().vault.status()
    if format is Format.table:
        say(found.words)
        say(found.protects)
        emit([found], format, ("kind", "key_id", "made_at", "keys"))
    else:
        emit([found], format, COLUMNS)


@app.command()
def rotate(
    to: Annotated[
        Literal["keyring", "file"] | None, typer.Option("--to", help="Move the key there; without it, it stays.")
    ] = None,
) -> None:
    """Make a new key, seal every secret by it, and drop the old one. Safe to interrupt and to run again."""
    vault = workspace().vault
    count = vault.rotate(to)
    say(f"{count} secrets are sealed by the new key. {vault.status().words}")


@app.command("new-key")
def new_key(
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Make a new key where the key file is lost for good.

    Secrets that the lost key sealed stay closed: enter the client secrets again, and get the tokens again.
    """
    question = "Is the key file lost for good? What it sealed cannot be opened by a new key."
    if not yes and not typer.confirm(question, err=True):
        say("Nothing was changed.")
        raise typer.Exit(FAILED)
    vault = workspace().vault
    vault.new_key()
    say(f"There is a new key. {vault.status().words}")
