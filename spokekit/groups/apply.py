"""Carry a plan out, row by row: journaled before and after each call, at a bounded pace, never guessing an outcome."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol

from spokekit.confluence.models import Cancel, Progress, ProgressCallback
from spokekit.errors import (
    AppNotInstalled,
    ConsentError,
    GuardRefused,
    LicenceFull,
    NotConfigured,
    NotPermitted,
    NotThere,
    RateLimited,
    ScopeMissing,
    ServiceError,
    SpokekitError,
    StoreError,
    TokenRejected,
    TransportError,
)
from spokekit.groups._lease import Lease
from spokekit.groups.journal import (
    APPLY_ENDED,
    APPLY_RESUMED,
    FINISHED,
    ROW_ENDED,
    ROW_STARTED,
    STOPPED,
    ApplyState,
    Journal,
    settled,
)
from spokekit.groups.plan import ALREADY, DONE, FAILED, NOT_DONE, REFUSED, STATUSES, UNKNOWN, Row, rows_frame
from spokekit.groups.preview import duration
from spokekit.groups.rules import Verdict

if TYPE_CHECKING:
    import pandas as pd

PACE = 10.0
"""Changes a second at most: one at a time, a tenth of the burst that Atlassian names for orientation."""

MAX_FAILURES = 3


class Hands(Protocol):
    """What an apply needs of the site: two changes, and one look."""

    def add(self, group_id: str, account_id: str) -> None: ...
    def remove(self, group_id: str, account_id: str) -> None: ...
    def is_member(self, group_id: str, account_id: str) -> bool: ...


@dataclass(frozen=True)
class Result:
    """What became of a plan.

    ``apply_id`` is the key for `resume` and undo (empty when nothing was to be done), ``stopped`` says in a sentence
    why it ended early (empty when it did not).
    """

    apply_id: str
    rows: tuple[Row, ...]
    stopped: str = ""

    @property
    def frame(self) -> pd.DataFrame:
        """All rows with the plan's columns: those carried out with their outcome, the others as they were."""
        return rows_frame(self.rows)

    @property
    def finished(self) -> bool:
        """Say whether no row is left to be resumed."""
        return all(settled(row) for row in self.rows)

    def counts(self) -> dict[str, int]:
        """How many rows came to which status, without the zeros."""
        found = Counter(row.status for row in self.rows)
        return {status: found[status] for status in STATUSES if found[status]}

    @property
    def words(self) -> str:
        """The result in a sentence or two."""
        counts = ", ".join(f"{count:,} {status}" for status, count in self.counts().items()) or "nothing to do"
        text = f"{counts[:1].upper()}{counts[1:]}."
        if self.stopped:
            text += f" {self.stopped}"
        if not self.finished:
            text += " Resume goes on with the rest."
        return text

    def __repr__(self) -> str:
        return f"Result({self.words})"


