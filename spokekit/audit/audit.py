"""`Audit`: ask questions by name over a snapshot or over frames."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from spokekit import _words
from spokekit._words import counted
from spokekit.audit import questions as _questions
from spokekit.audit.frames import COLUMNS, CONFIRMED, FAILED, IDS, PARTIAL, Frames, Site
from spokekit.audit.history.snapshot import Moment, Snapshot
from spokekit.audit.history.snapshots import Snapshots
from spokekit.audit.history.tables import NAMES, Session
from spokekit.audit.questions.registry import REGISTRY, QuestionList
from spokekit.audit.questions.runner import Asking, contract
from spokekit.errors import InputError, NotFound

_ = _questions  # imported so that its questions are in the registry


class Audit(Asking):
    """Questions over one state of a site.

    Use `Audit.of_frames` for frames in memory and `Audit.of_site` or `Audit.of_snapshot` for what is on disk. Answers
    are pandas frames with the columns that `questions` promises; ``frame.attrs`` says of which site and moment they
    are, what the question cannot know, and (``completeness``) whether the walk behind it was complete.
    """

    def __init__(self, source: Snapshot | Frames, *, registry: QuestionList = REGISTRY) -> None:
        self.source = source
        self.site: Site = source.site
        self.taken_at: datetime = source.taken_at
        self.completeness: dict[str, Any] = dict(source.completeness)
        self.scope: dict[str, Any] = dict(source.scope)
        self.registry = registry
        self.session = Session(source)
        self._caution: str | None = None
        self._spaces_at = source.spaces_at

    @classmethod
    def of_frames(cls, frames: Frames | Mapping[str, pd.DataFrame], **about: Any) -> Audit:
        """Audit frames in memory: `Frames`, or frames by name with what `Frames.of` takes beside them."""
        return cls(frames if isinstance(frames, Frames) else Frames.of(frames, **about))

    @classmethod
    def of_snapshot(cls, snapshot: Snapshot, *, at: datetime | int | None = None) -> Audit:
        """Audit a snapshot, or (`at`) an earlier moment of its history."""
        return cls(snapshot if at is None else snapshot.looked_at(at))

    @classmethod
    def of_site(cls, site: Site | str, *, at: datetime | int | None = None, folder: Path | None = None) -> Audit:
        """Audit the newest snapshot of a site (cloud id), or an earlier moment. Raises NotFound when there is none."""
        return cls.of_snapshot(Snapshots(site, folder).latest(), at=at)

    def __repr__(self) -> str:
        return f"Audit({self.site.name or self.site.cloud_id}, {_words.moment(self.taken_at)})"

    def sql(self, text: str, **params: Any) -> pd.DataFrame:
        """Run SQL of your own over the tables of `spokekit.audit.history.tables`; ``$name`` stands for a parameter.

        Raises InputError when it does not work."""
        return self.run_frame(text, params)

    def frame(self, name: str) -> pd.DataFrame:
        """Return one of the five frames, or ``coverage``, with ids as text (memberships: categories)."""
        if name not in COLUMNS:
            raise NotFound(f"There is no frame {name}.", hint=f"There are: {', '.join(COLUMNS)}.")
        if name == "memberships":
            pairs = self.session.arrow("SELECT group_no, user_no FROM memberships ORDER BY group_no, user_no")
            return pd.DataFrame(
                {
                    "group_id": self._codes("groups", pairs.column("group_no")),
                    "account_id": self._codes("users", pairs.column("user_no")),
                }
            )
        columns = ", ".join(COLUMNS[name])
        ordered = {"groups": "name, group_id", "users": "display_name, account_id", "spaces": "space_key, space_id"}
        join = "coverage JOIN groups USING (group_no)" if name == "coverage" else name
        if name == "grants":
            join = "grants JOIN spaces USING (space_no)"
        made = self.session.frame(f"SELECT {columns} FROM {join} ORDER BY {ordered.get(name, columns)}")
        return contract(made, COLUMNS[name])

    def frames(self) -> dict[str, pd.DataFrame]:
        """Return the five frames and the coverage by name."""
        return {name: self.frame(name) for name in COLUMNS}

    def _codes(self, kind: str, numbers: Any) -> Any:
        column, id_column = IDS[kind]
        ids = self.session.arrow(f"SELECT {column}, {id_column} FROM {kind}")
        places = ids.column(column).to_numpy()
        found = np.full(int(max(places.max(initial=-1), numbers.to_numpy().max(initial=-1))) + 1, -1, dtype=np.int32)
        found[places] = np.arange(len(places), dtype=np.int32)
        return pd.Categorical.from_codes(found[numbers.to_numpy()], categories=ids.column(id_column).to_pylist())

    def moments(self) -> tuple[Moment, ...]:
        """Return the snapshots behind this state, oldest first (one for frames in memory)."""
        if isinstance(self.source, Snapshot):
            return tuple(m for m in self.source.moments if m.number <= self.source.at)
        return (Moment(1, self.taken_at, bool(self.completeness.get("complete", True)), str(self.scope.get("groups"))),)

    def not_walked(self) -> pd.DataFrame:
        """List the groups whose members are not of this walk: group_id, name, state, walked_at (when they were last
        read whole; empty: never). The state ``size confirmed`` says that there are still as many as then."""
        made = self.session.frame(
            "SELECT g.group_id, g.name, c.state, c.walked_at FROM coverage c JOIN groups g USING (group_no) "
            "WHERE c.state <> 'walked' ORDER BY c.state, g.name, g.group_id"
        )
        return contract(made, {"group_id": "text", "name": "text", "state": "text", "walked_at": "time"})

    def has_spaces(self) -> bool:
        """See `Asking.has_spaces`."""
        return self._spaces_at is not None

    def caution(self) -> str:
        """See `Asking.caution`."""
        if self._caution is None:
            self._caution = self._missing()
        return self._caution

    def _missing(self) -> str:
        counts = dict(self.session.rows("SELECT state, COUNT(*) FROM coverage GROUP BY state"))
        disturbed = self.session.rows("SELECT COUNT(*) FROM coverage WHERE disturbed")[0][0]
        parts = [
            f"{counted(counts[state], 'group')} {state}"
            for state in (FAILED, PARTIAL, "not walked")
            if counts.get(state)
        ]
        parts += [f"{counted(disturbed, 'group')} changed while read"] if disturbed else []
        parts += self._by_size_alone()
        unknown = self.completeness.get("unknown_accounts", 0)
        parts += [f"the status of {counted(unknown, 'account')} unknown"] if unknown else []
        failed_spaces = len(self.completeness.get("failed_spaces", ()))
        parts += [f"the grants of {counted(failed_spaces, 'space')} missing"] if failed_spaces else []
        if self._spaces_at is not None and self._spaces_at < self.taken_at:
            parts.append(f"spaces and grants are of {_words.moment(self._spaces_at)}")
        if isinstance(self.source, Snapshot) and self.source.unverified:
            parts.append("an earlier spokekit wrote files of this snapshot without checksums, and damage may not show")
        older = self.source.older_words if isinstance(self.source, Snapshot) else ""
        return " ".join(part for part in (older, f"Mind: {', '.join(parts)}." if parts else "") if part)

    def _by_size_alone(self) -> list[str]:
        """Say of how many groups this state knows only the size, and of when their members and accounts are."""
        number, first, last = self.session.rows(
            "SELECT COUNT(*), MIN(walked_at), MAX(walked_at) FROM coverage WHERE state = $state", {"state": CONFIRMED}
        )[0]
        told = []
        if number:
            read = f"{_words.moment(first)} to {_words.moment(last)}"
            told.append(
                f"of {counted(number, 'group')} only the size was confirmed (members as read from {read}; one who came "
                "while one left would not show)"
            )
        looked_up = self.completeness.get("accounts_at")
        if looked_up and min(looked_up) < max(looked_up):
            told.append(
                f"the status of accounts was looked up from {_words.moment(datetime.fromisoformat(min(looked_up)))} on"
            )
        return told

    def run_frame(self, text: str, bound: Mapping[str, Any]) -> pd.DataFrame:
        """See `Asking.run_frame`."""
        import duckdb

        try:
            return self.session.frame(text, dict(bound))
        except duckdb.Error as error:
            raise InputError(
                f"The query does not work: {error}", hint=f"There are the tables {', '.join(NAMES)}.", field="text"
            ) from None

    def run_rows(self, text: str, bound: Mapping[str, Any]) -> list[tuple[Any, ...]]:
        """See `Asking.run_rows`."""
        return self.session.rows(text, dict(bound))

    def times(self) -> list[tuple[int, datetime]]:
        """See `Asking.times`."""
        return [(m.number, m.taken_at) for m in self.moments()]

    def near(self, table: str, column: str, text: str) -> list[str]:
        """See `Asking.near`."""
        rows = self.session.rows(
            f"SELECT {column} FROM {table} ORDER BY levenshtein(lower({column}), lower($text)), 1 LIMIT 3",
            {"text": text},
        )
        return [str(row[0]) for row in rows]

    def close(self) -> None:
        """Let go of the files."""
        self.session.close()


def utc(text: str) -> datetime:
    """Read a moment such as ``2026-11-23`` or ``2026-11-23T09:00``, as UTC when it names no zone. Raises InputError."""
    try:
        moment = datetime.fromisoformat(text)
        return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        raise InputError(
            f"{text!r} is no date.", hint="Write it like 2026-11-23 or 2026-11-23T09:00.", field="at"
        ) from None


__all__ = ["Audit", "utc"]
