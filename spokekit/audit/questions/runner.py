"""Asking a question, whatever runs the SQL: DuckDB on this machine, or a warehouse."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

import pandas as pd

from spokekit._frames import as_kind, show_in_notebooks
from spokekit._ids import account_id, group_id
from spokekit._words import comparable, look_alike
from spokekit.audit.frames import CONFIRMED, Site
from spokekit.audit.questions.registry import Param, Question, QuestionList, nothing
from spokekit.errors import InputError, NotFound

_LOOK_UP = {
    # kind: table, the same with what is gone, number, id, columns with names
    "group": ("groups", "group_history", "group_no", "group_id", ("name",)),
    "person": ("users", "user_history", "user_no", "account_id", ("display_name", "email", "public_name")),
    "space": ("spaces", "spaces", "space_no", "space_id", ("space_key", "name")),
}


READINGS = ("read_at", "confirmed_at")
# So many names are compared in Python at most, where SQL finds none.
_MOST_COMPARED = 1_000_000
# What every engine takes for a number.
_LARGEST = 2**31 - 1


class Asking:
    """Questions by name over the tables of `spokekit.audit.history.tables`; a subclass runs the SQL."""

    registry: QuestionList
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
        """List all questions, see `QuestionList.frame`."""
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
        A frame with the columns of the question's contract, in its order. Where a walk of what changed confirmed only
        the size of some groups, rows that name a group have two columns more: `read_at` (time: when its members were
        last read whole; what the row says is of then) and `confirmed_at` (time: when, later than that, only its size
        was seen to be the same; empty where it was read whole last). ``attrs``: question, title, params, site,
        taken_at, cannot_know, caution (what is missing from this state), completeness.

        Raises
        ------
        NotFound
            No such question, group, person or space, or a question that cannot be answered, with the reason.
        InputError
            A parameter is missing, unknown, or names several things; or the answer would be empty only because nobody
            has read what it needs: the members of a group that is asked for, or the spaces.
        """
        asked = self.registry.get(name)
        given = asked.arguments(params)
        known = {p.name: self.resolve(p, given[p.name]) for p in asked.params}
        self._must_be_read(asked, known)
        if asked.takes_audit:
            answer = contract(asked.function(self, **known), asked.columns)
        else:
            text = asked.function(**known)
            if not isinstance(text, str):
                raise InputError(
                    f"The question {name} returns no SQL.",
                    hint="Return SQL as text, or take `audit` as the first argument and return a frame.",
                    field="function",
                )
            answer = contract(self.run_frame(text, used(text, known)), asked.columns)
        answer = self._with_readings(asked, answer)
        told = {key: value for key, value in given.items() if value not in ("", (), None)}
        return self.told(answer, asked.name, asked.title, told, asked.cannot_know)

    def told(
        self, answer: pd.DataFrame, question: str, title: str, params: dict[str, Any], cannot_know: str
    ) -> pd.DataFrame:
        """Return `answer` with what it has to say of itself in ``attrs``, see `ask`."""
        show_in_notebooks()
        answer.attrs.update(
            question=question,
            title=title,
            params=params,
            site=self.site.name or self.site.cloud_id,
            taken_at=self.times()[-1][1].isoformat(timespec="seconds"),
            cannot_know=cannot_know,
            caution=self.caution(),
            completeness=self.completeness,
        )
        return answer

    def _with_readings(self, asked: Question, answer: pd.DataFrame) -> pd.DataFrame:
        """Add to each row when its group was read whole, where only the size of some groups was confirmed."""
        about_members = {"memberships", "history"} & set(asked.needs)
        if "group_id" not in answer or not about_members or set(READINGS) & set(answer):
            return answer
        if not self.run_rows(f"SELECT group_no FROM coverage WHERE state = '{CONFIRMED}' LIMIT 1", {}):
            return answer
        rows = self.run_rows(
            "SELECT g.group_id, c.walked_at, c.confirmed_at FROM coverage c JOIN groups g ON g.group_no = c.group_no",
            {},
        )
        for place, column in enumerate(READINGS, 1):
            at = {row[0]: row[place] for row in rows}
            answer[column] = as_kind(answer["group_id"].map(at).astype(object), "time", len(answer))
        return answer

    def resolve(self, param: Param, value: Any) -> Any:
        """Return what the parameter means: the number of a group, person, space or snapshot, several, or the value."""
        if nothing(value):
            return () if param.kind == "groups" else None
        if param.kind == "groups":
            return self._several(value)
        if param.kind == "days":
            return self.since_days(value)
        if param.kind in _LOOK_UP:
            return self.look_up(param.kind, str(value))
        if param.kind == "number":
            try:
                number = int(value)
            except (TypeError, ValueError, OverflowError):
                raise InputError(f"{value!r} is no number.", field=param.name) from None
            if abs(number) > _LARGEST:
                raise InputError(f"{param.name} is too large a number.", field=param.name)
            return number
        return str(value)

    def _several(self, value: Any) -> tuple[int, ...]:
        if isinstance(value, list | tuple | set | frozenset):
            return tuple(self.look_up("group", str(one)) for one in value)
        value = str(value)
        try:
            # A name may hold a comma.
            return (self.look_up("group", value),)
        except NotFound:
            parts = [part.strip() for part in value.split(",") if part.strip()]
            if len(parts) < 2:
                raise
        return tuple(self.look_up("group", part) for part in parts)

    def _must_be_read(self, asked: Question, known: Mapping[str, Any]) -> None:
        if {"spaces", "grants"} & set(asked.needs) and not self.has_spaces():
            raise InputError(
                f"The question {asked.name} needs the spaces, and no walk has read them yet.",
                hint="Walk with spaces: tick it in the panel, or spokekit audit walk --with-spaces.",
                field="spaces",
            )
        groups: list[int] = []
        for param in asked.params:
            value = known[param.name]
            if param.kind == "groups":
                groups += value
            elif param.kind == "group" and value is not None:
                groups.append(value)
        if not groups or not {"memberships", "history"} & set(asked.needs):
            return
        unread = self.run_rows(
            f"SELECT group_no FROM coverage WHERE group_no IN ({', '.join(map(str, groups))}) "
            "AND walked_at IS NULL AND state IN ('not walked', 'failed') ORDER BY group_no",
            {},
        )
        if unread:
            name = self.run_rows(f"SELECT name FROM groups WHERE group_no = {int(unread[0][0])}", {})[0][0]
            raise InputError(
                f"The members of the group {name} were never read.",
                hint="Walk with this group: register it, or walk all groups.",
                field="group",
            )

    def has_spaces(self) -> bool:
        """Tell whether any walk up to this state has read the spaces."""
        return True

    def caution(self) -> str:
        """Say in a sentence what is missing from this state, or "" when nothing is."""
        return ""

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
        # Half a character, as a mistyped argument of a command line may hold, is in no name and stops every engine.
        text = text.encode(errors="replace").decode()
        text = {"group": group_id, "person": account_id}.get(kind, str.strip)(text)
        by_name = " OR ".join(f"{column} = $text" for column in columns)
        loosely = " OR ".join(f"LOWER({column}) = LOWER($text)" for column in columns)
        others: list[list[tuple[Any, ...]]] = []
        for source in dict.fromkeys((table, history)):
            for condition in (f"{key} = $text", by_name, loosely):
                found = self.run_rows(
                    f"SELECT DISTINCT {number}, {key} FROM {source} WHERE {condition} ORDER BY {key} LIMIT 6",
                    {"text": text},
                )
                if len(found) > 1:
                    raise _several(kind, text, [row[1] for row in found])
                if found:
                    return int(found[0][0])
            others.append(self._names(source, number, key, columns))
            alike = _in_another_form(others[-1], text, kind)
            if alike is not None:
                return alike
        looks = look_alike(text, (str(name) for rows in others for row in rows for name in row[2:] if name))
        close = difflib.get_close_matches(text, self.near(table, columns[0], text), 3, 0.5)
        missing = NotFound(
            f"There is no {kind} {text!r} in this snapshot.",
            likely=f"It looks like {looks[0]}, but {looks[1]}." if looks else None,
            hint=f"Did you mean {' or '.join(close)}?" if close else None,
        )
        missing.candidates = tuple(dict.fromkeys([*([looks[0]] if looks else []), *close]))
        raise missing

    def suggest(self, kind: str, text: str, *, most: int = 20) -> list[str]:
        """Return names of groups, people or spaces (`kind`) that hold `text`; those that begin with it come first."""
        table, _, _, _, columns = _LOOK_UP[kind]
        name = columns[-1] if kind == "space" else columns[0]
        part = text.lower().replace("%", "").replace("_", "\\_")
        rows = self.run_rows(
            f"SELECT DISTINCT {name} AS name, LOWER({name}) LIKE $start ESCAPE '\\' AS early FROM {table} "
            f"WHERE LOWER({name}) LIKE $part ESCAPE '\\' AND {name} <> '' ORDER BY early DESC, name LIMIT {most}",
            {"start": f"{part}%", "part": f"%{part}%"},
        )
        return [str(row[0]) for row in rows]

    def _names(self, source: str, number: str, key: str, columns: tuple[str, ...]) -> list[tuple[Any, ...]]:
        # No engine's SQL compares names as people mean them.
        return self.run_rows(
            f"SELECT DISTINCT {number}, {key}, {', '.join(columns)} FROM {source} LIMIT {_MOST_COMPARED}", {}
        )

    def near(self, table: str, column: str, text: str) -> list[str]:
        """Return some names of `table` that could have been meant."""
        first = text[:3].lower()
        rows = self.run_rows(
            f"SELECT DISTINCT {column} FROM {table} WHERE LOWER({column}) LIKE $start ORDER BY {column} LIMIT 200",
            {"start": first.replace("%", "").replace("_", "") + "%"},
        )
        return [str(row[0]) for row in rows]


