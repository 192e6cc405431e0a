"""The evidence of a campaign: one folder, every file with its SHA-256 in a manifest that is chained to the last one.

A campaign is closed first, then its folder is written beside and renamed into its place, then its digest is noted in
the store: a folder never says "closed" of a campaign that is not. A hash list shows a change; it is no signature, so
the digest of the manifest is worth keeping elsewhere too.
"""

from __future__ import annotations

import io
import json
import secrets
from collections.abc import Mapping
from datetime import UTC, datetime
from operator import itemgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spokekit._foreign import encodable
from spokekit._frames import frame_of
from spokekit._home import write_folder
from spokekit._refused import told_as
from spokekit.audit.history.integrity import FORMAT, MANIFEST, sealed
from spokekit.errors import InputError, StoreError
from spokekit.review import handout, removal, report
from spokekit.review import records as rec
from spokekit.review.checking import KIND, damages_of, digest, read, rendered

if TYPE_CHECKING:
    import pandas as pd

    from spokekit.review.campaign import Campaign

FILES = (
    *("campaign.json", "population.parquet", "population.csv", "decisions.csv", "signoffs.csv", "plan.json"),
    *("journal.csv", "delta.csv", "population-after.parquet", "population-after.csv", "handout.csv", "report.html"),
    "workbook.xlsx",
)
_BEFORE = (
    *("row_id", "group_id", "group", "account_id", "person", "access", "managed_by", "account_status"),
    *("account_type", "is_guest", "licensed", "member_since", "recommendation"),
)
_DECISIONS = {
    "at": "time",
    "row_id": "int",
    **dict.fromkeys(("group", "group_id", "person", "account_id", "recommendation", "decision", "until"), "text"),
    **dict.fromkeys(("reason", "decided_by", "signed_in", "through", "as_stated_in_the_worksheet"), "text"),
    **dict.fromkeys(("brought_in_by_the_person", "in_force"), "bool"),
}


def close(campaign: Campaign, folder: Path | str) -> Path:
    """Close a verified campaign and write its evidence; of a closed one, write it once more.

    Raises
    ------
    Conflict
        It is not verified.
    InputError
        The folder is there already and is not empty, or cannot be written.
    StoreError
        It could not be noted in the store.
    """
    target = Path(folder).expanduser().absolute()
    campaign.see_that((rec.VERIFIED, rec.CLOSED), "only a verified one is closed")
    if (ours := _interrupted(campaign, target)) is not None:
        _note(campaign, target, ours)
        return target
    _see_that_it_can_be_written(target)
    if campaign.state == rec.VERIFIED:
        campaign.add(rec.WAS_CLOSED, {"sums": campaign.sums()}, only=(rec.VERIFIED,), words="closed")
    data = files(campaign)
    manifest = _manifest(campaign, target, data)
    _write(target, {**data, MANIFEST: manifest})
    _note(campaign, target, digest(manifest))
    return target


def _interrupted(campaign: Campaign, target: Path) -> str | None:
    """Return the digest of evidence of this campaign that was written, but not noted before the process ended."""
    if campaign.state != rec.CLOSED or not (target / MANIFEST).is_file():
        return None
    manifest = read(target)
    if not isinstance(manifest, dict) or manifest.get("campaign_id") != campaign.head.campaign_id:
        return None
    found = digest((target / MANIFEST).read_bytes())
    known = {event.detail.get("sha256") for event in campaign.happened(rec.EVIDENCE)}
    return None if found in known or damages_of(target) else found


def _note(campaign: Campaign, target: Path, sha256: str) -> None:
    # Another closed campaign's event changes nothing of this one but where its evidence is.
    detail = {"folder": str(target), "sha256": sha256}
    campaign.add(rec.EVIDENCE, detail, only=(rec.CLOSED,), words="noted")


def _see_that_it_can_be_written(target: Path) -> None:
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise InputError(
            f"{target} is there already and is not empty.", field="out", hint="Name a new folder for the evidence."
        )
    with told_as(InputError, f"{target} cannot be written", field="out", hint="Choose another folder."):
        target.parent.mkdir(parents=True, exist_ok=True)
        trial = target.parent / f".{target.name}-{secrets.token_hex(4)}"
        trial.mkdir(mode=0o700)
        trial.rmdir()


def _write(target: Path, data: Mapping[str, bytes]) -> None:
    """Write all files into a folder beside, and put it into its place in one step."""
    again = "spokekit review close NAME --out FOLDER."
    hint = f"The review is closed and nothing of it is lost. Free some space and write its evidence again: {again}"
    said = f"The evidence cannot be written to {target}"
    with told_as(StoreError, said, likely="The disk may be full.", hint=hint):
        write_folder(target, data)


