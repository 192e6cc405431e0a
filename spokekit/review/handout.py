"""What others have to do: memberships of synced groups, and removals that are refused here, as a CSV and a text."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from spokekit._foreign import shown
from spokekit._frames import WORDS, frame_of
from spokekit._home import write_private
from spokekit._refused import told_as
from spokekit._words import counted
from spokekit.errors import Conflict, InputError, StoreError
from spokekit.review import records as rec
from spokekit.review import removal

if TYPE_CHECKING:
    import pandas as pd

    from spokekit.review.campaign import Campaign

COLUMNS = ("review", "row_id", "wanted", "why", "group", "group_id", "person", "email", "account_id", "state")
REVIEW_THERE = "review there"
_MOST_NAMED = 50


def frame(campaign: Campaign) -> pd.DataFrame:
    """Return the rows that others have to look after, with `COLUMNS` (row_id int64, the others str).

    ``wanted`` is remove, or that the membership is to be reviewed where it comes from; ``state`` is waiting, and after
    a verification done or still there.
    """
    proof = campaign.verification()
    refused = {
        pair: message or reason
        for pair, (status, reason, message) in removal.refused(campaign).items()
        if status == "refused"
    }
    made = []
    for row in campaign.rows:
        decided = campaign.decision(row.row_id)
        stuck = decided is not None and decided.decision == rec.REMOVE and row.pair in refused
        if not (row.routed_out or stuck):
            continue
        wanted = rec.REMOVE if stuck or row.advice == rec.REMOVE else REVIEW_THERE
        source = WORDS["managed_by"].get(row.managed_by, row.managed_by)
        why = refused[row.pair] if stuck else row.recommendation or f"the group comes from the {source}"
        state = "waiting"
        if proof is not None:
            state = "done" if row.row_id in proof.gone else proof.state_of(row.row_id)
        name, email = campaign.people.get(row.account_id, ("", ""))
        made.append(
            (campaign.name, row.row_id, wanted, why, row.group_name, row.group_id, name, email, row.account_id, state)
        )
    return frame_of(made, {name: "int" if name == "row_id" else "text" for name in COLUMNS})


def text(campaign: Campaign) -> str:
    """Return the text of a ticket or a mail for whoever manages the groups."""
    rows = frame(campaign)
    removals = rows[rows["wanted"] == rec.REMOVE]
    lines = [
        f"Access review {shown(campaign.name, 200)} of {shown(campaign.head.site, 200)}",
        "",
        f"{counted(len(rows), 'membership')} cannot be changed in Confluence, since the groups come from elsewhere or "
        f"are not managed here. {len(removals):,} of them {'is' if len(removals) == 1 else 'are'} to be removed where "
        "the group comes from; please review the others there. The file beside this text has every row with group, "
        "account id and address.",
        "",
    ]
    for record in removals.head(_MOST_NAMED).to_dict("records"):
        person = shown(record["person"] or record["account_id"], 200)
        lines.append(
            f"- remove {person} ({record['account_id']}) from {shown(record['group'], 200)}: "
            f"{shown(record['why'], 300)}"
        )
    if len(removals) > _MOST_NAMED:
        lines.append(f"- and {len(removals) - _MOST_NAMED:,} more, in the file")
    lines += ["", "The next verification of the review tells which of them are done and which are still there.", ""]
    return "\n".join(lines)


def write(campaign: Campaign, folder: Path | str) -> tuple[Path, Path]:
    """Write both into `folder`, which is made; raises InputError where that cannot be, Conflict for a draft."""
    from spokekit.audit.show import export

    campaign.refresh()
    if campaign.state == rec.DRAFT:
        raise Conflict(f"The review {campaign.name} is a draft.", hint=campaign.next_words)
    target = Path(folder).expanduser()
    with told_as(InputError, f"{target} cannot be made", field="out"):
        target.mkdir(parents=True, exist_ok=True, mode=0o700)
    rows = frame(campaign)
    table, letter = target / "handout.csv", target / "handout.txt"
    try:
        export.to_csv(rows, table)
        write_private(letter, text(campaign).encode())
    except StoreError as error:
        raise InputError(error.message, field="out", hint="Choose another folder.") from None
    if campaign.state != rec.CLOSED:
        only = tuple(state for state in rec.STATES if state not in (rec.DRAFT, rec.CLOSED))
        campaign.add(rec.HANDED_OUT, {"rows": len(rows)}, only=only, words="handed out")
    return table, letter
