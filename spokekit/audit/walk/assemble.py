"""From the record of a finished walk to the frames of a snapshot, with the completeness report."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from spokekit._words import counted, moment
from spokekit.audit.frames import COLUMNS, CONFIRMED, FAILED, NOT_WALKED, OF_ACCOUNT, PARTIAL, WALKED, Frames, Site
from spokekit.audit.walk.changed import unread
from spokekit.audit.walk.checkpoint import Checkpoint, Ended

if TYPE_CHECKING:
    from spokekit.audit.walk.changed import Base

# A walk in one go may take days of quota, but whoever continues one from last week should know.
_ONE_STATE = timedelta(days=1)


def assemble(record: Checkpoint, site: Site, scope: str, base: Base | None = None) -> Frames:
    """Return the frames of the walk in `record`, which went on from `base` where it is given.

    They hold what was read; what only a size confirmed is the history's to carry on."""
    groups = record.get("groups")
    ended = record.ended()
    chosen = record.get("chosen")
    listed = {row["group_id"]: number for number, row in enumerate(groups)}
    people = record.people()
    sizes: list[int] = []
    numbers: list[int] = []
    blobs: list[np.ndarray] = []
    for group_id, blob in record.all_pages():
        if group_id in listed:
            members = np.frombuffer(blob, dtype=np.int32)
            sizes.append(len(members))
            numbers.append(listed[group_id])
            blobs.append(members)
    users = np.concatenate(blobs) if blobs else np.empty(0, np.int32)
    codes = np.repeat(np.asarray(numbers, dtype=np.int32), np.asarray(sizes, dtype=np.int64))
    accounts = [account for account, _ in people]
    memberships = pd.DataFrame(
        {
            "group_id": pd.Categorical.from_codes(codes, categories=pd.Index(list(listed), dtype=object)),
            "account_id": pd.Categorical.from_codes(users, categories=pd.Index(accounts, dtype=object)),
        }
    )
    looked_up = {row["account_id"]: row for row in record.rows("accounts")}
    # Somebody who was only in a group that is gone, or that was read again without them, is not part of the state.
    in_use = np.zeros(len(people), dtype=bool)
    in_use[users] = True
    not_asked = (account for account, used in zip(accounts, in_use, strict=True) if used and account not in looked_up)
    before = base.people(not_asked) if base is not None else {}
    rows = [
        _person(account, details, looked_up.get(account), before.get(account))
        for (account, details), used in zip(people, in_use, strict=True)
        if used
    ]
    rows += _people_beside(record, base, {row["account_id"] for row in rows}, set(accounts), looked_up)
    if base is None:
        unknown = len(rows) - sum(r["account_id"] in looked_up for r in rows)
    else:
        unknown = len(set(record.get("accounts_asked") or ()) - set(looked_up))
    confirmed = [i for i in chosen if i in ended and ended[i].state == CONFIRMED]
    carried = sum(base.sizes[i] for i in confirmed) if base is not None else 0
    report = _report(record, groups, chosen, ended, len(users) + carried, unknown)
    if base is not None:
        _tell_sizes(report, record, base, confirmed)
    elif record.get("base") is not None:
        report["notes"].append("There was no earlier snapshot to go on from: all groups were read whole.")
    return Frames.of(
        {
            "groups": pd.DataFrame(groups, columns=list(COLUMNS["groups"])),
            "users": pd.DataFrame(rows, columns=list(COLUMNS["users"])),
            "memberships": memberships,
            "spaces": pd.DataFrame(
                record.rows("spaces"),
                columns=None if record.kept_keys("spaces") else ["space_id"],
            ),
            "grants": pd.DataFrame(record.rows("grants"), columns=list(COLUMNS["grants"])),
            "coverage": _coverage(listed, chosen, ended),
        },
        site=site,
        taken_at=datetime.now(UTC),
        completeness=report,
        scope={
            "groups": scope,
            "spaces": bool(record.get("with_spaces")) and "spaces" not in (record.get("notes") or {}),
        },
    )


