"""Carry a plan out, row by row: journaled before and after each call, at a bounded pace, never guessing an outcome."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from spokekit._secret import scrub
from spokekit.confluence.report import UNWATCHED, Cancel, Progress, ProgressCallback, Watching
from spokekit.confluence.wire import NeverSent
from spokekit.errors import (
    AppNotInstalled,
    Cancelled,
    Conflict,
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
    ROW_LATE,
    ROW_STARTED,
    STOPPED,
    ApplyState,
    Journal,
    settled,
)
from spokekit.groups.journal_copy import Kept, keep
from spokekit.groups.pauses import Either, LongPause, pauses_of, wait, wait_out
from spokekit.groups.plan import ALREADY, DONE, FAILED, NOT_DONE, REFUSED, UNKNOWN, Row
from spokekit.groups.preview import LOOKS_UP_TO, duration
from spokekit.groups.result import Result
from spokekit.groups.rules import Verdict

PACE = 10.0
"""Changes a second at most: one at a time, a tenth of the burst that Atlassian names for orientation."""

MAX_FAILURES = 3

Look = Callable[[Mapping[int, Row]], Mapping[int, Verdict | None]]
"""Reads the site again and judges rows, by position, by what is there: None for those that are still to be done."""


class Hands(Protocol):
    """What an apply needs of the site: two changes, and two looks; each tells its pauses and can be cancelled.

    ``was_so`` is the quick one before a change: whether the account is a member, None when that cannot be told soon.
    """

    def add(self, group_id: str, account_id: str, *, watching: Watching) -> None: ...
    def remove(self, group_id: str, account_id: str, *, watching: Watching) -> None: ...
    def was_so(self, group_id: str, account_id: str, *, watching: Watching) -> bool | None: ...
    def is_member(self, group_id: str, account_id: str, *, watching: Watching) -> bool: ...


class RowByRow(ABC):
    """Works through the open rows of an apply; what one change is, a subclass says.

    Parameters
    ----------
    pace:
        Changes a second, at most.
    max_failures:
        After so many failed rows without a success between them the apply stops.
    """

    def __init__(self, journal: Journal, *, by: str, pace: float = PACE, max_failures: int = MAX_FAILURES) -> None:
        self._journal = journal
        self._by = by
        self._every = 1 / pace
        self._max_failures = max_failures
        self._not_noted: dict[int, Row] = {}
        self._sent: tuple[int, Row] | None = None
        self._looks = False

    def run(
        self,
        state: ApplyState,
        lease: Lease,
        look: Look,
        *,
        resumed: bool = False,
        verdicts: Mapping[int, Verdict | None] | None = None,
        names: Mapping[str, str] | None = None,
        watching: Watching = UNWATCHED,
    ) -> Result:
        """Go through the open rows of `state`.

        Parameters
        ----------
        lease:
            The site's, held; nothing is written or sent once it was lost.
        look:
            Called when a change had to wait for long, an hour for its points for example: what somebody else has
            changed meanwhile must not be taken for this apply's doing.
        verdicts:
            For a resume: what a fresh reading of the site says about each open row; None means that it is to be done.
        names:
            Display names by account id, for the result.

        Raises
        ------
        Conflict
            Another kernel has taken the site over.
        StoreError
            The journal could not be written before the first change. Later on that is no error but a reason to stop:
            nothing is changed that is not written down first, and what was changed has to be told.
        """
        rows = list(state.rows)
        write = partial(self._journal.write, state, by=self._by, lease=lease)
        if resumed:
            write(APPLY_RESUMED)
        for position, verdict in (verdicts or {}).items():
            if verdict is not None:
                rows[position] = from_reading(rows[position], verdict, position in state.sent)
                write(ROW_ENDED, position=position, row=rows[position])
        stopped = ""
        todo = [position for position in state.open_positions if not settled(rows[position])]
        self._looks = len(todo) <= LOOKS_UP_TO
        try:
            stopped = self._go(write, rows, todo, state.sent, look, watching.progress, Either(watching.cancel, lease))
            done = all(settled(row) for row in rows)
            write(APPLY_ENDED, status=FINISHED if done else STOPPED, message=stopped)
        except StoreError as error:
            stopped = stopped or f"The end of the apply could not be noted in the journal. {error.message}"
        except Conflict as error:
            raise self._told_late(state, error) from None
        kept = None
        if not self._journal.holds(state.apply_id):
            for position, row in self._not_noted.items():
                rows[position] = row
            stopped, kept = self._keep(state, rows)
        given = names or {}
        return Result(
            state.apply_id,
            tuple(replace(row, display_name=given.get(row.account_id, "")) for row in rows),
            scrub(stopped),
            kept,
        )

    def _told_late(self, state: ApplyState, error: Conflict) -> Conflict:
        """Note in the journal that a change was sent though the apply had been taken over, and return what says it.

        The next one who looks at the apply finds it as not known, and reads from the site what became of it.
        """
        if self._sent is None:
            return error
        position, row = self._sent
        sure = "was" if row.status == DONE else "may have been"
        words = f"The change that it had begun ({row.action} {row.account_id}, {row.group}) {sure} sent all the same"
        try:
            self._journal.write(state, ROW_LATE, by=self._by, position=position, row=row)
            words += "; the journal notes that."
        except StoreError as second:
            words += f", and that could not be noted in the journal: {second.message}"
        return Conflict(
            error.message,
            likely=f"{error.likely} {words}",
            hint=f"Resume the apply {state.apply_id[:8]}, or drop it: both read from the site what became of that.",
        )

    def _keep(self, state: ApplyState, rows: list[Row]) -> tuple[str, Path | None]:
        """Write the rows into a file, since the journal is gone; returns why the apply stopped, and the file."""
        store = self._journal.store
        why = (
            f"Stopped: the journal of this apply is no longer in the store ({store.describe()}): the store was "
            "removed, replaced, overwritten or cut off, it does not answer, or rows of the journal were deleted."
        )
        about = Kept(
            *(state.apply_id, state.place, self._by, state.mode, state.fingerprint, state.undo_of, state.started_at),
            why,
            tuple(rows),
        )
        try:
            kept = keep(store, about, self._journal.book)
        except (StoreError, OSError) as error:
            return f"{why} The rows could not be kept in a file either ({error}): keep what is shown here.", None
        words = f"{why} What was done is kept in {kept}; once a store is there, resume takes it into the journal."
        return words, kept

    def _go(
        self,
        write: Callable[..., None],
        rows: list[Row],
        todo: Iterable[int],
        sent: Collection[int],
        look: Look,
        progress: ProgressCallback | None,
        stopping: Cancel,
    ) -> str:
        left = deque(todo)
        total, failures = len(left), 0
        began = last = time.monotonic() - self._every
        patient = False
        while left:
            number, position = total - len(left), left[0]
            wait(last + self._every, stopping)
            if stopping.is_set():
                _leave(rows, left, "cancelled", "The apply was cancelled before this row.")
                return _cancelled(number, total)
            last = time.monotonic()
            try:
                write(ROW_STARTED, position=position, row=rows[position])
            except StoreError as error:
                _leave(rows, left, "stopped", "The apply was stopped before this row.")
                return f"Stopped: the next change could not be noted in the journal. {error.message}"
            pauses = pauses_of(progress, number, total)
            long = LongPause(pauses)
            mine = position in sent
            row, stop = self._one(
                rows[position], Watching(long, stopping if patient else Either(stopping, long)), sent=mine
            )
            reason = "stopped"
            held = long.pause if stop is None and not stopping.is_set() else None
            if held is not None:
                stop = ""
                if row.status == NOT_DONE:
                    row = row.ended(NOT_DONE, "waited", "It had to wait for long; the site is read again first.")
            elif stop is None:
                stop, reason = _cancelled(number, total, row), "cancelled"
            self._sent = (position, row) if row.status in (DONE, UNKNOWN) else None
            if row.status != UNKNOWN:
                try:
                    write(ROW_ENDED, position=position, row=row)
                    self._sent = None
                except StoreError as error:
                    stop = f"Stopped: the outcome of the last change could not be noted in the journal. {error.message}"
                    self._not_noted[position] = row
                    row = row.ended(UNKNOWN, "not_noted", f"{row.message} That is not in the journal yet.")
            rows[position] = row
            if held is None or stop:
                left.popleft()
                failures = failures + 1 if row.status in (FAILED, UNKNOWN) else 0
                if progress is not None and row.status != NOT_DONE:
                    progress(_progress(number + 1, total, time.monotonic() - began))
                if not stop and failures >= self._max_failures and left:
                    stop = f"Stopped: {failures} rows in a row failed. {row.message}"
            else:
                wait_out(held, pauses, stopping)
            # Whoever has waited and read goes on whatever the next pause is, or an apply might read for ever.
            patient = held is not None or long.outlasted
            if not stop and left and patient:
                ours = {*sent, position} if row.status == UNKNOWN else sent
                stop, reason = self._look_again(write, rows, left, ours, look, stopping)
                stop = stop or (_cancelled(number, total, row) if reason == "cancelled" else "")
            if stop:
                _leave(rows, left, reason, f"The apply was {reason} before this row.")
                return stop
        return ""

    def _look_again(
        self,
        write: Callable[..., None],
        rows: list[Row],
        left: deque[int],
        sent: Collection[int],
        look: Look,
        stopping: Cancel,
    ) -> tuple[str, str]:
        """Settle those of the rows left that need not, or must not, be done any more; returns why to stop, if so."""
        if stopping.is_set():
            return "", "cancelled"
        try:
            verdicts = look({position: rows[position] for position in left})
        except Cancelled:
            return "", "cancelled"
        except SpokekitError as error:
            return f"Stopped: after a long pause the site could not be read again. {error}", "stopped"
        for position, verdict in verdicts.items():
            if verdict is None:
                continue
            row = from_reading(rows[position], verdict, position in sent)
            try:
                write(ROW_ENDED, position=position, row=row)
            except StoreError as error:
                # It stays open, as it does in the journal, so that a resume comes back to it.
                return f"Stopped: an outcome could not be noted in the journal. {error.message}", "stopped"
            rows[position] = row
            left.remove(position)
        return "", "stopped"

    @abstractmethod
    def _one(self, row: Row, watching: Watching, *, sent: bool) -> tuple[Row, str | None]:
        """Make one change, which may have been `sent` before.

        Returns the row with its outcome, and why the apply must stop: "" for no reason, None when it was cancelled.
        """


class Applier(RowByRow):
    """Makes changes of membership; the parameters are those of `RowByRow`."""

    def __init__(self, hands: Hands, journal: Journal, **options: Any) -> None:
        super().__init__(journal, **options)
        self._hands = hands

    def _one(self, row: Row, watching: Watching, *, sent: bool) -> tuple[Row, str | None]:
        """Make one change; returns the row with its outcome, and why the apply must stop (None: it was cancelled).

        What is so already right before it was made by somebody else, unless we may have `sent` it ourselves earlier:
        another store's apply of the same plan is seen here and nowhere else.
        """
        wanted = row.action == "add"
        try:
            if self._looks and self._was_so(row, watching) == wanted:
                state = "a member" if wanted else "not a member"
                words = f"Was {state} already right before: somebody else has made this change meanwhile."
                return from_reading(row, Verdict(ALREADY, "member" if wanted else "no_member", words), sent), ""
            change = self._hands.add if wanted else self._hands.remove
            change(row.group_id, row.account_id, watching=watching)
        except Cancelled as error:
            if error.nothing_done:
                return row.ended(NOT_DONE, "cancelled", "The apply was cancelled before this change was made."), None
            return _in_doubt(row), None
        except LicenceFull as error:
            return row.ended(FAILED, "licence_full", error.message), (
                "Stopped: no seat of the licence is left. Free some (sync, remove-only), then resume."
            )
        except GuardRefused as error:
            return row.ended(REFUSED, "guard", error.message), ""
        except NotPermitted as error:
            return row.ended(FAILED, "not_permitted", error.message), ""
        except NotThere as error:
            return row.ended(FAILED, "not_there", error.message), ""
        except RateLimited as error:
            return row.ended(FAILED, "rate_limited", error.message), f"Stopped: {error}"
        except NeverSent as error:
            return row.ended(FAILED, "not_sent", error.message), f"Stopped: {error}"
        except (ScopeMissing, TokenRejected, AppNotInstalled, ConsentError, NotConfigured, StoreError) as error:
            return row.ended(FAILED, "not_permitted", error.message), f"Stopped: {error}"
        except (ServiceError, TransportError) as error:
            return self._read_back(row, wanted, error, watching)
        return row.ended(DONE, "", "Added." if wanted else "Removed."), ""

    def _was_so(self, row: Row, watching: Watching) -> bool | None:
        try:
            so = self._hands.was_so(row.group_id, row.account_id, watching=watching)
        except Cancelled as error:
            raise Cancelled(error.message, nothing_done=True) from None
        # Where it cannot be told once, asking again would only hold up every change.
        self._looks = so is not None
        return so

    def _read_back(
        self, row: Row, wanted: bool, error: ServiceError | TransportError, watching: Watching
    ) -> tuple[Row, str | None]:
        try:
            so = self._hands.is_member(row.group_id, row.account_id, watching=watching) == wanted
        except Cancelled:
            return _in_doubt(row), None
        except SpokekitError as second:
            return row.ended(UNKNOWN, "no_answer", error.message), (
                f"Stopped: it is not known whether the last change arrived, and it could not be read back. {second}"
            )
        state = "a member" if wanted == so else "not a member"
        if not so:
            return row.ended(FAILED, "no_answer", f"{error.message} Read back: {state}."), ""
        if isinstance(error, ServiceError) and 400 <= error.status < 500:
            return row.ended(ALREADY, "member" if wanted else "no_member", f"Somebody was faster: is {state}."), ""
        return row.ended(DONE, "read_back", f"The answer was lost; read back: is {state}."), ""


def _cancelled(number: int, total: int, row: Row | None = None) -> str:
    words = f"Cancelled after {number:,} of {total:,} changes."
    if row is not None and row.status == UNKNOWN:
        words += " It is not known whether the next one was made; resume reads it from the site."
    return words


def _in_doubt(row: Row) -> Row:
    return row.ended(UNKNOWN, "no_answer", "The apply was cancelled before an answer came; it may have been made.")


def from_reading(row: Row, verdict: Verdict, sent: bool) -> Row:
    """Return an open row as the site has settled it: what we may have sent ourselves, and is so, was our doing."""
    if verdict.status == ALREADY and sent:
        state = "a member" if row.action == "add" else "not a member"
        return row.ended(DONE, "read_back", f"The answer was lost; read back: is {state}.")
    return row.ended(verdict.status, verdict.reason, verdict.message)


def dropped(row: Row, verdict: Verdict | None) -> Row:
    """Return a row of which it was not known whether it was made, as the site shows it when its apply is dropped."""
    if verdict is not None and verdict.status == ALREADY:
        return from_reading(row, verdict, sent=True)
    return row.ended(NOT_DONE, "dropped", "Read back: it was not made. The apply was dropped.")


def _leave(rows: list[Row], positions: Iterable[int], reason: str, message: str) -> None:
    for position in positions:
        # A row that an earlier run left unknown or failed keeps that: it is the truer word.
        if rows[position].status == NOT_DONE:
            rows[position] = rows[position].ended(NOT_DONE, reason, message)


def _progress(done: int, total: int, seconds: float) -> Progress:
    left = (total - done) * seconds / done
    words = f"{done:,} of {total:,} changes" + (f", {duration(left)} left" if done < total else "")
    return Progress(done, total, "changes", words)
