"""The command line: the same services as in the notebooks, without a notebook.

Each command lives in a module of its own and is imported when it is used, so that ``spokekit --help`` answers at
once. A module exposes ``app``, a `typer.Typer`; where it has commands of its own, its help is the line in `COMMANDS`.
"""

from __future__ import annotations

import os
import sys
from importlib import import_module
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

if TYPE_CHECKING:
    from collections.abc import Sequence

# name -> (has commands of its own, what it is for)
COMMANDS: dict[str, tuple[bool, str]] = {
    "lab": (False, "Open JupyterLab with the notebooks, on a practice site or on your own."),
    "notebooks": (False, "Put your own copies of the notebooks into a folder, for a Jupyter that runs already."),
    "tour": (False, "Watch the whole set-up run by itself against a practice site."),
    "practice": (False, "Serve a practice site that behaves like Atlassian, until interrupted."),
    "lessons": (True, "Learn on the practice site: begin a lesson, have it checked, get a hint, start over."),
    "class": (True, "Teach a class: serve its board until interrupted, then export it and forget it."),
    "connections": (True, "List, show, add, edit, check and remove connections."),
    "token": (True, "Get a token for a connection, or look at the one there is."),
    "vault": (True, "See how secrets are protected, and change the key."),
    "store": (True, "Check the store, back it up, and put a backup in its place."),
    "groups": (True, "List groups; register those that may be managed."),
    "members": (True, "Plan, preview, apply and undo changes of membership in registered groups."),
    "audit": (True, "Pull groups and members once, completely; then ask by name."),
    "review": (True, "Review who may keep access: decide, sign, carry out, prove."),
    "handover": (True, "Carry what is configured here to a ServiceNow instance."),
    "doctor": (False, "Check this installation and say what is wrong and how to mend it."),
}

# Where a command's name is no name for a module.
_MODULES = {"class": "classroom"}


class Commands(TyperGroup):
    """A group that knows its commands by name, imports one only when it is called, and tells what it ends in."""

    def invoke(self, ctx: Any) -> Any:
        from spokekit.cli._output import guarded

        with guarded():
            return super().invoke(ctx)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        name, command, rest = super().resolve_command(ctx, args)
        if name in COMMANDS and command is not None:
            command = _load(name)
        return name, command, rest


def _load(name: str) -> Any:
    has_commands, purpose = COMMANDS[name]
    app = import_module(f"spokekit.cli.{_MODULES.get(name, name)}").app
    # A room with a single command of its own ("vault rotate") must still be called with that command's name.
    command = typer.main.get_group(app) if has_commands else typer.main.get_command(app)
    command.name, command.help = name, command.help or purpose
    _flow(command)
    return command


def _flow(command: Any) -> None:
    """Let the paragraphs of the help be broken where the terminal ends, not where the source does."""
    if command.help:
        command.help = "\n\n".join(" ".join(paragraph.split()) for paragraph in command.help.split("\n\n"))
    for below in getattr(command, "commands", {}).values():
        _flow(below)


app = typer.Typer(
    cls=Commands,
    help="Set up Confluence Cloud step by step: connection, token, groups, audit, membership.",
    no_args_is_help=True,
    # A traceback with local variables could show what nobody should see.
    pretty_exceptions_enable=False,
)


def _version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        print(f"spokekit {version('spokekit')}")
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[
        bool, typer.Option("--version", help="Show the version and leave.", callback=_version, is_eager=True)
    ] = False,
) -> None:
    """Set up Confluence Cloud step by step: connection, token, groups, audit, membership."""


def _placeholder() -> None:
    raise AssertionError("the real command is loaded before this one could run")  # pragma: no cover


for _name, (_, _help) in COMMANDS.items():
    app.command(_name, help=_help)(_placeholder)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line; ends the process with exit code 0, 1 (failed), 2 (usage), 3 (incomplete) or 130."""
    from spokekit._secret import scrub
    from spokekit._surroundings import of_this_computer
    from spokekit.cli._output import FAILED, describe, guarded, say, show_whatever_comes

    show_whatever_comes()
    try:
        with guarded():
            app(args=list(arguments) if arguments is not None else None, prog_name="spokekit")
    except typer.Exit as exit_:
        sys.exit(exit_.exit_code)
    except Exception as fault:  # a traceback may carry what an answer or a request held; the person gets a sentence
        if os.environ.get("SPOKEKIT_DEBUG"):
            raise
        if (own := of_this_computer(fault)) is not None:
            say(describe(own))
            sys.exit(FAILED)
        say(f"A fault in spokekit: {type(fault).__name__}: {scrub(str(fault))}")
        say("Next: please report it, with the output of spokekit doctor. With SPOKEKIT_DEBUG=1 the place is shown.")
        sys.exit(FAILED)