def _people_beside(
    record: Checkpoint, base: Base | None, used: set[str], listed: set[str], looked_up: dict[str, dict[str, Any]]
) -> list[dict[str, Any]]:
    """Return the rows of people who are in no group that was read: those whom a grant names, or a group that was only
    confirmed holds, as far as they were looked up."""
    # Whether whom only a grant names has a licence the members' lists alone would tell.
    nobody = {"is_guest": False, "licensed": False}
    if base is None:
        return [_person(account, nobody, found) for account, found in looked_up.items() if account not in listed]
    still = base.carried(unread(record))
    wanted = (still & set(looked_up)) | (record.named_by_grants() & (set(looked_up) | set(base.statuses)))
    beside = sorted(wanted - used)
    before = base.people(beside)
    return [_person(account, dict(before.get(account, nobody)), looked_up.get(account)) for account in beside]


def _tell_sizes(report: dict[str, Any], record: Checkpoint, base: Base, confirmed: list[str]) -> None:
    """Put into the report which part of the state was read, and of which only the size was confirmed."""
    about = record.get("base")
    at = base.looked_up_at()
    if "accounts" not in (record.get("notes") or {}):
        for part in about["parts"]:
            at[part] = datetime.fromisoformat(about["at"])
    report["went_on_from"] = base.number
    report["accounts_at"] = [one.isoformat(timespec="seconds") for one in at]
    if confirmed:
        read = [base.read_at[i] for i in confirmed]
        report["notes"].append(
            f"Of {counted(len(confirmed), 'group')} only the size was confirmed: their members are as read from "
            f"{moment(min(read))} to {moment(max(read))}, and one who came while one left would not show."
        )
    if about["unfilled"]:
        said = "how many members a group has: all groups" if not confirmed else "it of every group: the others"
        report["notes"].append(f"The site does not say {said} were read whole.")


