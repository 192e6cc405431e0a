"""Asking a question, whatever runs the SQL: DuckDB on this machine, or a warehouse."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from spokekit.audit.frames import Site, as_kind
from spokekit.audit.registry import Param, Question, Registry
from spokekit.errors import InputError, NotFound

if TYPE_CHECKING:
    import pandas as pd

_LOOK_UP = {
    # kind: table, the same with what is gone, number, id, columns with names
    "group": ("groups", "group_history", "group_no", "group_id", ("name",)),
    "person": ("users", "user_history", "user_no", "account_id", ("display_name", "email", "public_name")),
    "space": ("spaces", "spaces", "space_no", "space_id", ("space_key", "name")),
}


class Asking:
    """Questions by name over the tables of `spokekit.audit.tables`; a subclass runs the SQL."""

    registry: Registry
    site: Site
    completeness: dict[str, Any]

    def run_frame(self, text: str, bound: Mapping[str, Any]) -> pd.DataFrame:
        """Run SQL and return a frame; ``$name`` stands for ``bound["name"]``."""
        raise NotImplementedError

    def run_rows(self, text: str, bound: Mapping[str, Any]) -> list[tuple[Any, ...]]:
        """Run SQL and return its rows."""
        raise NotImplementedError

    def times(self) -> list[tuple[int, datetime]]:
        """Return number and time of the snapshots, oldest first."""
        raise NotImplementedError

    def questions(self) -> pd.DataFrame:
        """List all questions, see `Registry.frame`."""
        return self.registry.frame()

    def question(self, name: str) -> Question:
        """Return the question `name`. Raises NotFound."""
        return self.registry.get(name)

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
        asked = self.registry.get(name)
        given = asked.arguments(params)
        known = {p.name: self.resolve(p, given[p.name]) for p in asked.params}
        if asked.takes_audit:
            answer = contract(asked.function(self, **known), asked.columns)
        else:
            text = asked.function(**known)
            answer = contract(self.run_frame(text, used(text, known)), asked.columns)
        answer.attrs.update(
            question=asked.name,
            title=asked.title,
            params={key: value for key, value in given.items() if value not in ("", (), None)},
            site=self.site.name or self.site.cloud_id,
            taken_at=self.times()[-1][1].isoformat(timespec="seconds"),
            cannot_know=asked.cannot_know,
            completeness=self.completeness,
        )
        return answer

    def resolve(self, param: Param, value: Any) -> Any:
        """Return what the parameter means: the number of a group, person, space or snapshot, several, or the value."""
        if value in (None, "", ()):
            return () if param.kind == "groups" else None
        if param.kind == "groups":
            return self._several(value)
        if param.kind == "days":
            return self.since_days(value)
        if param.kind in _LOOK_UP:
            return self.look_up(param.kind, str(value))
        if param.kind == "number":
            try:
                return int(value)
            except (TypeError, ValueError):
                raise InputError(f"{value!r} is no number.", field=param.name) from None
        return str(value)

    def _several(self, value: Any) -> tuple[int, ...]:
        if not isinstance(value, str):
            return tuple(self.look_up("group", str(one)) for one in value)
        try:
            # A name may hold a comma.
            return (self.look_up("group", value),)
        except NotFound:
            parts = [part.strip() for part in value.split(",") if part.strip()]
            if len(parts) < 2:
                raise
        return tuple(self.look_up("group", part) for part in parts)

    def since_days(self, days: Any) -> int:
        """Return the number of the last snapshot that is at least `days` old, or of the first one."""
        moments = self.times()
        try:
            until = moments[-1][1] - timedelta(days=float(days))
        except (TypeError, ValueError, OverflowError):
            raise InputError(f"{days!r} is no number of days.", field="days") from None
        older = [number for number, taken_at in moments if taken_at <= until]
        return older[-1] if older else moments[0][0]

    def look_up(self, kind: str, text: str) -> int:
        """Return the number of the group, person or space named `text`, by id, name or e-mail; also one that is gone.

        Raises NotFound, with names that are near, and InputError when several have the name.
        """
        table, history, number, key, columns = _LOOK_UP[kind]
        by_name = " OR ".join(f"{column} = $text" for column in columns)
        loosely = " OR ".join(f"LOWER({column}) = LOWER($text)" for column in columns)
        for source in dict.fromkeys((table, history)):
            for condition in (f"{key} = $text", by_name, loosely):
                found = self.run_rows(
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
        close = difflib.get_close_matches(text, self.near(table, columns[0], text), 3, 0.5)
        raise NotFound(
            f"There is no {kind} {text!r} in this snapshot.",
            hint=f"Did you mean {' or '.join(close)}?" if close else None,
        )

    def near(self, table: str, column: str, text: str) -> list[str]:
        """Return some names of `table` that could have been meant."""
        first = text[:3].lower()
        rows = self.run_rows(
            f"SELECT DISTINCT {column} FROM {table} WHERE LOWER({column}) LIKE $start ORDER BY {column} LIMIT 200",
            {"start": first.replace("%", "").replace("_", "") + "%"},
        )
        return [str(row[0]) for row in rows]


def used(text: str, known: Mapping[str, Any]) -> dict[str, Any]:
    """Return those of `known` that `text` names with a dollar sign."""
    import re

    named = set(re.findall(r"\$([A-Za-z_]\w*)", text))
    return {key: value for key, value in known.items() if key in named}


def contract(made: pd.DataFrame, columns: Mapping[str, str]) -> pd.DataFrame:
    """Return `made` with exactly `columns`, in their order and kinds. Raises InputError when one is missing."""
    import pandas as pd

    missing = [column for column in columns if column not in made]
    if missing:
        raise InputError(f"The answer lacks the column {missing[0]}, which its contract names.", field=missing[0])
    return pd.DataFrame({column: as_kind(made[column], kind, len(made)) for column, kind in columns.items()})