class Applier:
    """Works through the open rows of an apply.

    Parameters
    ----------
    pace:
        Changes a second, at most.
    max_failures:
        After so many failed rows without a success between them the apply stops.
    """

    def __init__(
        self,
        hands: Hands,
        journal: Journal,
        *,
        by: str,
        pace: float = PACE,
        max_failures: int = MAX_FAILURES,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._hands = hands
        self._journal = journal
        self._by = by
        self._every = 1 / pace
        self._max_failures = max_failures
        self._sleep = sleep

    def run(
        self,
        state: ApplyState,
        *,
        resumed: bool = False,
        verdicts: Mapping[int, Verdict | None] | None = None,
        names: Mapping[str, str] | None = None,
        progress: ProgressCallback | None = None,
        cancel: Cancel | None = None,
    ) -> Result:
        """Go through the open rows of `state`.

        Parameters
        ----------
        verdicts:
            For a resume: what a fresh reading of the site says about each open row; None means that it is to be done.
        names:
            Display names by account id, for the result.

        Raises
        ------
        Conflict
            Another kernel works on this apply.
        StoreError
            The journal cannot be written; nothing is changed that is not written down first.
        """
        rows = list(state.rows)
        stopped = ""
        with Lease(self._journal.store, state.apply_id) as lease:
            if resumed:
                self._journal.write(state, APPLY_RESUMED, by=self._by)
            for position, verdict in (verdicts or {}).items():
                if verdict is not None:
                    rows[position] = _from_reading(rows[position], verdict, position in state.sent)
                    self._journal.write(state, ROW_ENDED, by=self._by, position=position, row=rows[position])
            todo = [position for position in state.open_positions if not settled(rows[position])]
            stopped = self._go(state, rows, todo, lease, progress, cancel)
            done = all(settled(row) for row in rows)
            self._journal.write(state, APPLY_ENDED, by=self._by, status=FINISHED if done else STOPPED, message=stopped)
        given = names or {}
        return Result(
            state.apply_id, tuple(replace(row, display_name=given.get(row.account_id, "")) for row in rows), stopped
        )

    def _go(
        self,
        state: ApplyState,
        rows: list[Row],
        todo: list[int],
        lease: Lease,
        progress: ProgressCallback | None,
        cancel: Cancel | None,
    ) -> str:
        failures = 0
        began = last = time.monotonic() - self._every
        for number, position in enumerate(todo):
            if cancel is not None and cancel.is_set():
                _leave(rows, todo[number:], "cancelled", "The apply was cancelled before this row.")
                return f"Cancelled after {number:,} of {len(todo):,} changes."
            lease.renew()
            wait = last + self._every - time.monotonic()
            if wait > 0:
                self._sleep(wait)
            last = time.monotonic()
            self._journal.write(state, ROW_STARTED, by=self._by, position=position, row=rows[position])
            row, stop = self._one(rows[position])
            rows[position] = row
            if row.status != UNKNOWN:
                self._journal.write(state, ROW_ENDED, by=self._by, position=position, row=row)
            failures = failures + 1 if row.status in (FAILED, UNKNOWN) else 0
            if progress is not None:
                progress(_progress(number + 1, len(todo), time.monotonic() - began))
            if not stop and failures >= self._max_failures and number + 1 < len(todo):
                stop = f"Stopped: {failures} rows in a row failed. {row.message}"
            if stop:
                _leave(rows, todo[number + 1 :], "stopped", "The apply stopped before this row.")
                return stop
        return ""

    def _one(self, row: Row) -> tuple[Row, str]:
        """Make one change; returns the row with its outcome, and why the apply must stop, if it must."""
        wanted = row.action == "add"
        try:
            (self._hands.add if wanted else self._hands.remove)(row.group_id, row.account_id)
        except LicenceFull as error:
            return _ended(row, FAILED, "licence_full", error.message), (
                "Stopped: no seat of the licence is left. Free some (sync, remove-only), then resume."
            )
        except GuardRefused as error:
            return _ended(row, REFUSED, "guard", error.message), ""
        except NotPermitted as error:
            return _ended(row, FAILED, "not_permitted", error.message), ""
        except NotThere as error:
            return _ended(row, FAILED, "not_there", error.message), ""
        except RateLimited as error:
            return _ended(row, FAILED, "rate_limited", error.message), f"Stopped: {error}"
        except (ScopeMissing, TokenRejected, AppNotInstalled, ConsentError, NotConfigured, StoreError) as error:
            return _ended(row, FAILED, "not_permitted", error.message), f"Stopped: {error}"
        except (ServiceError, TransportError) as error:
            return self._read_back(row, wanted, error)
        return _ended(row, DONE, "", "Added." if wanted else "Removed."), ""

    def _read_back(self, row: Row, wanted: bool, error: ServiceError | TransportError) -> tuple[Row, str]:
        try:
            so = self._hands.is_member(row.group_id, row.account_id) == wanted
        except SpokekitError as second:
            return _ended(row, UNKNOWN, "no_answer", error.message), (
                f"Stopped: it is not known whether the last change arrived, and it could not be read back. {second}"
            )
        state = "a member" if wanted == so else "not a member"
        if not so:
            return _ended(row, FAILED, "no_answer", f"{error.message} Read back: {state}."), ""
        if isinstance(error, ServiceError) and 400 <= error.status < 500:
            return _ended(row, ALREADY, "member" if wanted else "no_member", f"Somebody was faster: is {state}."), ""
        return _ended(row, DONE, "read_back", f"The answer was lost; read back: is {state}."), ""


def _from_reading(row: Row, verdict: Verdict, sent: bool) -> Row:
    if verdict.status == ALREADY and sent:
        state = "a member" if row.action == "add" else "not a member"
        return _ended(row, DONE, "read_back", f"The answer was lost; read back: is {state}.")
    return _ended(row, verdict.status, verdict.reason, verdict.message)


def _ended(row: Row, status: str, reason: str, message: str) -> Row:
    return replace(row, status=status, reason=reason, message=message)


def _leave(rows: list[Row], positions: Iterable[int], reason: str, message: str) -> None:
    for position in positions:
        # A row that an earlier run left unknown or failed keeps that: it is the truer word.
        if rows[position].status == NOT_DONE:
            rows[position] = _ended(rows[position], NOT_DONE, reason, message)


def _progress(done: int, total: int, seconds: float) -> Progress:
    left = (total - done) * seconds / done
    words = f"{done:,} of {total:,} changes" + (f", {duration(left)} left" if done < total else "")
    return Progress(done, total, "changes", words)
