"""``spokekit members``: plan, preview, apply, resume, drop and undo changes of membership in registered groups."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from spokekit._workspace import workspace
from spokekit.cli._output import (
    INCOMPLETE,
    ConnectionOption,
    Format,
    FormatOption,
    emit,
    listener,
    pauses,
    say,
    typed_words,
)
from spokekit.cli._signals import interruptible
from spokekit.errors import InputError

if TYPE_CHECKING:
    from spokekit.groups.membership import Membership, Preview, Resumption
    from spokekit.groups.result import Result

app = typer.Typer(no_args_is_help=True)

APPLIES = (
    "apply_id",
    "started_at",
    "by",
    "mode",
    "planned",
    "done",
    "already_so",
    "refused",
    "failed",
    "unknown",
    "not_done",
    "state",
    "undo_of",
    "purpose",
    "message",
)

_ROWS_SAID = 50
_THEN = "; spokekit members resume then settles it"


Mode = Literal["add", "remove", "sync"]
Only = Literal["add-only", "remove-only"]
ApplyArgument = Annotated[
    str | None, typer.Argument(metavar="APPLY_ID", help="From `members journal --applies`; its beginning is enough.")
]
YesOption = Annotated[
    bool, typer.Option("--yes", help="Do not ask for the words that confirm a large or dangerous plan.")
]
ForeignOption = Annotated[
    bool,
    typer.Option("--foreign", help="Apply a plan file that this store has not signed, as its fresh preview shows it."),
]
DryRunOption = Annotated[bool, typer.Option("--dry-run", help="Show what would happen, and change nothing.")]


@app.command("list")
def list_(
    group_id: Annotated[str, typer.Argument(metavar="GROUP_ID", help="As `groups list` shows it.")],
    connection: ConnectionOption = None,
    format: FormatOption = Format.table,
) -> None:
    """List the members of a group."""
    from spokekit.confluence.members import COLUMNS as MEMBERS

    with _open(connection) as members:
        emit(members.members(group_id, progress=pauses()), format, columns=MEMBERS, empty="Nobody is in this group.")


@app.command()
def plan(
    mode: Annotated[Mode, typer.Option("--mode", help="add, remove, or sync: make each group equal to the list.")],
    out_: Annotated[Path, typer.Option("--out", help="Where the previewed plan is written.")],
    file: Annotated[
        Path | None, typer.Option("--file", help="A CSV or .xlsx with group_id,account_id (or names, e-mails).")
    ] = None,
    person: Annotated[str, typer.Option("--person", help="One person: account id, e-mail address or name.")] = "",
    everywhere: Annotated[
        bool, typer.Option("--everywhere", help="With remove and --person: out of all their registered groups.")
    ] = False,
    like: Annotated[str, typer.Option("--like", help="With add and --person: into this colleague's groups.")] = "",
    only: Annotated[Only | None, typer.Option("--only", help="With sync: remove nobody, or add nobody.")] = None,
    group: Annotated[str, typer.Option("--group", help="The group, for a list without a group column.")] = "",
    account_column: Annotated[
        str, typer.Option("--account-column", help="The column that says who, where its name is not known here.")
    ] = "",
    group_column: Annotated[
        str, typer.Option("--group-column", help="The column that says which group, where its name is not known here.")
    ] = "",
    connection: ConnectionOption = None,
    format: FormatOption = Format.table,
) -> None:
    """Compare a list, or the groups of one person, with the site; write the plan to a file and show the preview.

    Nothing is changed. For one person: --mode remove --person PERSON --everywhere, or --mode add --person PERSON
    --like COLLEAGUE.
    """
    from spokekit.groups.wishes import read_csv

    _for_a_list_or_one(
        mode, file, person, everywhere, like, lists=bool(only or group or account_column or group_column)
    )
    with _open(connection) as members, _options_named():
        if file is None:
            told = listener()
            made = (
                members.plan_like(person, like, progress=told)
                if like
                else members.plan_everywhere(person, progress=told)
            )
        else:
            wishes = read_csv(file, group=group, account_column=account_column, group_column=group_column)
            made = members.plan(wishes, mode, group=group, only=only or "", progress=listener())
        preview = members.preview(made, progress=listener())
        members.save(preview, out_)
        emit(preview.frame, format)
        show(preview)
        say(f"The plan is in {out_}. Apply it: spokekit members apply {out_}")


@app.command()
def apply(
    plan_file: Annotated[Path, typer.Argument(metavar="PLAN.json", help="What `members plan` wrote.")],
    dry_run: DryRunOption = False,
    yes: YesOption = False,
    foreign: ForeignOption = False,
    connection: ConnectionOption = None,
    format: FormatOption = Format.table,
) -> None:
    """Carry out a plan. It is refused when the site is not as its preview says: groups, names, access, dangers.

    A file that this store has not signed is previewed anew, and asked about. The exit code is 3 when some rows could
    not be carried out.
    """
    with _open(connection) as members:
        preview = members.load(plan_file)
        strange = preview.foreign
        if strange:
            say(
                f"{plan_file} is foreign: this store has not signed it. Nothing in it but the ids is believed; "
                "what follows is read from the site."
            )
            preview = members.preview_anew(preview, progress=listener())
            say_rows(preview)
        _apply(members, preview, dry_run=dry_run, yes=yes, format=format, foreign=strange and not foreign)


@app.command()
def resume(
    apply_id: ApplyArgument = None,
    dry_run: DryRunOption = False,
    yes: YesOption = False,
    connection: ConnectionOption = None,
    format: FormatOption = Format.table,
) -> None:
    """Go on with an apply that was killed, cancelled or stopped (the latest, without an id), after showing its rest.

    Outcomes not known are read from the site first. On a terminal it asks; elsewhere a large or dangerous rest needs
    --yes. To leave it as it is: members drop.
    """
    with _open(connection) as members:
        _take_in(members)
        go_on(members, members.resume, apply_id, dry_run=dry_run, yes=yes, format=format, then=_THEN)


@app.command()
def drop(apply_id: ApplyArgument = None, connection: ConnectionOption = None) -> None:
    """Do not go on with an apply that is not finished (the latest, without an id); what it did can still be undone."""
    from spokekit.groups.resumption import about

    with _open(connection) as members:
        _take_in(members)
        state = members.drop(apply_id, progress=listener())
        for line in about(state):
            say(line)
        say(f"Dropped: it is not gone on with. Undo what was done: spokekit members undo {state.apply_id[:8]}")


@app.command()
def undo(
    apply_id: ApplyArgument = None,
    dry_run: DryRunOption = False,
    yes: YesOption = False,
    out_: Annotated[
        Path | None, typer.Option("--out", help="Write the opposite plan to this file instead of applying it.")
    ] = None,
    connection: ConnectionOption = None,
    format: FormatOption = Format.table,
) -> None:
    """Take an apply back (the last one, without an id), less what others have changed since."""
    with _open(connection) as members:
        _take_in(members)
        preview = members.preview(members.plan_undo(apply_id, progress=listener()), progress=listener())
        if out_ is not None:
            members.save(preview, out_)
            emit(preview.frame, format)
            show(preview)
            say(f"The plan is in {out_}. Apply it: spokekit members apply {out_}")
            return
        _apply(members, preview, dry_run=dry_run, yes=yes, format=format)


@app.command()
def journal(
    apply_id: ApplyArgument = None,
    applies: Annotated[bool, typer.Option("--applies", help="One line for each apply instead of every entry.")] = False,
    connection: ConnectionOption = None,
    format: FormatOption = Format.table,
) -> None:
    """List the journal: every entry of all connections, of one connection, or of one apply."""
    from spokekit.groups import journal_copy
    from spokekit.groups.journal import Journal

    work = workspace()
    written = Journal(work.store)
    for file in journal_copy.files(work.store):
        say(f"Not in the journal, which was lost meanwhile: an apply kept in {file}; `members resume` takes it in.")
    frame = written.applies() if applies else written.entries(apply_id)
    if applies and apply_id:
        frame = frame[frame["apply_id"].str.startswith(apply_id.strip().casefold())]
    if connection is not None:
        found = work.connection(connection)
        key = "alias_id" if "alias_id" in frame.columns else "connection"
        frame = frame[frame[key] == (found.alias_id if key == "alias_id" else found.name)]
    emit(frame, format, columns=APPLIES if applies else None, empty="Nothing was changed yet.")


# ------------------------------------------------------------------------------------------------- inside


def _for_a_list_or_one(mode: Mode, file: Path | None, person: str, everywhere: bool, like: str, *, lists: bool) -> None:
    """Refuse options of `plan` that do not go together."""
    forms = "--file LIST, or --mode remove --person PERSON --everywhere, or --mode add --person PERSON --like COLLEAGUE"
    if file is not None:
        wrong = "A list and one person exclude each other." if person or everywhere or like else ""
    elif not person:
        wrong = "Neither a list nor a person was named."
    elif lists:
        wrong = "--only, --group and the columns go with a list."
    elif mode == "remove":
        wrong = "" if everywhere and not like else "Taking one person out goes with --everywhere alone."
    elif mode == "add":
        wrong = "" if like and not everywhere else "Adding one person goes with --like COLLEAGUE alone."
    else:
        wrong = "A sync needs a list."
    if wrong:
        raise InputError(wrong, field="person", hint=f"Give {forms}.")


@contextmanager
def _options_named() -> Iterator[None]:
    """Name the options of this command where naming the columns would help."""
    from spokekit.groups.columns import COLUMNS

    try:
        yield
    except InputError as error:
        if error.field != COLUMNS:
            raise
        options = "Or say which column is which: --account-column NAME, --group-column NAME, and --group for the rest."
        raise InputError(error.message, likely=error.likely, hint=f"{error.hint} {options}", field=COLUMNS) from None


def _open(connection: str | None) -> closing[Membership]:
    from spokekit.groups.membership import Membership

    return closing(Membership.of(workspace(), connection))


def _take_in(members: Membership) -> None:
    for words in members.take_in():
        say(words)


def go_on(
    members: Membership,
    resume: Callable[..., Result],
    apply_id: str | None,
    *,
    dry_run: bool,
    yes: bool,
    format: Format,
    then: str,
    told: str = "",
) -> None:
    """Show the rest of an apply that is not finished, and go on with it by `resume`; see `carry_out`."""
    from spokekit.groups.resumption import about

    if apply_id is None:
        for other in members.unfinished()[1:]:
            say(f"Not finished either: {about(other)[0]}")
    rest = members.preview_resume(apply_id, progress=listener())
    say_rows(rest.preview)
    show(rest)
    if dry_run:
        emit(rest.preview.frame, format)
        say("Nothing was changed: a dry run.")
        return
    asks = rest.confirmation or (sys.stdin.isatty() and rest.preview.plan.planned)
    typed = rest.confirmation if yes or not asks else typed_words(rest.preview.words_of_consent, "--yes")
    carry_out(resume, rest, typed, format, then=then, told=told)


def show(preview: Preview | Resumption) -> None:
    """Say what a preview comes to, and its dangers."""
    for line in preview.lines:
        say(line)
    for danger in preview.dangers:
        say(f"Danger: {danger}")


def say_rows(preview: Preview) -> None:
    """Say what is planned row by row, the first rows of many."""
    rows = preview.plan.planned
    for row in rows[:_ROWS_SAID]:
        direction = "to" if row.action == "add" else "from"
        say(f"  {row.action} {row.display_name or '(no name)'} ({row.account_id}) {direction} {row.group}")
    if len(rows) > _ROWS_SAID:
        say(f"  … and {len(rows) - _ROWS_SAID:,} more; with --dry-run all of them are listed.")


def _apply(
    members: Membership,
    preview: Preview,
    *,
    dry_run: bool,
    yes: bool,
    format: Format,
    foreign: bool = False,
) -> None:
    """Show a preview and apply it; one from a `foreign` file is asked about whatever it does, ``--yes`` or not."""
    show(preview)
    if dry_run:
        changed = members.check(preview, progress=listener())
        emit(preview.frame, format)
        for difference in changed:
            say(f"Changed since the preview: {difference.message}")
        say("Applying it would be refused: make the plan again." if changed else "Nothing was changed: a dry run.")
        if changed:
            raise typer.Exit(1)
        return
    words = preview.words_of_consent if foreign and preview.plan.planned else preview.confirmation
    typed = words if yes and not foreign else typed_words(words, "--foreign" if foreign else "--yes")
    carry_out(members.apply, preview, typed, format, then=_THEN)


def carry_out(
    action: Callable[..., Result],
    shown: Preview | Resumption,
    typed: str,
    format: Format,
    *,
    then: str,
    told: str = "",
) -> None:
    """Carry out what was shown and confirmed, and say what came of it; ends with exit code 3 where rows are left.

    `then` is what the person reads after Ctrl-C, and `told` what stands behind the id in the journal.
    """
    with interruptible(then) as cancel:
        result = action(shown, confirm=typed, progress=listener(), cancel=cancel)
        emit(result.frame, format)
        say(result.words)
        if result.apply_id and result.kept is None:
            say(f"In the journal as {result.apply_id}{told}. Undo: spokekit members undo {result.apply_id[:8]}")
        if result.stopped or not result.finished or "failed" in result.counts():
            raise typer.Exit(INCOMPLETE)