def _person(
    account: str,
    details: dict[str, Any],
    looked_up: dict[str, Any] | None,
    before: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    row = {"account_id": account, **dict.fromkeys(OF_ACCOUNT, ""), **details}
    if looked_up is None and before is not None:
        # Its turn to be looked up is another time: until then what was learnt then stands.
        row |= {name: before[name] for name in OF_ACCOUNT if not row[name]}
        row["is_guest"] = bool(row["is_guest"] or before["is_guest"])
    for name in OF_ACCOUNT:
        # What the bulk look-up hides (an e-mail address, for one) the members' list may still have shown.
        if looked_up and looked_up.get(name):
            row[name] = looked_up[name]
    if looked_up and looked_up.get("is_guest"):
        row["is_guest"] = True
    return row


def _coverage(listed: dict[str, int], chosen: list[str], ended: dict[str, Ended]) -> Any:
    wanted = set(chosen)
    rows: list[tuple[str, str, datetime | None, bool, datetime | None]] = []
    for group_id in listed:
        how = ended.get(group_id) if group_id in wanted else None
        if how is None:
            rows.append((group_id, NOT_WALKED, None, False, None))
        else:
            # Only a walk to the end dates the members of a group.
            at = {how.state: how.walked_at}
            rows.append((group_id, how.state, at.get(WALKED), how.disturbed, at.get(CONFIRMED)))
    return pd.DataFrame(rows, columns=list(COLUMNS["coverage"]))


def _unread_spaces(record: Checkpoint) -> list[str]:
    """Return the spaces whose grants are not, or not all, in the record, whatever the reason."""
    parts = record.kept("grants").values()
    listed = {row["space_id"] for row in record.rows("spaces")}
    asked = {i for part in parts for i in part.get("asked", ())}
    return sorted({i for part in parts for i in part["missing"]} | (listed - asked))


def _spread(walked: list[str], ended: dict[str, Ended]) -> list[str]:
    """Say it when a walk was continued so late that its members are not of one day."""
    moments = [ended[i].walked_at for i in walked]
    if not moments or datetime.now(UTC) - min(moments) < _ONE_STATE:
        return []
    return [f"Members were read from {moment(min(moments))} to {moment(max(moments))}."]


def _report(
    record: Checkpoint,
    groups: list[dict[str, Any]],
    chosen: list[str],
    ended: dict[str, Ended],
    memberships: int,
    unknown_accounts: int,
) -> dict[str, Any]:
    names = {row["group_id"]: row["name"] for row in groups}
    failed = [i for i in chosen if i not in ended or ended[i].state == FAILED]
    partial = [i for i in chosen if i in ended and ended[i].state == PARTIAL]
    walked = [i for i in chosen if i in ended and ended[i].state == WALKED]
    confirmed = sum(i in ended and ended[i].state == CONFIRMED for i in chosen)
    disturbed = [i for i in chosen if i in ended and ended[i].disturbed]
    changed = record.get("changed") or {"appeared": [], "gone": [], "renamed": []}
    failed_spaces = _unread_spaces(record)
    unknown = [i for i in record.get("unknown") or [] if i not in changed["gone"]]
    trouble = dict(record.get("notes") or {})
    notes = list(trouble.values())
    # What the look-up of permissions has to say of roles, such as that their names could not be read.
    with_roles = [part for part in record.kept("grants").values() if any(row["role"] for row in part["rows"])]
    notes += dict.fromkeys(note for part in with_roles for note in part.get("notes", ()))
    notes += _spread(walked, ended)
    if unknown_accounts and "accounts" not in trouble:
        notes.append(
            f"The look-up of accounts left out {counted(unknown_accounts, 'account')}; their status is unknown."
        )
    if unknown:
        notes.append(f"Not on this site, though chosen: {counted(len(unknown), 'group')} ({', '.join(unknown[:5])}).")
    for kind, words in (("appeared", "appeared"), ("gone", "went away"), ("renamed", "were renamed")):
        if changed[kind]:
            shown = ", ".join(names.get(i, i) for i in changed[kind][:5])
            notes.append(f"The list of groups changed while walking: {len(changed[kind]):,} {words} ({shown}).")
    if disturbed:
        shown = ", ".join(names.get(i, i) for i in disturbed[:5])
        notes.append(f"Changed while read, and read again: {counted(len(disturbed), 'group')} ({shown}).")
    counts = record.get("counts") or {}
    complete = not (failed or partial or failed_spaces or trouble or unknown)
    words = f"{memberships:,} memberships, {len(walked):,} of {len(chosen):,} groups"
    words += f" read whole, the size of {confirmed:,} confirmed" if confirmed else ""
    missing = [f"{counted(len(failed), 'group')} failed"] if failed else []
    missing += [f"{counted(len(partial), 'group')} partly read"] if partial else []
    missing += [f"the grants of {counted(len(failed_spaces), 'space')} missing"] if failed_spaces else []
    missing += [f"no {kind}" for kind in trouble] + ([f"{counted(len(unknown), 'group')} not found"] if unknown else [])
    return {
        "complete": complete,
        "listed": len(groups),
        "chosen": len(chosen),
        "walked": len(walked),
        "confirmed": confirmed,
        "failed": failed,
        "partial": partial,
        "disturbed": disturbed,
        "failed_spaces": failed_spaces,
        "unknown_accounts": unknown_accounts,
        "changed": changed,
        "rows": memberships,
        **{key: int(counts.get(key, 0)) for key in ("pages", "retries", "duplicates", "points")},
        "notes": notes,
        "reasons": {i: ended[i].reason for i in [*failed, *partial] if i in ended},
        "unit": "groups",
        "started_at": record.get("started_at"),
        "words": f"Complete: {words}." if complete else f"Incomplete: {words}; {', '.join(missing)}.",
    }