def _manifest(campaign: Campaign, target: Path, data: Mapping[str, bytes]) -> bytes:
    made = {
        "format": FORMAT,
        "kind": KIND,
        "campaign": campaign.name,
        "campaign_id": campaign.head.campaign_id,
        "cloud_id": campaign.head.cloud_id,
        "folder": target.name,
        "closed_at": campaign.happened(rec.WAS_CLOSED)[0].at.isoformat(),
        "written_at": datetime.now(UTC).isoformat(),
        "previous": previous(campaign),
        "files": {name: {"bytes": len(content), "sha256": digest(content)} for name, content in sorted(data.items())},
    }
    return rendered(sealed(made))


def previous(campaign: Campaign) -> dict[str, str] | None:
    """Return name and digest of the evidence of the campaign of this site that was closed last before this one."""
    mine = campaign.happened(rec.WAS_CLOSED)[0].at
    found: list[tuple[datetime, dict[str, str]]] = []
    for head in campaign.records.heads(campaign.head.cloud_id):
        events = campaign.records.events(head.campaign_id)
        closed = next((e.at for e in events if e.event == rec.WAS_CLOSED), None)
        kept = [e.detail["sha256"] for e in events if e.event == rec.EVIDENCE]
        if head.campaign_id != campaign.head.campaign_id and closed is not None and kept and closed < mine:
            found.append((closed, {"campaign": head.name, "campaign_id": head.campaign_id, "sha256": kept[-1]}))
    return max(found, key=itemgetter(0))[1] if found else None


# -- the files ---------------------------------------------------------------------------------------------------------


def files(campaign: Campaign) -> dict[str, bytes]:
    """Return every file of the evidence but the manifest, from what the store says."""
    from spokekit.audit.show import export

    frame = campaign.frame()
    before = frame[list(_BEFORE)]
    decided, signed, moved, after = decisions(campaign), signoffs(campaign), delta(campaign), population_after(campaign)
    routed = handout.frame(campaign)
    journal = journal_of(campaign)
    about = export.About(
        title=f"Access review {campaign.name}" + ("" if campaign.state == rec.CLOSED else " (DRAFT)"),
        site=campaign.head.site,
        taken_at=datetime.fromisoformat(campaign.head.about["taken_at"]),
        made_by=campaign.called(campaign.actor.account_id) or campaign.actor.through,
        scope=str(campaign.head.about["scope"]),
        coverage=("PARTIAL: " + "; ".join(campaign.missing))
        if campaign.missing
        else str(campaign.head.about["completeness"]),
        filters=campaign.words,
    )
    sheets = {
        "Rows": frame,
        "Sums": sums_frame(campaign),
        "Decisions": decided,
        "Sign-offs": signed,
        "Changes": moved,
        "Routed out": routed,
        "Journal": journal,
    }
    return {
        "campaign.json": _json(about_json(campaign)),
        "population.parquet": _parquet(before),
        "population.csv": export.csv_bytes(before),
        "decisions.csv": export.csv_bytes(decided),
        "signoffs.csv": export.csv_bytes(signed),
        "plan.json": _json(plans(campaign)),
        "journal.csv": export.csv_bytes(journal),
        "delta.csv": export.csv_bytes(moved),
        "population-after.parquet": _parquet(after),
        "population-after.csv": export.csv_bytes(after),
        "handout.csv": export.csv_bytes(routed),
        "report.html": report.page(campaign),
        "workbook.xlsx": export.xlsx_bytes(sheets, about),
    }


def about_json(campaign: Campaign) -> dict[str, Any]:
    """Return the campaign as facts: what, when, who, and the sums."""
    proof = campaign.verification()
    return {
        "name": campaign.name,
        "campaign_id": campaign.head.campaign_id,
        "state": campaign.state,
        "site": campaign.head.site,
        "cloud_id": campaign.head.cloud_id,
        "partial": list(campaign.missing),
        **{key: campaign.head.about[key] for key in sorted(campaign.head.about) if key != "missing"},
        "sums": campaign.sums(),
        "words": campaign.words,
        "verified_as_of": proof.taken_at.isoformat() if proof else None,
        "not_verified": list(proof.missing) if proof else None,
        "steps": [
            {"at": e.at.isoformat(), "event": e.event, "by": e.by, "through": e.through}
            for e in campaign.events
            if e.event not in (rec.ROW_DECIDED, rec.EVIDENCE)
        ],
    }


