"""``spokekit lessons``: begin a lesson, have it checked, get a hint, start over; and test lessons of one's own."""

from __future__ import annotations

import json
import shlex
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from spokekit.cli._class import (
    CodeOption,
    NameOption,
    practice_root,
    refuse_where_nothing_is_kept,
    say_joined,
    say_what_the_trainer_said,
)
from spokekit.cli._class import join as join_class
from spokekit.cli._output import FAILED, Format, FormatOption, emit, out, say
from spokekit.errors import InputError, NotFound, SpokekitError

if TYPE_CHECKING:
    from spokekit.training.attempts import Attempt, Attempts
    from spokekit.training.lesson import Lesson

app = typer.Typer(no_args_is_help=True)

NameArgument = Annotated[str, typer.Argument(help="The lesson's name; `spokekit lessons list` shows them.")]
LessonsOption = Annotated[
    Path | None,
    typer.Option("--lessons", help="A folder with lessons of your own; without it, what SPOKEKIT_LESSONS names."),
]


def _lesson(name: str, folder: Path | None) -> Lesson:
    from spokekit.training.course import lesson

    try:
        return lesson(name, folder)
    except (NotFound, InputError) as error:
        raise typer.BadParameter(" ".join(filter(None, (error.message, error.hint)))) from None


def _attempts() -> Attempts:
    from spokekit.training.attempts import Attempts
    from spokekit.training.desk import desk_here

    return Attempts(desk_here())


def _newest(name: str, folder: Path | None) -> Attempt:
    lesson = _lesson(name, folder)
    return _attempts().newest(lesson)


@app.command("list")
def list_(format: FormatOption = Format.table, lessons: LessonsOption = None) -> None:
    """List the lessons, with their minutes, and which are for a session of one hour."""
    from spokekit.training.course import ONE_HOUR, chapter_of
    from spokekit.training.course import lessons as all_lessons

    rows = []
    for name, lesson in all_lessons(lessons).items():
        chapter = chapter_of(name)
        rows.append(
            {
                "lesson": name,
                "title": lesson.title,
                "minutes": lesson.minutes,
                "chapter": f"{chapter.letter} {chapter.title}" if chapter else "your own",
                "one_hour": name in ONE_HOUR,
            }
        )
    emit(rows, format)


@app.command()
def begin(name: NameArgument, lessons: LessonsOption = None) -> None:
    """Set the practice site to a lesson's start and open a home for it.

    The home stands on standard output as SPOKEKIT_HOME=…; with it, every other command works in this attempt:
    eval "$(spokekit lessons begin NAME | sed 's/^/export /')". An attempt before stays as it is.
    """
    lesson = _lesson(name, lessons)
    _begun(_attempts().begin(lesson))


@app.command()
def reset(name: NameArgument, lessons: LessonsOption = None) -> None:
    """Start a lesson over: the practice site as at its start, and a new home. Nothing is deleted."""
    lesson = _lesson(name, lessons)
    _begun(_attempts().begin(lesson, again=True))


def _begun(attempt: Attempt) -> None:
    lesson, seen = attempt.lesson, attempt.seen()
    say(f"{lesson.title} ({lesson.minutes} minutes), attempt {attempt.number}")
    say(lesson.text(lesson.story, seen))
    say(f"Goal: {lesson.text(lesson.goal, seen)}")
    if {"connection", "handover"} & set(lesson.tools):
        say(f"The practice site's console, by a link that works once: {_page(attempt, 'console')}")
    if seen.site.instance is not None:
        from spokekit.training.attempts import INSTANCE_KEY

        say(f"The practice instance, by a link that works once: {_page(attempt, 'instance')}")
        key = shlex.quote(str(attempt.home / INSTANCE_KEY))
        say(f"Commands reach it by: --instance {seen.site.instance.url} --api-key-file {key}")
        if app := seen.marks.extra.get("instance_app"):
            say(f"Its own app has the client ID {app} (--app-id).")
    if choices := attempt.choices(seen):
        say("Answer with `spokekit lessons answer`: " + "; ".join(choices))
    say(f"Next: {lesson.text(lesson.first, seen)} Then: spokekit lessons check {lesson.name}")
    for variable, value in attempt.environment.items():
        out(f"{variable}={shlex.quote(value)}")


