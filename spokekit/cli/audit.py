"""``spokekit audit``: walk a site once, completely; then ask by name, compare, review findings, export."""

from __future__ import annotations

import sys
from datetime import UTC, date, datetime, time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from spokekit import _words
from spokekit._workspace import workspace
from spokekit.cli._night import night
from spokekit.cli._output import (
    FAILED,
    AtMostOption,
    ChangedOption,
    ConnectionOption,
    Format,
    FormatOption,
    emit,
    listener,
    say,
)
from spokekit.cli._signals import interruptible, obeyed
from spokekit.errors import InputError

if TYPE_CHECKING:
    import pandas as pd

    from spokekit.audit.audit import Audit
    from spokekit.audit.history.snapshots import Snapshots

app = typer.Typer(no_args_is_help=True)

ParamOption = Annotated[
    list[str] | None,
    typer.Option("--param", help="What the question takes, as name=value; may be given several times."),
]
AtOption = Annotated[
    str | None, typer.Option("--at", help="An earlier moment: a date such as 2026-11-23, or a snapshot's number.")
]


@app.command()
def walk(
    connection: ConnectionOption = None,
    all_: Annotated[bool, typer.Option("--all", help="All groups of the site, not only the registered ones.")] = False,
    match: Annotated[str | None, typer.Option("--match", help="Groups whose name fits, such as 'okta-*'.")] = None,
    with_spaces: Annotated[bool, typer.Option("--with-spaces", help="Read spaces and their grants too.")] = False,
    changed: ChangedOption = False,
    at_most: AtMostOption = None,
    in_flight: Annotated[int, typer.Option("--in-flight", min=1, max=16, help="Requests at a time.")] = 8,
    fresh: Annotated[
        bool, typer.Option("--fresh", help="Start over instead of continuing an unfinished walk.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask before the walk starts.")] = False,
    format: FormatOption = Format.table,
) -> None:
    """Read groups and members and write a snapshot; an unfinished walk is continued.

    What it will cost is said before it starts. With --changed the members of a group whose size is the same stand as
    they were last read, and each answer says so: one who came while one left does not show until the group is read
    whole again. The exit code is 3 when something could not be read; the snapshot then says what.
    """
    from spokekit.audit.walk.changed import AT_MOST
    from spokekit.audit.walk.walk import Walk

    if all_ and match:
        raise typer.BadParameter("--all and --match exclude each other.")
    if at_most is not None and not changed:
        raise typer.BadParameter("--at-most belongs to --changed.")
    work = workspace()
    with work.spoke(connection, in_flight=in_flight) as spoke, interruptible() as cancel:
        this = Walk(
            spoke,
            groups="all" if all_ else match or "registered",
            registry=work.registry(connection),
            with_spaces=with_spaces,
            fresh=fresh,
            changed=changed,
            at_most=at_most or AT_MOST,
        )
        plan = this.prepare(progress=listener(), cancel=cancel)
        say(plan.words)
        if not yes:
            if not sys.stdin.isatty():
                raise InputError("Nobody is here to agree to the walk.", hint="Give --yes to start it.", field="yes")
            with obeyed():
                typer.confirm("Start?", abort=True, err=True)
        snapshot = this.run(progress=listener(), cancel=cancel)
    report = snapshot.completeness
    for note in report["notes"]:
        say(note)
    row = {
        "site": snapshot.site.name or snapshot.site.cloud_id,
        "snapshot": snapshot.at,
        "taken_at": snapshot.taken_at,
        "complete": report["complete"],
        "groups_walked": report["walked"],
        "groups_confirmed": report["confirmed"],
        "groups_chosen": report["chosen"],
        "memberships": report["rows"],
        "points": report["points"],
        "words": report["words"],
    }
    emit([row], format)
    if not report["complete"]:
        say(report["words"])
        raise typer.Exit(3)


app.command()(night)


@app.command()
def questions(format: FormatOption = Format.table) -> None:
    """List the questions by name, and those that cannot be answered, with the reason."""
    from spokekit.audit import questions_frame

    made = questions_frame()
    columns = ["name", "title", "parameters", "answerable"] if format is Format.table else list(made.columns)
    emit(made, format, columns)


@app.command()
def snapshots(connection: ConnectionOption = None, format: FormatOption = Format.table) -> None:
    """List the snapshots of the site, oldest first."""
    kept = _snapshots(connection)
    emit(kept.frame(), format, empty="No snapshot yet: spokekit audit walk makes one.")
    if older := kept.older_words():
        say(older)


@app.command()
def check(connection: ConnectionOption = None, format: FormatOption = Format.table) -> None:
    """Read every file of every snapshot of the site and hold it against its checksum.

    Nothing is changed. The exit code is 1 when something is damaged or missing; the files are named.
    """
    from spokekit.audit.history.snapshot import DAMAGED

    kept = _snapshots(connection)
    found = kept.check()
    if format is Format.table:
        emit(found[["snapshot", "taken_at", "state", "files", "words"]], format, empty="No snapshot yet.")
    else:
        emit(found, format)
    damaged = found[found["state"] == DAMAGED]
    if len(damaged):
        files = sorted({name for names in damaged["damaged"] for name in names})
        say(f"{len(damaged)} of {len(found)} snapshots are damaged. Files: {', '.join(files)}.")
        say(
            f"Next: put the files back from a copy of {kept.folder}, or walk again (spokekit audit walk) and move the "
            "folders of the damaged snapshots away when they are not needed."
        )
        raise typer.Exit(FAILED)
    if len(found):
        say(f"{len(found)} snapshots, nothing is damaged.")


