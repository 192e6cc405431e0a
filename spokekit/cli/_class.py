"""Coming into a class from the command line: the options, and what is said."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from spokekit._home import nothing_kept
from spokekit.cli._output import say
from spokekit.errors import InputError, SpokekitError, TransportError, UnexpectedAnswer

if TYPE_CHECKING:
    from spokekit.training.attempts import Attempt, Attempts
    from spokekit.training.my_class import MyClass

# A code is good while the class runs and stands on a screen for all of it: others on this computer may see it.
CodeOption = Annotated[
    str, typer.Option("--code", envvar="SPOKEKIT_CLASS_CODE", help="The code of the class, from the trainer's board.")
]
NameOption = Annotated[str, typer.Option("--name", help="A name for the trainer; without it you have a pseudonym.")]
JoinOption = Annotated[
    str, typer.Option("--join", metavar="ADDRESS", help="Join a class: the address that the trainer's board shows.")
]


def class_here(address: str, code: str, name: str) -> None:
    """Come into a class with this process's practice home, or say in which one it is; nothing where it is in none.

    Where the board of a class that was joined before cannot be reached, everything goes on without it.
    """
    from spokekit.training.my_class import class_address, my_class

    if not address:
        _nothing_without_join(code, name)
        joined = None if nothing_kept(os.environ) else my_class(practice_root())
        if joined is not None:
            say(f"Class:         {joined.class_name}, in which you are {joined.pseudonym}")
            say("               Leave it with: spokekit lessons leave")
        return
    refuse_where_nothing_is_kept()
    before = my_class(practice_root())
    try:
        say_joined(join(address, code, name))
    except (TransportError, UnexpectedAnswer) as error:
        if before is None or before.url != class_address(address):
            raise
        say(f"Class:         {error.message} You are {before.pseudonym} in {before.class_name} all the same:")
        say("               what you do is kept, and sent once the class is reached.")


def _nothing_without_join(code: str, name: str) -> None:
    # A code in the environment is meant for whoever joins, not for this command alone.
    given = [option for option, value in (("--code", code), ("--name", name)) if value]
    if "--code" in given and code == os.environ.get("SPOKEKIT_CLASS_CODE"):
        given.remove("--code")
    if given:
        raise InputError(f"{given[0]} belongs to a class.", field=given[0], hint="Add --join ADDRESS.")


def refuse_with_own_site(address: str, code: str, name: str) -> None:
    """Raise `InputError` where a class is to be joined on the person's own site."""
    if address:
        raise InputError(
            "A class is for the practice site: nothing is reported from your own site, and no order is taken there.",
            field="--join",
            hint="Leave out --own-site, or leave out --join.",
        )
    _nothing_without_join(code, name)


def refuse_where_nothing_is_kept() -> None:
    """Raise `InputError` where each kernel has records of its own, and so joins for itself."""
    if nothing_kept(os.environ):
        raise InputError(
            "Nothing is kept here, so each notebook joins a class for itself.",
            field="--join",
            hint="Open a notebook of the lessons and press Join a class.",
        )


def practice_root() -> Path:
    """Return this process's practice home."""
    from spokekit.training.attempts import practice_home

    return practice_home()


def join(address: str, code: str, name: str) -> MyClass:
    """Come into a class; see `join_class`."""
    from spokekit.training.joining import join_class

    return join_class(practice_root(), address, code, name)


def class_beside(address: str, code: str, name: str) -> None:
    """Come into a class before a command starts that does not need one; where that fails it is said, and no more.

    The command may be somebody's server on a hub: it starts on the day after the class too.
    """
    if not address:
        class_here(address, code, name)
        return
    try:
        class_here(address, code, name)
    except SpokekitError as error:
        said = " ".join(filter(None, (error.message, error.likely)))
        say(f"Class:         not joined. {said}")
        say("               All else goes on. Join later: Join a class in a notebook of the lessons, or in a terminal")
        say("               spokekit lessons join ADDRESS --code CODE")


def say_joined(joined: MyClass) -> None:
    """Say who the learner is in the class, and what is sent."""
    say(f"Class:         {joined.class_name}, in which you are {joined.pseudonym}")
    say("               Lessons, outcomes, hints and times are sent to it: spokekit lessons sent shows all of it.")


def say_what_the_trainer_said(attempts: Attempts, attempt: Attempt | None = None) -> None:
    """Say what is new from the trainer, and with an attempt what was changed on the practice site since it began."""
    from spokekit.training.trainer_orders import changes_since, spoken_by

    orders = attempts.trainer_orders()
    if orders is None:
        return
    found = orders.all()
    for one in found:
        if not one.words and (words := spoken_by(one.order)):
            say(words)
            orders.became(one.n, "shown")
    if attempt is not None and (changed := changes_since(found, attempt.began)):
        say(changed)
