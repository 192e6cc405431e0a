"""`Audit`: ask questions by name over a snapshot or over frames."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spokekit.audit import questions as _questions
from spokekit.audit.frames import COLUMNS, FAILED, IDS, PARTIAL, TABLES, Frames, Site, as_kind
from spokekit.audit.registry import REGISTRY, Param, Question, Registry
from spokekit.audit.snapshots import Moment, Snapshot, Snapshots
from spokekit.audit.tables import NAMES, Session
from spokekit.errors import InputError, NotFound

if TYPE_CHECKING:
    import pandas as pd

_ = _questions  # imported so that its questions are in the registry
_LOOK_UP = {
    # kind: current table, its history, number, id, exact columns
    "group": ("groups", "group_history", "group_no", "group_id", ("name",)),
    "person": ("users", "user_history", "user_no", "account_id", ("display_name", "email", "public_name")),
    "space": ("spaces", "spaces", "space_no", "space_id", ("space_key", "name")),
}


class Audit:
    """Questions over one state of a site.

    Use `Audit.of_frames` for frames in memory and `Audit.of_site` or `Audit.of_snapshot` for what is on disk. Answers
    are pandas frames with the columns that `questions` promises; ``frame.attrs`` says of which site and moment they
    are, what the question cannot know, and (``completeness``) whether the walk behind it was complete.
    """

    def __init__(self, source: Snapshot | Frames, *, registry: Registry = REGISTRY) -> None:
        self.source = source
        self.site: Site = source.site
        self.taken_at: datetime = source.taken_at
        self.completeness: dict[str, Any] = dict(source.completeness)
        self.scope: dict[str, Any] = dict(source.scope)
        self._registry = registry
        self.session = Session(source)

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
        return f"Audit({self.site.name or self.site.cloud_id}, {self.taken_at:%Y-%m-%d %H:%M} UTC)"

    def questions(self) -> pd.DataFrame:
        """List all questions, see `Registry.frame`."""
        return self._registry.frame()

    def question(self, name: str) -> Question:
        """Return the question `name`. Raises NotFound."""
        return self._registry.get(name)

    def ask(self, name: str, /, **params: Any) -> pd.DataFrame:
        """Answer the question `name`.

        Parameters
        ----------
        params:
            What the question takes (see `questions`); groups, people and spaces by name or id.

        Returns
        -------
        A frame with the columns of the question's contract, in its order. ``attrs``: question, title, params, site,
        taken_at, cannot_know, completeness.

        Raises
        ------
        NotFound
            No such question, group, person or space, or a question that cannot be answered, with the reason.
        InputError
            A parameter is missing, unknown, or names several things.
        """
        asked = self._registry.get(name)
        given = asked.arguments(params)
        answer = self._answer(asked, given)
        answer.attrs.update(
            question=asked.name,
            title=asked.title,
            params={key: value for key, value in given.items() if value not in ("", (), None)},
            site=self.site.name or self.site.cloud_id,
            taken_at=self.taken_at.isoformat(timespec="seconds"),
            cannot_know=asked.cannot_know,
            completeness=self.completeness,
        )
        return answer

    def _answer(self, asked: Question, given: Mapping[str, Any]) -> pd.DataFrame:
        known = {p.name: self.resolve(p, given[p.name]) for p in asked.params}
        if "days" in known:
            known["number"] = self.since_days(known.pop("days"))
        if asked.takes_audit:
            made = asked.function(self, **known)
            return contract(made, asked.columns)
        text = asked.function(**known)
        bound = {key: value for key, value in known.items() if f"${key}" in text}
        return contract(self.session.frame(text, bound), asked.columns)

    def sql(self, text: str, **params: Any) -> pd.DataFrame:
        """Run SQL of your own over the tables of `spokekit.audit.tables`; ``$name`` stands for ``params["name"]``."""
        import duckdb

        try:
            made = self.session.frame(text, params)
        except duckdb.Error as error:
            raise InputError(
                f"The query does not work: {error}", hint=f"There are the tables {', '.join(NAMES)}.", field="text"
            ) from None
        return made

    def frame(self, name: str) -> pd.DataFrame:
        """Return one of the five frames, or ``coverage``, with ids as text (memberships: categories)."""
        import pandas as pd

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
        import numpy as np
        import pandas as pd

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
        """List the groups whose members are not of this walk: group_id, name, state, walked_at (empty: never)."""
        made = self.session.frame(
            "SELECT g.group_id, g.name, c.state, c.walked_at FROM coverage c JOIN groups g USING (group_no) "
            "WHERE c.state <> 'walked' ORDER BY c.state, g.name, g.group_id"
        )
        return contract(made, {"group_id": "text", "name": "text", "state": "text", "walked_at": "time"})

    def caution(self) -> str:
        """Say in a sentence what is missing from this state, or "" when nothing is."""
        counts = dict(self.session.rows("SELECT state, COUNT(*) FROM coverage GROUP BY state"))
        disturbed = self.session.rows("SELECT COUNT(*) FROM coverage WHERE disturbed")[0][0]
        parts = [f"{counts[state]:,} groups {state}" for state in (FAILED, PARTIAL, "not walked") if counts.get(state)]
        parts += [f"{disturbed:,} groups changed while they were read"] if disturbed else []
        return f"Mind: {', '.join(parts)}." if parts else ""

    def since_days(self, days: Any) -> int:
        """Return the number of the last snapshot that is at least `days` old, or of the first one."""
        try:
            back = timedelta(days=float(days))
        except (TypeError, ValueError, OverflowError):
            raise InputError(f"{days!r} is no number of days.", field="days") from None
        until = self.taken_at - back
        older = [m.number for m in self.moments() if m.taken_at <= until]
        return older[-1] if older else self.moments()[0].number

    def resolve(self, param: Param, value: Any) -> Any:
        """Return what the parameter means: the number of a group, person or space, a tuple of them, or the value."""
        if value in (None, "", ()):
            return () if param.kind == "groups" else None
        if param.kind == "groups":
            named = [part.strip() for part in value.split(",")] if isinstance(value, str) else list(value)
            return tuple(self.look_up("group", str(one)) for one in named)
        if param.kind in _LOOK_UP:
            return self.look_up(param.kind, str(value))
        if param.kind == "number":
            try:
                return int(value)
            except (TypeError, ValueError):
                raise InputError(f"{value!r} is no number.", field=param.name) from None
        return str(value)

    def look_up(self, kind: str, text: str) -> int:
        """Return the number of the group, person or space named `text`, by id, name or e-mail; also one that is gone.

        Raises NotFound, with names that are near, and InputError when several have the name.
        """
        table, history, number, key, columns = _LOOK_UP[kind]
        by_name = " OR ".join(f"{column} = $text" for column in columns)
        loosely = " OR ".join(f"lower({column}) = lower($text)" for column in columns)
        for source in dict.fromkeys((table, history)):
            for condition in (f"{key} = $text", by_name, loosely):
                found = self.session.rows(
                    f"SELECT DISTINCT {number}, {key} FROM {source} WHERE {condition} ORDER BY {key} LIMIT 6",
                    {"text": text},
                )
                if len(found) > 1:
                    raise InputError(
                        f"Several have the name {text!r}: {', '.join(row[1] for row in found)}.",
                        hint="Ask by id.",
                        field=kind,
                    )
                if found:
                    return int(found[0][0])
        near = self.session.rows(
            f"SELECT {columns[0]} FROM {table} ORDER BY levenshtein(lower({columns[0]}), lower($text)), 1 LIMIT 3",
            {"text": text},
        )
        close = difflib.get_close_matches(text, [row[0] for row in near], 3, 0.5)
        raise NotFound(
            f"There is no {kind} {text!r} in this snapshot.",
            hint=f"Did you mean {' or '.join(close)}?" if close else None,
        )

    def close(self) -> None:
        """Let go of the files."""
        self.session.close()


def contract(made: pd.DataFrame, columns: Mapping[str, str]) -> pd.DataFrame:
    """Return `made` with exactly `columns`, in their order and kinds. Raises InputError when one is missing."""
    import pandas as pd

    missing = [column for column in columns if column not in made]
    if missing:
        raise InputError(f"The answer lacks the column {missing[0]}, which its contract names.", field=missing[0])
    return pd.DataFrame({column: as_kind(made[column], kind, len(made)) for column, kind in columns.items()})


def utc(text: str) -> datetime:
    """Read a moment such as ``2026-11-23`` or ``2026-11-23T09:00``, as UTC when it names no zone. Raises InputError."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise InputError(
            f"{text!r} is no date.", hint="Write it like 2026-11-23 or 2026-11-23T09:00.", field="at"
        ) from None
    return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)


__all__ = ["TABLES", "Audit", "contract", "utc"]