@app.command()
def ask(
    question: Annotated[str, typer.Argument(help="The name of a question, as `audit questions` lists it.")],
    param: ParamOption = None,
    connection: ConnectionOption = None,
    at: AtOption = None,
    format: FormatOption = Format.table,
) -> None:
    """Answer a question from the newest snapshot, or from an earlier moment."""
    audit = _audit(connection, at)
    answer = audit.ask(question, **_params(param))
    _head(audit, answer)
    emit(answer, format, empty="No row: nothing fits.")


@app.command()
def diff(
    connection: ConnectionOption = None,
    before: Annotated[
        str | None, typer.Option("--from", help="A date or number; by default the snapshot before.")
    ] = None,
    after: Annotated[str | None, typer.Option("--to", help="A date or number; by default the newest snapshot.")] = None,
    format: FormatOption = Format.table,
) -> None:
    """List the memberships that were added and removed between two snapshots."""
    from spokekit.audit.audit import Audit
    from spokekit.audit.compare import diff as compare

    newer = _audit(connection, after)
    moments = newer.moments()
    if before is None and len(moments) < 2:
        raise InputError("There is only one snapshot.", hint="Walk again later, then compare.", field="from")
    older = Audit.of_snapshot(
        _snapshots(connection).latest(), at=moments[-2].number if before is None else _moment(before)
    )
    answer = compare(older, newer)
    say(f"From {_words.moment(older.taken_at)} to {_words.moment(newer.taken_at)}.")
    if answer.attrs["caution"]:
        say(answer.attrs["caution"])
    if answer.attrs["not_compared"]:
        left_out = len(answer.attrs["not_compared"])
        say(f"{left_out:,} groups were not walked at one of the two moments and are not compared.")
    emit(answer, format, empty="No difference.")


@app.command("compare-list")
def compare_list(
    file: Annotated[
        list[Path], typer.Argument(help="CSV or .xlsx: HR's roster, a provider's export, Atlassian's Export users.")
    ],
    as_of: Annotated[str | None, typer.Option("--as-of", help="The day that the list is of, like 2026-11-20.")] = None,
    inactive_days: Annotated[
        int, typer.Option("--inactive-days", min=1, help="A seat not used for so many days is listed.")
    ] = 90,
    only: Annotated[list[str] | None, typer.Option("--only", help="This finding alone; may be repeated.")] = None,
    account_column: Annotated[str, typer.Option("--account-column", help="The column with id or address.")] = "",
    status_column: Annotated[str, typer.Option("--status-column", help="The column that says who has left.")] = "",
    seen_column: Annotated[str, typer.Option("--seen-column", help="The column of when people were last seen.")] = "",
    connection: ConnectionOption = None,
    at: AtOption = None,
    format: FormatOption = Format.table,
) -> None:
    """Compare lists of people with a snapshot: leavers with a seat, accounts in no list, two accounts of one person.

    Several files count together. What could not be matched is counted on both sides.
    """
    import spokekit.audit.compare_people as compared

    given = {"account_column": account_column, "status_column": status_column, "seen_column": seen_column}
    audit = _audit(connection, at)
    found = compared.compare_list(
        audit, *file, inactive_days=inactive_days, as_of=None if as_of is None else _moment(as_of), **given
    )
    for name in only or ():
        if name not in compared.FINDINGS:
            hint = f"There are: {', '.join(compared.FINDINGS)}."
            raise InputError(f"There is no finding {name!r}.", hint=hint, field="only")
    _head(audit, found.frame)
    for line in (*found.notes, found.words):
        say(line)
    rows = found.frame[found.frame["finding"].isin(only)] if only else found.frame
    rows.attrs = found.frame.attrs
    emit(rows, format, empty="No finding." if not only else "No such finding.")


