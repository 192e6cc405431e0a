"""One write after the other: looked for before, read again after, and never guessed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, cast

from spokekit.confluence.report import Watching
from spokekit.errors import (
    InputError,
    NotPermitted,
    PlanError,
    RateLimited,
    ServiceError,
    SpokekitError,
    StoreError,
    TokenRejected,
    TransportError,
)
from spokekit.groups.apply import RowByRow
from spokekit.groups.journal import Journal
from spokekit.groups.plan import ALREADY, DONE, FAILED, NOT_DONE, REFUSED, UNKNOWN, Row
from spokekit.handover import records as rec
from spokekit.handover.changes import COMPUTED, KEYS, matching
from spokekit.handover.client import Unreadable
from spokekit.handover.drift import same_value
from spokekit.handover.steps import CREATE, DELETE, Step
from spokekit.handover.writer import InstanceWriter

_VITAL = frozenset(
    (
        *("connection_alias", "credential", "oauth_entity", "oauth_entity_profile", "parent"),
        *("active", "connection_url", "grant_type", "id", "oauth_entity_scope", "token_url", "auth_url"),
    )
)
"""Columns without which the records that follow would hang on nothing, or lead elsewhere."""


class Writing(RowByRow):
    """Writes the open steps of an apply; the first one that fails ends it, since the next ones stand on it."""

    def __init__(self, writer: InstanceWriter, steps: list[Step], journal: Journal, **options: Any) -> None:
        super().__init__(journal, max_failures=1, **options)
        self._writer = writer
        self._steps = steps
        self._ids = {step.account_id: step.made for step in steps if step.action == CREATE and step.made}

    # -- one step ------------------------------------------------------------------------------------------------------

    def _one(self, row: Row, watching: Watching, *, sent: bool) -> tuple[Row, str | None]:
        step = cast("Step", row)
        do = {CREATE: self._create, DELETE: self._delete}.get(step.action, self._change)
        try:
            return do(step, sent)
        except NotPermitted as error:
            return step.ended(FAILED, "not_permitted", error.message), f"Stopped: {error}"
        except RateLimited as error:
            return step.ended(FAILED, "rate_limited", error.message), f"Stopped: {error}"
        except (TokenRejected, Unreadable, InputError, PlanError, StoreError) as error:
            return step.ended(FAILED, "not_written", error.message), f"Stopped: {error}"
        except (ServiceError, TransportError) as error:
            return self._read_back(step, error)

    def _create(self, step: Step, sent: bool) -> tuple[Step, str]:
        values = self._resolved(step)
        there = self._there(step, values)
        if there:
            # A registry gets its default profile from the instance, as an answer to our own write.
            by_rule = step.table == rec.PROFILE and values["oauth_entity"] in self._ids.values()
            if not (sent or by_rule):
                words = "Was made by somebody else since the preview."
                self._ids[step.account_id] = there
                ended = replace(step.ended(ALREADY, "there", words), made=there)
                return ended, f"Stopped: {step.what} has appeared since the preview. Look at it; resume then uses it."
            reason, words = ("by_rule", "Made by the instance itself.") if by_rule else ("read_back", _FOUND)
            return self._taken(step, there, values, reason, words)
        given = {column: value for column, value in values.items() if (step.table, column) not in COMPUTED}
        made = self._writer.create(step.table, given)
        return self._taken(step, made, values, "", "Made.")

    def _taken(self, step: Step, made: str, values: Mapping[str, str], reason: str, words: str) -> tuple[Step, str]:
        """Read a record again that is ours now, and say what the instance made of it."""
        self._ids[step.account_id] = made
        left = self._left(step, made, values)
        wrong = _unlike(step.table, values, left)
        if wrong and reason == "by_rule":
            # What the instance made by itself is brought to what was planned.
            self._writer.change(step.table, made, {column: values[column] for column in wrong})
            left = self._left(step, made, values)
            wrong = _unlike(step.table, values, left)
        ended = replace(step.ended(DONE, reason, words), made=made, left=left)
        return _told(ended, values, wrong)

    def _left(self, step: Step, made: str, values: Mapping[str, str]) -> dict[str, str]:
        row = self._writer.one(step.table, made, values)
        if row is None:
            raise ServiceError(
                f"{step.what[:1].upper()}{step.what[1:]} was written and is not there when it is read again.",
                likely="An access control hides it from this account, or a rule of the instance removed it.",
                hint="Look on the instance with an account that may see it, then resume.",
            )
        return {column: row[column] for column in values}

    def _change(self, step: Step, sent: bool) -> tuple[Step, str]:
        ((column, here),) = step.after.items()
        row = self._writer.one(step.table, step.account_id, [column])
        if row is None:
            return step.ended(FAILED, "not_there", "The record is gone."), f"Stopped: {step.what} is gone."
        here = self._ids.get(here, here)
        if same_value(step.table, column, here, row[column]):
            if sent:
                return replace(step.ended(DONE, "read_back", _FOUND), left={column: row[column]}), ""
            return step.ended(ALREADY, "there", "Somebody else has set it so since the preview."), ""
        before = step.before[column]
        if row[column] != before and not same_value(step.table, column, before, row[column]):
            words = f"Was changed since by somebody else: {column} is “{row[column]}” now."
            return step.ended(REFUSED, "changed_since", words), ""
        self._writer.change(step.table, step.account_id, {column: here})
        left = self._left(step, step.account_id, {column: here})
        ended = replace(step.ended(DONE, "", "Changed."), left=left)
        return _told(ended, {column: here}, _unlike(step.table, {column: here}, left))

    def _delete(self, step: Step, sent: bool) -> tuple[Step, str]:
        row = self._writer.one(step.table, step.account_id, step.before)
        if row is None:
            if sent:
                return step.ended(DONE, "read_back", "The answer was lost; it is gone."), ""
            return step.ended(ALREADY, "gone", "Is gone already."), ""
        if changed := [column for column, value in step.before.items() if row[column] != value]:
            words = f"Left alone: {changed[0]} was changed since to “{row[changed[0]]}”."
            return step.ended(REFUSED, "changed_since", words), ""
        for (table, column), target in rec.REFERENCES.items():
            if target != step.table:
                continue
            rows = self._writer.rows(table, ["sys_id", column])
            if any(one[column] == step.account_id for one in rows):
                words = f"Left alone: a {rec.WORDS[table]} names it."
                return step.ended(REFUSED, "in_use", words), ""
        self._writer.delete(step.table, step.account_id)
        if self._writer.one(step.table, step.account_id, ()) is not None:
            return step.ended(FAILED, "still_there", "The instance has not deleted it."), "Stopped: it is still there."
        return step.ended(DONE, "", "Deleted."), ""

    # -- where the answer was lost -------------------------------------------------------------------------------------

    def _read_back(self, step: Step, error: ServiceError | TransportError) -> tuple[Step, str]:
        """Look whether a write arrived whose answer did not."""
        try:
            return self._as_it_is(step, error.message)
        except SpokekitError as second:
            return step.ended(UNKNOWN, "no_answer", error.message), (
                f"Stopped: it is not known whether the last write arrived, and it could not be read back. {second}"
            )

    def _as_it_is(self, step: Step, why: str) -> tuple[Step, str]:
        stop = f"Stopped: {why} It was not written; resume tries it again."
        if step.action == CREATE:
            values = self._resolved(step)
            there = self._there(step, values)
            if there:
                return self._taken(step, there, values, "read_back", _FOUND)
        elif step.action == DELETE:
            if self._writer.one(step.table, step.account_id, ()) is None:
                return step.ended(DONE, "read_back", "The answer was lost; it is gone."), ""
        else:
            ((column, here),) = step.after.items()
            row = self._writer.one(step.table, step.account_id, [column])
            if row is not None and same_value(step.table, column, self._ids.get(here, here), row[column]):
                return replace(step.ended(DONE, "read_back", _FOUND), left={column: row[column]}), ""
        return step.ended(FAILED, "no_answer", f"{why} Read back: it was not written."), stop

    def as_it_is(self, position: int) -> Step:
        """Return a step of which it is not known whether it was done, as the instance shows it; for a drop."""
        step = self._steps[position]
        ended, _ = self._as_it_is(step, "The apply was dropped.")
        return ended if ended.status == DONE else step.ended(NOT_DONE, "dropped", "Read back: it was not written.")

    # -- inside --------------------------------------------------------------------------------------------------------

    def _resolved(self, step: Step) -> dict[str, str]:
        """Return the columns with the instance's own ids; raises `PlanError` where one of these is not there yet."""
        made = {}
        for column, value in step.after.items():
            made[column] = value
            if (step.table, column) in rec.REFERENCES:
                made[column] = self._ids.get(value, value)
                if any(other.account_id == made[column] and other.action == CREATE for other in self._steps):
                    raise PlanError(f"What {step.what} names in {column} was not made.", hint="Look at a new preview.")
        return made

    def _there(self, step: Step, values: Mapping[str, str]) -> str:
        keys = KEYS.get(step.table) or tuple(values)[:1]
        rows = self._writer.rows(step.table, ["sys_id", *keys])
        if step.table not in KEYS:
            found = [row for row in rows if row[keys[0]] == values[keys[0]]]
        else:
            found = matching(rows, step.table, values)
        return found[0]["sys_id"] if found else ""


_FOUND = "The answer was lost; read back: it was written."


def _unlike(table: str, values: Mapping[str, str], left: Mapping[str, str]) -> list[str]:
    return [column for column, value in values.items() if not same_value(table, column, value, left[column])]


def _told(step: Step, values: Mapping[str, str], wrong: list[str]) -> tuple[Step, str]:
    """Say what the instance has made of a record, and stop where the next ones cannot stand on that."""
    if not wrong:
        return step, ""
    words = "; ".join(f"{column} is “{step.left[column]}” there, not “{values[column]}”" for column in wrong)
    told = replace(step, reason="changed", message=f"{step.message} A rule of the instance has changed it: {words}.")
    if vital := [column for column in wrong if column in _VITAL]:
        return told, (
            f"Stopped: a rule of the instance has changed {vital[0]} of {step.what}. Look at it there; resume goes on, "
            "undo takes it back."
        )
    return told, ""