def _page(attempt: Attempt, page: str) -> str:
    from spokekit.oauth.jupyter_mailbox import for_the_browser

    about = attempt.desk.about
    return for_the_browser(f"{about['url']}{page}", key=str(about["key"]))


@app.command()
def check(name: NameArgument, lessons: LessonsOption = None) -> None:
    """Check a lesson and print the outcome as JSON: lesson, outcome, turn, words.

    The exit code is 0 when it is right, and 1 when it is not yet, was not begun, or cannot be checked.
    """
    from spokekit.training.lesson import Verdict

    lesson = _lesson(name, lessons)
    try:
        attempts = _attempts()
        attempt = attempts.newest(lesson)
        verdict = attempt.check()
        say_what_the_trainer_said(attempts, attempt)
    except SpokekitError as error:
        verdict = Verdict("not attempted" if isinstance(error, NotFound) else "cannot check", "", str(error))
    found = {"lesson": name, "outcome": verdict.outcome, "turn": verdict.turn, "words": verdict.words}
    out(json.dumps(found, ensure_ascii=False))
    if not verdict.right:
        raise typer.Exit(FAILED)


@app.command()
def hint(name: NameArgument, lessons: LessonsOption = None) -> None:
    """Show the next hint; after the last one, the last again."""
    attempt = _newest(name, lessons)
    number, words = attempt.hint()
    say_what_the_trainer_said(_attempts(), attempt)
    out(f"Hint {number} of {len(attempt.lesson.hints)}: {words}")


@app.command()
def answer(
    name: NameArgument,
    chosen: Annotated[list[str], typer.Argument(help="What you choose, word for word; several where it says so.")],
    lessons: LessonsOption = None,
) -> None:
    """Answer a lesson that asks a question; `check` then judges it."""
    _newest(name, lessons).answer(*chosen)
    say(f"Noted. Next: spokekit lessons check {name}")


@app.command()
def solution(
    name: NameArgument,
    play: Annotated[
        bool, typer.Option("--play", help="Do the steps on a fresh attempt, to look at what they lead to.")
    ] = False,
    lessons: LessonsOption = None,
) -> None:
    """Show the steps, once all hints were seen or twice the minutes are over."""
    from spokekit.training.doer import Doer
    from spokekit.training.lesson import own_code

    attempt = _newest(name, lessons)
    found = attempt.solution()
    if not found.steps:
        say(found.words)
        raise typer.Exit(FAILED)
    for number, step in enumerate(found.steps, 1):
        out(f"{number}. {step}")
    if play:
        fresh = _attempts().begin(attempt.lesson, again=True)
        with own_code(fresh.lesson):
            fresh.lesson.solve(Doer(fresh))
        for variable, value in fresh.environment.items():
            out(f"{variable}={shlex.quote(value)}")
        say("Done on a fresh attempt, whose home is this one.")


@app.command()
def progress(format: FormatOption = Format.table, lessons: LessonsOption = None) -> None:
    """List how far each lesson is: attempts, checks, hints, the last outcome and the last turn."""
    from spokekit.training.attempts import events_here
    from spokekit.training.course import lessons as all_lessons
    from spokekit.training.progress import by_lesson

    emit(by_lesson(events_here(), all_lessons(lessons).values()), format)


@app.command()
def certificate(
    name: Annotated[str, typer.Option("--name", help="The name that stands on it.")] = "",
    file: Annotated[Path, typer.Option("--file", help="Where it goes; the JSON beside it has the same name.")] = Path(
        "spokekit-certificate.html"
    ),
    lessons: LessonsOption = None,
) -> None:
    """Write what was shown as a page to print and as JSON: lessons, dates, attempts, the version of spokekit.

    In a class the board gives a code for it, by which the class confirms what it has; where it cannot be reached the
    page is written without one.
    """
    from spokekit.training.attempts import events_here
    from spokekit.training.course import lessons as all_lessons
    from spokekit.training.joining import confirmed
    from spokekit.training.progress import Certificate

    # Without a lesson that was right there is nothing to confirm.
    made = Certificate.of(events_here(), all_lessons(lessons).values(), name=name)
    try:
        made = replace(made, confirmed=confirmed(practice_root()))
    except SpokekitError as error:
        say(f"Without a code of the class: {error.message} {error.hint or ''}".strip())
    for path in made.write(file):
        out(str(path))