@app.command()
def findings(
    question: Annotated[str | None, typer.Argument(help="Review this question; without it, list all findings.")] = None,
    param: ParamOption = None,
    accept: Annotated[list[str] | None, typer.Option("--accept", help="Accept the finding with this id.")] = None,
    reopen: Annotated[list[str] | None, typer.Option("--reopen", help="Take the acceptance of this id back.")] = None,
    reason: Annotated[str, typer.Option("--reason", help="Why it is accepted.")] = "",
    by: Annotated[str, typer.Option("--by", help="Who accepts it.")] = "",
    until: Annotated[
        str | None, typer.Option("--until", help="The last day of the acceptance, like 2027-03-31.")
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="Accepted and fixed ones, too.")] = False,
    connection: ConnectionOption = None,
    format: FormatOption = Format.table,
) -> None:
    """Review a question's rows as findings; accept some, with a reason. Only new ones are shown unless --all."""
    from spokekit.audit.findings import Findings

    kept = Findings(_snapshots(connection).site)
    if accept:
        say(f"Accepted: {kept.accept(accept, reason=reason, by=by, until=_day(until))}.")
    if reopen:
        say(f"Reopened: {kept.reopen(reopen)}.")
    if question is None:
        if not accept and not reopen:
            emit(kept.frame(None if everything else "new"), format, empty="No finding.")
        return
    audit = _audit(connection, None)
    given: dict[str, Any] = dict(_params(param))
    answer = kept.review(audit, question, **given)
    _head(audit, answer)
    counts = answer.attrs
    say(f"{counts['new']:,} new, {counts['accepted']:,} accepted, {counts['fixed']:,} fixed since the last time.")
    if not everything:
        attrs = answer.attrs
        answer = answer[answer["state"] == "new"].reset_index(drop=True)
        answer.attrs = attrs
    emit(answer, format, empty="Nothing new.")


@app.command()
def export(
    path: Annotated[Path, typer.Argument(help="Where to: .xlsx or .html for several, .csv or .parquet for one.")],
    question: Annotated[
        list[str] | None, typer.Argument(help="Questions by name; without any, the frames of the snapshot.")
    ] = None,
    param: ParamOption = None,
    by: Annotated[str, typer.Option("--by", help="Who made it, for the Summary.")] = "",
    title: Annotated[str, typer.Option("--title", help="The title of the report.")] = "Group access",
    pictures: Annotated[bool, typer.Option("--pictures/--no-pictures", help="Pictures in an HTML report.")] = True,
    connection: ConnectionOption = None,
    at: AtOption = None,
) -> None:
    """Write answers as a file: .csv, .parquet, .xlsx or .html."""
    from spokekit.audit.show import export as files

    audit = _audit(connection, at)
    given = _params(param)
    if question:
        frames = {name: audit.ask(name, **_fitting(audit, name, given)) for name in question}
    else:
        frames = audit.frames()
    kind = path.suffix.lower()
    about = files.About.of(
        audit, title=title, made_by=by or _person(), filters=", ".join(f"{k}={v}" for k, v in given.items())
    )
    if kind in (".csv", ".parquet"):
        if len(frames) != 1:
            raise InputError(
                f"One {kind} file holds one answer.", hint="Name one question, or write .xlsx.", field="path"
            )
        write = files.to_csv if kind == ".csv" else files.to_parquet
        write(next(iter(frames.values())), path)
    elif kind == ".xlsx":
        files.to_xlsx(frames, path, about)
    elif kind in (".html", ".htm"):
        from spokekit.audit.show.plots import overview

        files.to_html(frames, path, about, overview(audit) if pictures else ())
    else:
        raise InputError(f"{path.name} has no known ending.", hint="Use .csv, .parquet, .xlsx or .html.", field="path")
    say(f"Written: {path}")


def _snapshots(connection: str | None) -> Snapshots:
    from spokekit.audit.frames import Site
    from spokekit.audit.history.snapshots import Snapshots

    found = workspace().sited(connection)
    assert found.cloud_id is not None  # noqa: S101 - that is what was asked for
    return Snapshots(Site(found.cloud_id, found.site_name or "", found.site_url or ""))


def _audit(connection: str | None, at: str | None) -> Audit:
    from spokekit.audit.audit import Audit

    return Audit.of_snapshot(_snapshots(connection).latest(), at=None if at is None else _moment(at))


def _moment(text: str) -> Any:
    from spokekit.audit.audit import utc

    if text.isdigit() and len(text) < 8:
        return int(text)
    moment = utc(text)
    # A day means the whole day.
    return datetime.combine(moment.date(), time.max, UTC) if len(text) in (8, 10) else moment


def _day(text: str | None) -> date | None:
    if text is None:
        return None
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise InputError(f"{text!r} is no day.", hint="Write it like 2027-03-31.", field="until") from None


def _params(given: list[str] | None) -> dict[str, str]:
    made = {}
    for text in given or ():
        name, equals, value = text.partition("=")
        if not equals or not name.strip():
            raise InputError(
                f"{text!r} is not name=value.", hint="Example: --param group=confluence-users", field="param"
            )
        made[name.strip()] = value.strip()
    return made


def _fitting(audit: Audit, name: str, given: dict[str, str]) -> dict[str, str]:
    takes = {p.name for p in audit.question(name).params}
    return {key: value for key, value in given.items() if key in takes}


def _person() -> str:
    import getpass

    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return "unknown"


def _head(audit: Audit, answer: pd.DataFrame) -> None:
    """Say, beside the rows, what they are of and what they leave out."""
    say(f"{answer.attrs['title']} {audit.site.name or audit.site.cloud_id}, {_words.moment(audit.taken_at)}.")
    caution = audit.caution()
    if caution:
        say(caution)
    if answer.attrs["cannot_know"]:
        say(f"Cannot know: {answer.attrs['cannot_know']}")
