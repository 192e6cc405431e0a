"""What the commands of ``spokekit review`` share: finding a review, showing it, applying it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from spokekit import review
from spokekit._words import comparable, moment
from spokekit._workspace import workspace
from spokekit.cli._output import INCOMPLETE, Format, emit, listener, say, typed_words
from spokekit.cli._signals import interruptible
from spokekit.cli.members import carry_out, go_on, say_rows, show
from spokekit.errors import InputError, NotConfigured, NotFound

if TYPE_CHECKING:
    import pandas as pd

    from spokekit.groups.membership import Membership
    from spokekit.review import Campaign, Decided, Reviews

_TOLD = 20


def reviews_of(connection: str | None) -> Reviews:
    """Return the reviews of a connection's site."""
    return review.Reviews.of(workspace(), connection)


def reviews_or_none(connection: str | None) -> Reviews | None:
    """Return the reviews of this home; None where it has no site: a folder can be checked anywhere."""
    try:
        return reviews_of(connection)
    except (NotConfigured, NotFound):
        if connection is not None:
            raise
        return None


@contextmanager
def members_of(connection: str | None) -> Iterator[tuple[Reviews, Membership]]:
    """Open reviews and memberships of a connection."""
    from spokekit.groups.membership import Membership

    with closing(Membership.of(workspace(), connection)) as members:
        yield reviews_of(connection), members


def reviewers(said: list[str] | None) -> dict[str, str]:
    """Read ``GROUP=PERSON``, once for each group."""
    made = {}
    for text in said or ():
        group, equals, person = text.partition("=")
        if text.startswith("=") or (equals and not person):
            # A group may be called =Sales.
            group, equals, person = text.rpartition("=")
        if not equals or not group.strip() or not person.strip():
            raise InputError(f"{text!r} is not GROUP=PERSON.", field="reviewer", hint="Example: marketing=Kim Muster")
        made[group.strip()] = person.strip()
    return made


def summary(campaign: Campaign) -> dict[str, Any]:
    """Return a review as one line: state, sums, due day."""
    return {
        "name": campaign.name,
        "state": campaign.state,
        **campaign.sums(),
        "due": campaign.due,
        "partial": bool(campaign.missing),
    }


def head(campaign: Campaign) -> None:
    """Say which review this is, and how far."""
    taken = datetime.fromisoformat(campaign.head.about["taken_at"])
    say(f"Review {campaign.name} of {campaign.head.site}: {campaign.state}. Population of {moment(taken)}.")
    if campaign.missing:
        say(f"Partial: {'; '.join(campaign.missing)}.")
    if campaign.head.about["caution"]:
        say(campaign.head.about["caution"])
    say(campaign.words)


def filtered(
    campaign: Campaign, *, undecided: bool, group: str | None, person: str | None, recommended: str | None
) -> pd.DataFrame:
    """Return the rows that fit all that is asked for."""
    chosen = list(campaign.rows)
    if undecided:
        chosen = [row for row in chosen if not row.routed_out and campaign.decision(row.row_id) is None]
    if group is not None:
        wanted = comparable(group)
        chosen = [row for row in chosen if group == row.group_id or wanted == comparable(row.group_name)]
    if person is not None:
        wanted = comparable(person)
        chosen = [
            row for row in chosen if person == row.account_id or wanted == comparable(campaign.called(row.account_id))
        ]
    if recommended is not None:
        wanted = comparable(recommended)
        chosen = [row for row in chosen if wanted in comparable(row.recommendation)]
    return campaign.frame(chosen)


def told(campaign: Campaign, made: Decided, chosen: list[int], format: Format) -> None:
    """Say what came of decisions, and list their rows; ends with exit code 3 when some were refused."""
    for row_id, words in made.refused[:_TOLD]:
        say(f"Row {row_id}: {words}")
    if len(made.refused) > _TOLD:
        say(f"… and {len(made.refused) - _TOLD:,} more.")
    for row_id, before, after in made.changed[:_TOLD]:
        say(f"Row {row_id}: {before} before, {after} now.")
    say(made.words)
    emit(campaign.frame([campaign.row(one) for one in chosen]), format, columns=review.COLUMNS)
    if made.refused:
        raise typer.Exit(INCOMPLETE)


def from_worksheet(campaign: Campaign, file: Path, *, dry_run: bool, format: Format) -> None:
    """Take a worksheet\'s decisions, or say what they would change."""
    sheet = campaign.read_worksheet(file)
    for row_id, words in sheet.refused[:_TOLD]:
        say(f"Row {row_id}: {words}")
    if dry_run:
        for row_id, before, after in sheet.changes[:_TOLD]:
            say(f"Row {row_id}: {before} now, {after} in the worksheet.")
        say(f"{sheet.words} Nothing was decided: a dry run.")
        return
    made = campaign.take(sheet.choices)
    say(sheet.words)
    told(campaign, made, [choice.row_id for choice in sheet.choices], format)
    if sheet.refused:
        raise typer.Exit(INCOMPLETE)


def apply(campaign: Campaign, members: Membership, *, dry_run: bool, yes: bool, format: Format) -> None:
    """Plan, show, confirm and carry out the removals."""
    preview = campaign.plan(members, progress=listener())
    if preview is None:
        if dry_run:
            say("No row is to be removed.")
            return
        campaign.apply(members, None)
        say("No row is to be removed; that is noted.")
        emit([summary(campaign)], format)
        return
    say_rows(preview)
    show(preview)
    if dry_run:
        emit(preview.frame, format)
        say("Nothing was changed: a dry run.")
        return
    typed = preview.confirmation if yes else typed_words(preview.confirmation, "--yes")
    then, told = _said(campaign)
    carry_out(partial(campaign.apply, members), preview, typed, format, then=then, told=told)
    say(campaign.next_words)


def resume(
    campaign: Campaign,
    members: Membership,
    apply_id: str,
    *,
    dry_run: bool,
    yes: bool,
    format: Format,
) -> None:
    """Show the rest of an apply, and go on with it."""
    say("An apply of this review is not finished; this goes on with it.")
    then, told = _said(campaign)
    action = partial(campaign.resume, members)
    go_on(members, action, apply_id, dry_run=dry_run, yes=yes, format=format, then=then, told=told)
    if not dry_run:
        say(campaign.next_words)


def _said(campaign: Campaign) -> tuple[str, str]:
    """Return what a person reads after Ctrl-C, and with the id in the journal."""
    return f"; spokekit review apply {campaign.name} then goes on", f", for {campaign.name}"


def walk_again(campaign: Campaign, connection: str | None) -> None:
    """Walk the groups of a review anew: what was read before the apply proves nothing."""
    from spokekit.audit import Walk

    work = workspace()
    with work.spoke(connection) as spoke, interruptible() as cancel:
        this = Walk(spoke, groups=tuple(campaign.head.about["groups"]), registry=work.registry(connection), fresh=True)
        this.prepare(progress=listener(), cancel=cancel)
        snapshot = this.run(progress=listener(), cancel=cancel)
    for note in snapshot.completeness.get("notes", ()):
        say(note)