def _in_another_form(rows: list[tuple[Any, ...]], text: str, kind: str) -> int | None:
    """Return the number of the one that has the name as names are compared; `rows` are number, id and names."""
    wanted = comparable(text)
    found = [row for row in rows if wanted in {comparable(str(name)) for name in row[2:] if name}]
    ids = sorted({row[1] for row in found})
    if len(ids) > 1:
        raise _several(kind, text, ids[:6])
    return int(found[0][0]) if found else None


def _several(kind: str, text: str, ids: Sequence[str]) -> InputError:
    error = InputError(f"Several have the name {text!r}: {', '.join(ids)}.", hint="Ask by id.", field=kind)
    error.candidates = tuple(ids)
    return error


def used(text: str, known: Mapping[str, Any]) -> dict[str, Any]:
    """Return those of `known` that `text` names with a dollar sign."""
    named = set(re.findall(r"\$([A-Za-z_]\w*)", text))
    return {key: value for key, value in known.items() if key in named}


def contract(made: pd.DataFrame, columns: Mapping[str, str]) -> pd.DataFrame:
    """Return `made` with exactly `columns`, in their order and kinds. Raises InputError when that cannot be done."""
    if not isinstance(made, pd.DataFrame):
        raise InputError(f"The answer is no frame but {type(made).__name__}.", field="function")
    kinds = {}
    for column, kind in columns.items():
        times = list(made.columns).count(column)
        if times != 1:
            words = "lacks the column" if not times else "has several columns"
            raise InputError(f"The answer {words} {column}, which its contract names.", field=column)
        try:
            kinds[column] = as_kind(made[column], kind, len(made))
        except (TypeError, ValueError) as error:
            raise InputError(
                f"The column {column} of the answer is not of the kind {kind}: {error}", field=column
            ) from None
    return pd.DataFrame(kinds)
