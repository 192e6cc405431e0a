"""``spokekit review``: access reviews with evidence, from the opening to the closed folder."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from spokekit import review
from spokekit.cli import _review as steps
from spokekit.cli._output import FAILED, INCOMPLETE, ConnectionOption, Format, FormatOption, emit, say
from spokekit.errors import InputError

app = typer.Typer(
    add_completion=False,
    help="Review who may keep access: decide, sign, carry out, prove, and keep the evidence.",
    no_args_is_help=True,
)


Decision = Literal["keep", "remove", "ask", "exception"]
NameArgument = Annotated[str, typer.Argument(metavar="NAME", help="The name of the review, such as 2026-Q4.")]
PartialOption = Annotated[
    bool, typer.Option("--partial", help="Go on although something is missing; the evidence says so on every page.")
]
InGroup = Annotated[str | None, typer.Option("--group", help="Only rows of this group (name or id).")]
OfPerson = Annotated[str | None, typer.Option("--person", help="Only rows of this person (name or account id).")]
Recommended = Annotated[
    str | None, typer.Option("--recommended", help="Only rows whose recommendation holds this word, such as leaver.")
]
Undecided = Annotated[bool, typer.Option("--undecided", help="Only rows without a decision.")]


@app.command("open")
def open_(
    name: NameArgument,
    scope: Annotated[
        list[str] | None,
        typer.Option("--scope", help="registered (as without it), access, admins, or a group by name or id; repeat."),
    ] = None,
    due: Annotated[str | None, typer.Option("--due", help="The last day for decisions, like 2026-12-31.")] = None,
    reviewer: Annotated[
        list[str] | None, typer.Option("--reviewer", metavar="GROUP=PERSON", help="Who is to decide about a group.")
    ] = None,
    lists: Annotated[
        list[Path] | None,
        typer.Option("--list", help="A list of people (HR, identity provider, Export users): leavers, inactive seats."),
    ] = None,
    inactive_days: Annotated[
        int, typer.Option("--inactive-days", min=1, help="A seat not used for so many days counts as inactive.")
    ] = 90,
    partial: PartialOption = False,
    draft: Annotated[bool, typer.Option("--draft", help="Leave it as a draft; the same command opens it.")] = False,
    connection: ConnectionOption = None,
    format: FormatOption = Format.table,
) -> None:
    """Open a review from the newest snapshot, or a draft of that name.

    An incomplete population is refused with exit code 3, unless --partial says that it may be.
    """
    scopes = scope or ["registered"]
    known = [one for one in scopes if one in ("registered", "access", "admins")]
    if known and len(scopes) > 1:
        raise InputError("A scope goes alone, or groups by name.", field="scope", hint="Repeat --scope for groups.")
    reviews = steps.reviews_of(connection)
    audit, people = None, None
    if lists:
        from spokekit.audit.compare_people import compare_list

        audit = reviews.audit()
        people = compare_list(audit, *lists, inactive_days=inactive_days)
        for line in (*people.notes, people.words):
            say(line)
    campaign = reviews.open(
        name,
        scope=known[0] if known else "registered",
        groups=[] if known else scopes,
        due=due,
        reviewers=steps.reviewers(reviewer),
        partial=partial,
        people=people,
        inactive_days=inactive_days,
        audit=audit,
        draft=draft,
    )
    steps.head(campaign)
    emit([steps.summary(campaign)], format)


@app.command("list")
def list_(connection: ConnectionOption = None, format: FormatOption = Format.table) -> None:
    """List the reviews of the site, newest first."""
    emit(steps.reviews_of(connection).list(), format, empty="No review was opened yet: spokekit review open NAME.")


@app.command()
def show(name: NameArgument, connection: ConnectionOption = None, format: FormatOption = Format.table) -> None:
    """Show how far a review is: its state, the sums, who signed, and what comes next."""
    campaign = steps.reviews_of(connection).get(name)
    steps.head(campaign)
    for event in campaign.events:
        if event.event == "signed":
            say(f"Signed by {event.detail['name']}, {event.detail['role']}.")
    if (proof := campaign.verification()) is not None:
        say(proof.words)
    say(campaign.next_words)
    emit([steps.summary(campaign)], format)


@app.command()
def rows(
    name: NameArgument,
    undecided: Undecided = False,
    group: InGroup = None,
    person: OfPerson = None,
    recommended: Recommended = None,
    wide: Annotated[bool, typer.Option("--wide", help="Every column, the outcomes of a verification too.")] = False,
    connection: ConnectionOption = None,
    format: FormatOption = Format.table,
) -> None:
    """List the memberships of a review with recommendations and decisions."""
    campaign = steps.reviews_of(connection).get(name)
    frame = steps.filtered(campaign, undecided=undecided, group=group, person=person, recommended=recommended)
    short = ("row_id", "group", "person", "access", "recommendation", "decision", "reason", "account_id")
    columns = None if wide else short if format is Format.table else review.COLUMNS
    steps.head(campaign)
    emit(frame, format, columns=columns, empty="No row fits.")


@app.command()
def decide(
    name: NameArgument,
    row: Annotated[list[int] | None, typer.Option("--row", help="A row by its id; repeat it for several.")] = None,
    decision: Annotated[Decision | None, typer.Option("--decision", help="keep, remove, ask or exception.")] = None,
    reason: Annotated[str, typer.Option("--reason", help="Why; needed for an exception, and against advice.")] = "",
    until: Annotated[str | None, typer.Option("--until", help="The last day of an exception.")] = None,
    file: Annotated[Path | None, typer.Option("--file", help="A worksheet that came back (.xlsx or .csv).")] = None,
    undecided: Undecided = False,
    group: InGroup = None,
    person: OfPerson = None,
    recommended: Recommended = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what a worksheet would change; decide nothing.")
    ] = False,
    connection: ConnectionOption = None,
    format: FormatOption = Format.table,
) -> None:
    """Decide rows by id, all that fit --group, --person, --recommended or --undecided, or those of a worksheet.

    The exit code is 3 when some rows were not taken; each is named with the reason.
    """
    campaign = steps.reviews_of(connection).get(name)
    if file is not None:
        if row or decision is not None:
            raise InputError(
                "A worksheet says itself what is decided.", field="file", hint="Leave --row and --decision out."
            )
        steps.from_worksheet(campaign, file, dry_run=dry_run, format=format)
        return
    if decision is None:
        raise InputError(
            "What is to be decided?", field="decision", hint="Give --decision keep, remove, ask or exception."
        )
    chosen = list(row or ())
    if not chosen and (undecided or group or person or recommended):
        frame = steps.filtered(campaign, undecided=undecided, group=group, person=person, recommended=recommended)
        chosen = frame.loc[frame["decision"] != "routed out", "row_id"].to_list()
        if not chosen:
            raise InputError(
                "No row that can be decided here fits what is asked for.",
                field="row",
                hint=f"spokekit review rows {campaign.name} lists all, with groups, people and recommendations.",
            )
    if not chosen:
        raise InputError(
            "No row is named.", field="row", hint="Give --row ID, --group, --person, --recommended or --undecided."
        )
    if dry_run:
        emit(campaign.frame([campaign.row(one) for one in chosen]), format, columns=review.COLUMNS)
        say("Nothing was decided: a dry run.")
        return
    steps.told(campaign, campaign.decide(chosen, decision, reason=reason, until=until), chosen, format)


@app.command()
def worksheet(
    name: NameArgument,
    out_: Annotated[Path, typer.Option("--out", help="Where to: a .xlsx or .csv.")],
    connection: ConnectionOption = None,
) -> None:
    """Write the rows as a worksheet for reviewers; `decide --file` takes it back."""
    campaign = steps.reviews_of(connection).get(name)
    written = campaign.worksheet(out_)
    say(f"Written: {written}. Fill in decision, until, reason and reviewer, and change nothing else.")
    say(f"Take it back: spokekit review decide {campaign.name} --file {written}")


@app.command()
def sign(
    name: NameArgument,
    by: Annotated[str, typer.Option("--by", help="The name of whoever signs.")],
    role: Annotated[str, typer.Option("--role", help="In which role, such as Head of IT.")],
    connection: ConnectionOption = None,
    format: FormatOption = Format.table,
) -> None:
    """Sign the decisions; every row has to be decided."""
    campaign = steps.reviews_of(connection).get(name)
    campaign.sign(by, role)
    steps.head(campaign)
    emit([steps.summary(campaign)], format)


@app.command()
def apply(
    name: NameArgument,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would happen, and change nothing.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask for the words that confirm a large plan.")] = False,
    connection: ConnectionOption = None,
    format: FormatOption = Format.table,
) -> None:
    """Carry the removals out as one guarded plan, or go on with an apply of this review that was stopped.

    The exit code is 3 when some rows could not be carried out. Undo: spokekit members undo.
    """
    with steps.members_of(connection) as (reviews, members):
        campaign = reviews.get(name)
        if (left := campaign.unfinished()) is not None:
            steps.resume(campaign, members, left.apply_id, dry_run=dry_run, yes=yes, format=format)
            return
        if campaign.settle():
            say("The removals were carried out before; that is noted now.")
            emit([steps.summary(campaign)], format)
            return
        steps.apply(campaign, members, dry_run=dry_run, yes=yes, format=format)


@app.command()
def verify(
    name: NameArgument,
    walk: Annotated[
        bool, typer.Option("--walk/--no-walk", help="Walk first, or take the newest snapshot as it is.")
    ] = True,
    partial: PartialOption = False,
    connection: ConnectionOption = None,
    format: FormatOption = Format.table,
) -> None:
    """Walk again and say row by row what was done, what was not, what came back, and what nobody decided.

    The exit code is 3 when a removal is not done, or a change is unexplained.
    """
    reviews = steps.reviews_of(connection)
    campaign = reviews.get(name)
    campaign.settle()
    if walk and campaign.state in ("Applied", "Verified"):
        steps.walk_again(campaign, connection)
    proof = campaign.verify(reviews.audit(), partial=partial)
    say(proof.words)
    emit(proof.frame, format)
    sums = proof.sums()
    if proof.missing or sums["not_done"] or sums["unexplained"]:
        raise typer.Exit(INCOMPLETE)


@app.command()
def handout(
    name: NameArgument,
    out_: Annotated[Path, typer.Option("--out", help="A folder for the CSV and the text.")] = Path(),
    connection: ConnectionOption = None,
    format: FormatOption = Format.table,
) -> None:
    """Write what others have to do where groups are synced from elsewhere: a CSV and a text for a ticket."""
    from spokekit.review import handout as work

    campaign = steps.reviews_of(connection).get(name)
    paths = campaign.handout(out_)
    emit(work.frame(campaign), format, empty="Nothing is left to others.")
    say(f"Written: {', '.join(map(str, paths))}")


@app.command()
def report(
    name: NameArgument,
    out_: Annotated[Path, typer.Option("--out", help="Where to: an .html file.")],
    connection: ConnectionOption = None,
) -> None:
    """Write the report as one page; DRAFT stands across it until the review is closed."""
    from spokekit._home import write_private

    write_private(out_.absolute(), steps.reviews_of(connection).get(name).report())
    say(f"Written: {out_}")


@app.command()
def close(
    name: NameArgument,
    out_: Annotated[Path, typer.Option("--out", help="A new folder for the evidence.")],
    connection: ConnectionOption = None,
    format: FormatOption = Format.table,
) -> None:
    """Close a verified review and write its evidence; of a closed one, write the evidence once more."""
    from spokekit.audit.history.integrity import MANIFEST
    from spokekit.review.checking import digest

    campaign = steps.reviews_of(connection).get(name)
    folder = campaign.close(out_)
    say(f"Closed. The evidence is in {folder}. Check it at any time: spokekit review check {folder}")
    say(f"Keep this digest of its manifest elsewhere, too: {digest((folder / MANIFEST).read_bytes())}")
    emit([{**steps.summary(campaign), "folder": str(folder)}], format)


@app.command()
def check(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="Evidence of one review, or a folder of several.")],
    campaign: Annotated[
        str, typer.Option("--campaign", help="Which review's evidence it has to be, if it was renamed.")
    ] = "",
    connection: ConnectionOption = None,
    format: FormatOption = Format.table,
) -> None:
    """Find every changed, missing or added file of evidence, and evidence in the place of another.

    The exit code is 1 when something is found; it is named.
    """
    found = review.check_evidence(folder, steps.reviews_or_none(connection), campaign=campaign)
    emit(found, format)
    for note in found.attrs["notes"]:
        say(note)
    wrong = found[found["state"] != "whole"]
    if len(wrong):
        for record in wrong.to_dict("records"):
            say(f"{record['folder']}/{record['file']}: {record['words']}")
        say("This is not the evidence as it was written. Take it from a copy, or write it again: review close.")
        raise typer.Exit(FAILED)
    say(f"{len(found):,} files, each as it was written.")