def decisions(campaign: Campaign) -> pd.DataFrame:
    """Return every decision that was taken, in its order, those that were changed later too."""
    taken = [(event, campaign.row(event.row_id)) for event in campaign.happened(rec.ROW_DECIDED) if event.row_id]
    latest = {row.row_id: event.seq for event, row in taken}
    made = [
        (
            *(event.at, row.row_id, row.group_name, row.group_id, campaign.called(row.account_id), row.account_id),
            *(row.recommendation, event.decision, event.until, event.reason, campaign.who(event), event.by),
            *(event.through, event.stated_by, event.by == row.account_id, latest[row.row_id] == event.seq),
        )
        for event, row in taken
    ]
    return frame_of(made, _DECISIONS)


def signoffs(campaign: Campaign) -> pd.DataFrame:
    """Return the signatures: at, name, role, signed_in (account id), through."""
    made = [(e.at, e.detail["name"], e.detail["role"], e.by, e.through) for e in campaign.happened(rec.SIGNED)]
    return frame_of(made, {"at": "time", **dict.fromkeys(("name", "role", "signed_in", "through"), "text")})


def delta(campaign: Campaign) -> pd.DataFrame:
    """Return what is otherwise than before: rows that are gone, and memberships that are new, each with its outcome."""
    proof = campaign.verification()
    frame = campaign.frame()
    names = ["change", "row_id", "group_id", "group", "account_id", "person", "decision", "outcome", "outcome_detail"]
    if proof is None:
        return frame.head(0).assign(change="")[names]
    found = proof.frame
    new = found["row_id"].isna()
    made = found[new | found["row_id"].isin(proof.gone)].copy()
    made["change"] = ["added" if one else "removed" for one in made["row_id"].isna()]
    return made[names].reset_index(drop=True)


def population_after(campaign: Campaign) -> pd.DataFrame:
    """Return who is in the groups after it: group_id, group, account_id, person, in_population (bool)."""
    proof = campaign.verification()
    groups = campaign.head.about["groups"]
    gone = proof.gone if proof else frozenset()
    made = [
        (row.group_id, row.group_name, row.account_id, campaign.called(row.account_id), True)
        for row in campaign.rows
        if row.row_id not in gone
    ]
    made += [(g, groups.get(g, g), a, campaign.called(a), False) for g, a, _ in (proof.added if proof else ())]
    texts = ("group_id", "group", "account_id", "person")
    return frame_of(made, {**dict.fromkeys(texts, "text"), "in_population": "bool"})


def journal_of(campaign: Campaign) -> pd.DataFrame:
    """Return the journal's entries of this campaign's applies; columns as `Journal.entries`."""
    from spokekit.groups.journal import Journal

    mine = removal.applies(campaign)
    entries = Journal(campaign.records.store).entries()
    return entries[entries["apply_id"].isin(list(mine))].reset_index(drop=True)


def plans(campaign: Campaign) -> list[dict[str, Any]]:
    """Return every plan that was made of the removals, the rows that it refused too."""
    ids = {row.pair: row.row_id for row in campaign.rows}
    return [
        {
            "at": event.at.isoformat(),
            "fingerprint": event.detail["fingerprint"],
            "read_at": event.detail["made_at"],
            "rows": [
                {
                    "row_id": ids.get((g, a)),
                    "group_id": g,
                    "account_id": a,
                    "action": "remove",
                    "status": status,
                    "reason": reason,
                    "message": message,
                }
                for g, a, status, reason, message in event.detail["rows"]
            ],
        }
        for event in campaign.happened(rec.PLANNED)
    ]


def sums_frame(campaign: Campaign) -> pd.DataFrame:
    """Return the sums: what (str), rows (int64)."""
    made = [(key.replace("_", " "), count) for key, count in campaign.sums().items()]
    return frame_of(made, {"what": "text", "rows": "int"})


def _json(value: Any) -> bytes:
    return (encodable(json.dumps(value, ensure_ascii=True, indent=1)) + "\n").encode()


def _parquet(frame: pd.DataFrame) -> bytes:
    import pyarrow as pa
    import pyarrow.parquet as pq

    plain = frame.copy(deep=False)
    plain.attrs = {}
    for name in plain.columns:
        if plain[name].dtype.kind not in "iub":
            plain[name] = [encodable(str(value)) for value in plain[name]]
    sink = io.BytesIO()
    pq.write_table(pa.Table.from_pandas(plain, preserve_index=False), sink, compression="zstd")
    return sink.getvalue()