@app.command()
def join(
    address: Annotated[str, typer.Argument(help="The address that the trainer's board shows.")],
    code: CodeOption = "",
    name: NameOption = "",
) -> None:
    """Join a class with the practice site that is running; `spokekit lab --join` does it at the start.

    Lessons, outcomes, hints and times are sent to it, under a pseudonym; never what you type, nor any account, address
    or secret. The trainer may change your practice site, and send you messages. What the class keeps is deleted there
    after 30 days.
    """
    from spokekit.training.desk import desk_here

    refuse_where_nothing_is_kept()
    if not desk_here().about.get("reports"):
        raise InputError(
            "Nothing reports to a class from this practice site, which was started alone.",
            field="address",
            hint="Start it beside a command: spokekit practice --join ADDRESS --code CODE bash, for example.",
        )
    say_joined(join_class(address, code, name))


@app.command()
def leave() -> None:
    """Leave the class: nothing more is sent. What was sent stays there until the trainer deletes it."""
    from spokekit.training.joining import leave_class

    leave_class(practice_root())
    say("You have left the class. What was sent stays on its board until it is deleted there, after 30 days at most.")


@app.command()
def sent(format: FormatOption = Format.table) -> None:
    """Show everything that the class keeps of you: what was sent, and what became of the trainer's orders."""
    from spokekit.training.joining import what_was_sent
    from spokekit.training.sent import COLUMNS, rows_of

    found = what_was_sent(practice_root())
    named = f", named {found.name}" if found.name else ", without a name"
    say(f"{found.class_name} keeps of you: {found.pseudonym}{named}; hand {'up' if found.now.hand else 'down'}.")
    emit(rows_of(found), format, COLUMNS, empty="No event was sent yet.")


@app.command()
def hand(
    down: Annotated[bool, typer.Option("--down", help="You need no help any more.")] = False,
) -> None:
    """Put your hand up: the trainer sees that you need help."""
    from spokekit.training.my_class import my_class, raise_hand

    if my_class(practice_root()) is None:
        raise NotFound("This practice home is in no class.", hint="Join one: spokekit lessons join ADDRESS --code CODE")
    raise_hand(practice_root(), not down)
    say(
        "Your hand is down."
        if down
        else "Your hand is up; the trainer sees it. Down again: spokekit lessons hand --down"
    )


@app.command()
def new(folder: Annotated[Path, typer.Argument(help="A folder that is new or empty.")]) -> None:
    """Write a lesson that runs, with its notebook, as a beginning for one of your own."""
    from spokekit.training.template import write

    for path in write(folder):
        out(str(path))
    say(f"Next: spokekit lessons test {shlex.quote(str(folder))}")


@app.command()
def test(
    folder: Annotated[
        Path | None, typer.Argument(help="A folder with lessons of your own; without it, spokekit's lessons.")
    ] = None,
    only: Annotated[list[str] | None, typer.Option("--only", help="A lesson's name; may be repeated.")] = None,
    format: FormatOption = Format.table,
) -> None:
    """Run every lesson without a person, each run on a practice site and in a home of its own.

    Untouched, each wrong turn, solved, started over, in two worlds. The exit code is 1 when a lesson is not as it says.
    """
    from spokekit.training.course import chapters, of_folder
    from spokekit.training.testing import run_all

    found = of_folder(folder) if folder is not None else tuple(one for c in chapters() for one in c.lessons)
    known = [one.name for one in found]
    if strange := [name for name in only or () if name not in known]:
        raise typer.BadParameter(
            f"There is no lesson {strange[0]!r} here. There are: {', '.join(known)}.", param_hint="--only"
        )
    chosen = [one for one in found if not only or one.name in only]
    rows, failed = [], False
    for name, failures in run_all(chosen, folder):
        failed = failed or bool(failures)
        say(f"{name}: {'as it should be' if not failures else 'NOT as it should be'}")
        rows += [{"lesson": f.lesson, "state": f.state, "words": f.words} for f in failures]
    emit(rows, format, ["lesson", "state", "words"], empty=f"All {len(chosen)} are as they should be.")
    if failed:
        raise typer.Exit(FAILED)
