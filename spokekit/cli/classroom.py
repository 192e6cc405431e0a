"""``spokekit class``: serve the board of a class until interrupted; verify a certificate, export, forget."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from contextlib import ExitStack, closing
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from spokekit._words import counted, moment
from spokekit.cli._output import Format, FormatOption, emit, out, say
from spokekit.cli._signals import asked_to_stop
from spokekit.errors import Conflict, InputError, NotFound, StoreError

if TYPE_CHECKING:
    from spokekit.board.orders import Menus
    from spokekit.board.server import BoardSite

app = typer.Typer(
    add_completion=False,
    help="Teach a class: serve its board until interrupted, then export it and forget it.",
)
ONE_HOUR_WORD = "one-hour"


@app.callback(invoke_without_command=True)
def serve(
    context: typer.Context,
    name: Annotated[str, typer.Option("--name", help="What the class is called.")] = "",
    port: Annotated[int, typer.Option("--port", min=0, max=65535, help="Port; 0 for a free one.")] = 8760,
    on_the_network: Annotated[
        bool, typer.Option("--on-the-network", help="Serve other computers too, not this one alone.")
    ] = False,
    host: Annotated[
        list[str] | None,
        typer.Option(
            "--host",
            help="A further name that the board is called by, or the whole address at which a proxy serves it; may be "
            "repeated. The first is the one that is told.",
        ),
    ] = None,
    lessons: Annotated[
        str, typer.Option("--lessons", help="Names of lessons with commas between; one-hour for those of one hour.")
    ] = "",
    certfile: Annotated[Path | None, typer.Option("--certfile", help="A certificate in PEM, for https.")] = None,
    keyfile: Annotated[Path | None, typer.Option("--keyfile", help="Its private key in PEM.")] = None,
    new: Annotated[bool, typer.Option("--new", help="Begin a new class, also where one of today could go on.")] = False,
    forget: Annotated[
        bool, typer.Option("--forget", help="Delete all classes of this home, and serve nothing.")
    ] = False,
) -> None:
    """Teach a class: serve its board until interrupted, then export it and forget it.

    Prints one line of JSON: `url`, `code` (what learners join with) and `trainer_url` (a link for the trainer's
    browsers alone). A class that began in the last 24 hours goes on: the same code, learners and links. Lessons stay on
    the learners' computers; the board shows where each is, and passes the trainer's orders on to practice sites.
    """
    if context.invoked_subcommand is not None:
        return
    if forget:
        _forget()
        return
    menus = _menus_of_a_child()
    chosen = _lessons(lessons, menus)
    from spokekit._home import lock_file
    from spokekit.board.records import class_file
    from spokekit.board.server import BoardSite

    path = class_file()
    with ExitStack() as held:
        try:
            held.enter_context(lock_file(path, wait=0))
        except StoreError:
            raise Conflict(
                "The class of this home is being served already.",
                hint="Open its board by the link that was printed there, stop it, or choose another SPOKEKIT_HOME.",
            ) from None
        stopped = asked_to_stop()
        board = BoardSite(
            path,
            class_name=name,
            lessons=chosen,
            new=new,
            menus=menus,
            port=port,
            on_the_network=on_the_network,
            hosts=host or (),
            certfile=certfile,
            keyfile=keyfile,
        )
        with board:
            out(json.dumps({"url": board.url, "code": board.code, "trainer_url": board.trainer_url}))
            _tell(board)
            told = 0
            while not stopped.wait(0.2):
                for problem in board.front.defects[told:]:
                    # What was asked is nobody's business but the learner's.
                    say(f"A fault in the board: {type(problem).__name__}. It goes on; please report it.")
                    told += 1
                if board.forgotten.is_set():
                    say("The class was forgotten meanwhile. The board ends.")
                    break
    sys.stdout.flush()


def _tell(board: BoardSite) -> None:
    kept = board.classroom.kept
    went_on = f", gone on with {len(kept.learners)} learners" if board.classroom.gone_on else ""
    say(f"The board of “{kept.name}”{went_on}. Stop it with Ctrl-C; started again today, it goes on.")
    say(f"Your own board, for your browsers alone: {board.trainer_url}")
    say(f"Learners join with: spokekit lab --join {board.url} --code {board.code}")
    say("or in the guide under “Join a class”, with that address and code.")
    say(
        "Tell them what travels: a pseudonym (a name only if they give one), which lesson, outcomes, hints, times. "
        "No secret, token, account or address of theirs. It is deleted after 30 days, or by spokekit class --forget."
    )
    if board.url.startswith("http://") and board.on_the_network:
        say("This is http: whoever listens on this network can read that, and your link. --certfile makes it https.")
    if not board.on_the_network and not board.hosts:
        say("Only this computer reaches it. --on-the-network serves the others.")


def _lessons(said: str, menus: Menus) -> tuple[str, ...]:
    from spokekit.training.course import ONE_HOUR, lesson

    names = [name for part in said.split(",") if (name := part.strip())]
    found = [one for name in names for one in (ONE_HOUR if name == ONE_HOUR_WORD else (name,))]
    for name in found:
        if name not in menus.course:
            try:
                lesson(name)
            except NotFound as problem:
                raise typer.BadParameter(f"{problem.message} {problem.hint}", param_hint="--lessons") from None
    return tuple(dict.fromkeys(found))


def _menus_of_a_child() -> Menus:
    """Return `_menus`; what lessons need to be loaded, three times what a board needs, goes with the child."""
    import msgspec

    from spokekit.board.orders import Menus

    asked = subprocess.run([sys.executable, "-m", "spokekit", "class", "menus"], stdout=subprocess.PIPE)
    if asked.returncode:
        raise typer.Exit(asked.returncode)
    return msgspec.json.decode(asked.stdout, type=Menus)


@app.command("menus", hidden=True)
def print_menus() -> None:
    """Print what a board knows of lessons, faults and groups as JSON."""
    import msgspec

    out(msgspec.json.encode(_menus()).decode())


def _menus() -> Menus:
    """Return what a board knows of lessons, faults and groups: words alone."""
    from spokekit.board.orders import FaultChoice, Menus
    from spokekit.board.ranking import LessonWords
    from spokekit.practice.api.gateway import ROUTES
    from spokekit.practice.faults import FAULTS, KINDS
    from spokekit.practice.world import World
    from spokekit.training.course import lessons

    course = {
        name: LessonWords(name, one.title, one.minutes, {t.name: _without_names(t.says) for t in one.turns})
        for name, one in lessons().items()
    }
    heavy = ("huge", "deep-json")
    faults = tuple(
        FaultChoice(name, FAULTS[name], "N-th" in kind.words, name in heavy or kind.of in ("token", "redeems"))
        for name, kind in KINDS.items()
    )
    world = World("class", seed=1)
    groups = tuple(
        sorted(group.name for group in map(world.group, range(world.group_count)) if group.managed_by != "EXTERNAL")
    )
    return Menus(course, faults, tuple(dict.fromkeys(route.name for route in ROUTES)), groups)


def _without_names(sentence: str) -> str:
    """Return a turn's sentence without what it says about one learner's world."""
    return re.sub(r"\{\w+\}", "…", sentence)


def _forget() -> None:
    from spokekit.board.records import Records, class_file

    path = class_file()
    if not path.exists():
        say("There is no class in this home.")
        return
    with closing(Records(path)) as records:
        gone = records.forget()
    say(f"Forgotten: {counted(gone, 'class', 'classes')}, with learners, events, orders and certificates.")
    say("A board that was being served ends by itself.")


@app.command()
def verify(
    code: Annotated[str, typer.Argument(help="The code that stands on the certificate.")],
    format: FormatOption = Format.table,
) -> None:
    """Show what this home's classes have of a certificate; exit code 1 when there is no such code.

    The learner's own computer has reported it; nobody has watched.
    """
    from spokekit.board import classroom
    from spokekit.board.records import Records

    with closing(Records(_file())) as records:
        found = classroom.verify(records, code)
    say(f"Given by “{found.class_name}” to {found.name or found.pseudonym} on {moment(_when(found.made_at))}.")
    rows = [
        {"lesson": one.lesson, "right_at": _when(one.at), "attempts": one.attempts, "hints": one.hints}
        for one in found.lessons
    ]
    emit(rows, format)


@app.command()
def export(
    file: Annotated[Path, typer.Option("--file", help="Where it goes: .csv, .xlsx or .json.")],
    names: Annotated[
        bool, typer.Option("--names", help="With the names that learners gave; without, pseudonyms alone.")
    ] = False,
    all_classes: Annotated[
        bool, typer.Option("--all", help="All classes that are kept, not the newest alone.")
    ] = False,
) -> None:
    """Write who was there, what they did in each lesson and their wrong turns; also while the board is served."""
    from spokekit._home import write_private
    from spokekit.board.export import FORMATS
    from spokekit.board.export import export as made
    from spokekit.board.records import Records

    how = next((one for one in FORMATS if file.suffix.lower() == f".{one}"), None)
    if how is None:
        raise InputError(f"{file} ends in none of .csv, .xlsx and .json.", field="--file")
    with closing(Records(_file())) as records:
        ids = records.all_ids()
        if not ids:
            raise _no_class()
        classes = [records.load(one) for one in (ids if all_classes else ids[-1:])]
    write_private(file.expanduser(), made(classes, _menus().course, how, names=names))
    out(str(file))
    learners = counted(sum(len(one.learners) for one in classes), "learner")
    say(f"{learners}. The next step, once you have it: spokekit class --forget")


def _file() -> Path:
    from spokekit.board.records import class_file

    path = class_file()
    if not path.exists():
        raise _no_class()
    return path


def _no_class() -> NotFound:
    return NotFound("There is no class in this home.", hint="spokekit class begins one.")


def _when(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
