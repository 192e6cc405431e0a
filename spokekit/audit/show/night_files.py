"""A night as files: ``night.json`` for programs, a page and a workbook for people, one folder over all sites."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from spokekit._frames import frame_of
from spokekit._home import write_private
from spokekit.audit.show.export import About, Written, plain, to_folder
from spokekit.errors import InputError, StoreError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from spokekit.audit.night import Night, SiteNight

LAYOUT = 1
SITE_COLUMNS = {
    "site": "text",
    "connection": "text",
    "outcome": "text",
    "words": "text",
    "do": "text",
    "snapshot": "count",
    "taken_at": "time",
    "groups_walked": "count",
    "memberships": "count",
    "points": "count",
    "new_findings": "int",
    "open_findings": "int",
    "added": "count",
    "removed": "count",
}


def sites_frame(night: Night) -> pd.DataFrame:
    """Return one row for each site: what a night came to there, in words and numbers, and the one thing to do."""
    made = frame_of([_site_row(one) for one in night.sites], SITE_COLUMNS)
    made.attrs["title"] = "What happened on each site"
    return made


def _site_row(one: SiteNight) -> tuple[Any, ...]:
    snapshot, report = one.snapshot, one.snapshot.completeness if one.snapshot is not None else {}
    added = None if one.changes is None else int((one.changes["change"] == "added").sum())
    removed = None if one.changes is None or added is None else len(one.changes) - added
    numbers = (report.get("walked"), report.get("rows"), report.get("points"))
    return (
        *(one.site, one.connection, one.outcome, one.words, one.do),
        *((None, None) if snapshot is None else (snapshot.at, snapshot.taken_at)),
        *numbers,
        *(one.new, one.open, added, removed),
    )


def frames_of(night: Night) -> dict[str, pd.DataFrame]:
    """Return all of a night as frames: the sites, the open findings by question, what came and went; sites in rows."""
    found: dict[str, pd.DataFrame] = {"sites": sites_frame(night)}
    for name in dict.fromkeys(asked.question for one in night.sites for asked in one.asked):
        parts = [(one, asked.frame) for one in night.sites for asked in one.asked if asked.question == name]
        found[name] = _with_site(parts).sort_values("tonight", ascending=False, kind="stable", ignore_index=True)
        found[name].attrs = dict(parts[0][1].attrs)
    changes = [(one, one.changes) for one in night.sites if one.changes is not None]
    if changes:
        found["changes"] = _with_site(changes)
        found["changes"].attrs = {"title": "Who came and who left since the night before"}
    return found


def _with_site(parts: Iterable[tuple[SiteNight, pd.DataFrame]]) -> pd.DataFrame:
    made = []
    for one, frame in parts:
        part = frame.copy(deep=False)
        # What a frame says of itself is of its own site.
        part.attrs = {}
        part.insert(0, "site", one.site or one.cloud_id)
        made.append(part)
    return pd.concat(made, ignore_index=True)


def as_json(night: Night) -> dict[str, Any]:
    """Return a night as ``night.json`` holds it: layout, began_at, exit_code, and for each site what is in its frames.

    Times are ISO 8601 in UTC; ``findings`` are the rows that nobody has accepted, ``tonight`` true for those that no
    earlier night has reported; ``do`` is the one thing to do, empty where nothing is.
    """
    rows = sites_frame(night)
    return {
        "layout": LAYOUT,
        "began_at": night.began.astimezone(UTC).isoformat(timespec="seconds"),
        "ended_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "exit_code": night.exit_code,
        "sites": [
            {
                **row,
                "cloud_id": one.cloud_id,
                "complete": None if one.snapshot is None else bool(one.snapshot.completeness["complete"]),
                "since": None if one.since is None else one.since.astimezone(UTC).isoformat(timespec="seconds"),
                "changes": [] if one.changes is None else _records(one.changes),
                "asked": [
                    {
                        "question": asked.question,
                        "title": asked.title,
                        "new": asked.new,
                        "accepted": asked.accepted,
                        "fixed": asked.fixed,
                        "findings": _records(asked.frame),
                    }
                    for asked in one.asked
                ],
            }
            for one, row in zip(night.sites, _records(rows), strict=True)
        ],
    }


def _records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    records = plain(frame).to_dict("records")
    # Plain values leave what is missing empty, which is right for a cell and wrong for a number.
    return [
        {str(name): value.item() if hasattr(value, "item") else value for name, value in record.items()}
        for record in records
    ]


def write(night: Night, folder: Path | str, *, made_by: str) -> Written:
    """Write ``night.json``, ``night.html`` and ``night.xlsx`` into `folder`; each whole or not at all, for its owner.

    Raises `InputError` when they cannot be written.
    """
    frames = frames_of(night)
    about = About(
        title="Nightly audit of group access",
        site=", ".join(one.site or one.connection for one in night.sites),
        taken_at=night.began,
        made_by=made_by,
        scope="",
        coverage=" ".join(f"{one.site or one.connection}: {one.words}" for one in night.sites),
    )
    written = to_folder(frames, about, name="night", folder=folder)
    path = written.paths[0].with_suffix(".json")
    try:
        # The last one: whoever waits for it finds the others there.
        write_private(path, json.dumps(as_json(night), ensure_ascii=False, indent=1).encode("utf-8", "replace"))
    except StoreError as error:
        raise InputError(error.message, hint="Name another folder.", field="out") from None
    return Written((path, *written.paths))
