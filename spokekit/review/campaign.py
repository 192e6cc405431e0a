"""A campaign: who may keep access, decided row by row, signed, carried out, proven."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spokekit._words import counted
from spokekit.errors import Conflict, InputError, NotFound
from spokekit.review import handout, removal, report, verification, worksheet
from spokekit.review import records as rec
from spokekit.review.decisions import AS_STATED, Choice, Decided, day, listed, refusal, say, today_here
from spokekit.review.frames import rows_frame
from spokekit.review.records import DECIDED, DECISIONS, DRAFT, EXCEPTION, KEEP, OPEN, REMOVE, Actor, Event, Row

if TYPE_CHECKING:
    import pandas as pd

    from spokekit.audit import Audit
    from spokekit.confluence.report import Cancel, ProgressCallback
    from spokekit.groups.journal import ApplyState
    from spokekit.groups.membership import Membership, Preview, Result, Resumption
    from spokekit.review.records import Head, Records
    from spokekit.review.verification import Verification
    from spokekit.review.worksheet import Worksheet


class Campaign:
    """One access review. Made by `Reviews.open` and `Reviews.get`; what others add is seen after `refresh`.

    Every method that decides or moves it on checks its state in the store's own transaction: who acts on an old view
    gets `Conflict`, and nothing is written.
    """

    def __init__(self, records: Records, head: Head, actor: Actor) -> None:
        self.records = records
        self.head = head
        self.actor = actor
        self.rows: tuple[Row, ...] = records.rows(head.campaign_id)
        self.people: dict[str, tuple[str, str]] = records.people(head.campaign_id)
        self._by_id = {row.row_id: row for row in self.rows}
        self._turn = threading.RLock()
        self._events: list[Event] = []
        self._decided: dict[int, Event] = {}
        self._signed_at: datetime | None = None
        self.refresh()

    def __repr__(self) -> str:
        return f"Campaign({self.name!r}, {self.state}: {self.words})"

    # -- what it is ----------------------------------------------------------------------------------------------------

    @property
    def name(self) -> str:
        """Its name."""
        return self.head.name

    @property
    def events(self) -> tuple[Event, ...]:
        """Everything that happened, in its order."""
        return tuple(self._events)

    def happened(self, what: str) -> list[Event]:
        """Return the events of one kind, in their order."""
        return [event for event in self._events if event.event == what]

    @property
    def decided(self) -> Mapping[int, Event]:
        """The last decision about each row, whatever its day."""
        return self._decided

    @property
    def state(self) -> str:
        """Draft, Open, Decided, Applied, Verified or Closed."""
        return rec.state_after(self._events)

    @property
    def due(self) -> str:
        """The last day for decisions, like ``2026-12-31``; "" where none was set."""
        return str(self.head.about.get("due", ""))

    @property
    def missing(self) -> tuple[str, ...]:
        """What its population lacks, in words; empty for a complete one."""
        return tuple(self.head.about.get("missing", ()))

    @property
    def removals(self) -> tuple[Row, ...]:
        """The rows that are decided as removals."""
        return tuple(row for row in self.rows if (d := self.decision(row.row_id)) and d.decision == REMOVE)

    def row(self, row_id: int) -> Row:
        """Return a row; raises `NotFound`."""
        if row_id not in self._by_id:
            raise NotFound(f"The review {self.name} has no row {row_id}.", hint="`rows` lists them with their ids.")
        return self._by_id[row_id]

    def decision(self, row_id: int, today: date | None = None) -> Event | None:
        """Return the decision about a row; None without one, or with an exception that ran out before the sign-off."""
        found = self._decided.get(row_id)
        if found is None or found.decision != EXCEPTION or found.until >= (today or today_here()).isoformat():
            return found
        return found if self._signed_at is not None else None

    def reviewer(self, row: Row) -> tuple[str, bool]:
        """Return the account that is to decide about a row ("": nobody in particular), and whether it is a self-review.

        A self-review is handed to somebody else, whoever that is.
        """
        named = self.head.about.get("reviewers", {}).get(row.group_id, "")
        mine = row.account_id in (named, self.actor.account_id) and row.account_id != ""
        return ("" if named == row.account_id else named), mine

    def called(self, account_id: str) -> str:
        """Return the name of an account, as far as it is kept, else the id."""
        if account_id == self.actor.account_id and self.actor.name and account_id not in self.people:
            return self.actor.name
        return (self.people.get(account_id) or ("", ""))[0] or account_id

    def who(self, event: Event) -> str:
        """Say who did something, and by what word: the account that was signed in, or what a worksheet states."""
        by = self.called(event.by) if event.by else f"somebody not signed in ({event.through})"
        if not event.stated_by:
            return by
        return f"{event.stated_by} ({AS_STATED}, brought in by {by})"

    def sums(self, today: date | None = None) -> dict[str, int]:
        """Count the rows; the sums reconcile at any time.

        in_scope = keep + remove + ask + exception + routed_out + undecided, and once it is verified
        remove = done + not_done + refused. ``unexplained`` counts changes that are not this campaign's, ``late`` the
        decisions after the due day.
        """
        routed = sum(row.routed_out for row in self.rows)
        day = today or today_here()
        made = [d for row_id in self._decided if (d := self.decision(row_id, day))]
        counts = Counter(d.decision for d in made)
        found = {"in_scope": len(self.rows), **{word: counts[word] for word in DECISIONS}, "routed_out": routed}
        found["undecided"] = len(self.rows) - routed - len(made)
        found["late"] = sum(bool(self.due) and d.at.astimezone().date().isoformat() > self.due for d in made)
        if (proof := self.verification()) is not None:
            found |= proof.sums()
        return found

    @property
    def words(self) -> str:
        """How far it is, as a sentence."""
        s = self.sums()
        text = (
            f"{s['in_scope']:,} in scope = {s['keep']:,} keep + {s['remove']:,} remove + {s['ask']:,} ask + "
            f"{s['exception']:,} exception + {s['routed_out']:,} routed out"
        )
        text += f" + {s['undecided']:,} undecided" if s["undecided"] else ""
        if "done" in s:
            text += (
                f"; {s['remove']:,} removed = {s['done']:,} done + {s['not_done']:,} not done + {s['refused']:,} "
                f"refused; {counted(s['unexplained'], 'unexplained change')}"
            )
        return f"{text}."

    @property
    def next_words(self) -> str:
        """What comes next, in the words of the command line."""
        return {
            DRAFT: f"Open it: spokekit review open {self.name}",
            OPEN: "Decide the rest: spokekit review rows, decide, worksheet."
            if self.sums()["undecided"]
            else "Every row is decided; sign: spokekit review sign.",
            DECIDED: "Carry the removals out: spokekit review apply.",
            rec.APPLIED: "Prove it by a second walk: spokekit review verify.",
            rec.VERIFIED: "Close it with its evidence: spokekit review close --out FOLDER.",
            rec.CLOSED: "It is closed and can only be read.",
        }[self.state]

    def frame(self, rows: Iterable[Row] | None = None) -> pd.DataFrame:
        """Return rows (all, without any) as a frame.

        Columns: row_id (int64), group_id, group, account_id, person, access, managed_by, account_status,
        recommendation, decision (keep, remove, ask, exception, routed out, or "" while undecided), reason, decided_by
        (str), decided_at (datetime64, UTC), until, account_type (str), is_guest, licensed (bool), member_since,
        reviewer (str), self_review (bool), outcome, outcome_detail (str; once it is verified).
        """
        return rows_frame(self, self.rows if rows is None else rows)

    def verification(self) -> Verification | None:
        """Return what the last verification found; None where there is none since the last apply."""
        for event in reversed(self._events):
            if event.event == rec.WAS_APPLIED:
                return None
            if event.event == rec.WAS_VERIFIED:
                return verification.Verification.read(self, event)
        return None

    def refresh(self) -> None:
        """Read what was added since."""
        with self._turn:
            self._see(self.records.events(self.head.campaign_id, self._last()))

    def see_that(self, may: tuple[str, ...], words: str) -> None:
        """Read what was added since; raise `Conflict`, which ends with `words`, unless the state is one of `may`."""
        self.refresh()
        if self.state not in may:
            raise Conflict(f"The review {self.name} is {self.state}; {words}.", hint=self.next_words)

    # -- deciding ------------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Open a draft for decisions; raises `Conflict` in any other state."""
        self._add(lambda: [self._event(rec.OPENED)], only=(DRAFT,), what="opened")

    def decide(
        self, row_ids: int | Iterable[int], decision: str, *, reason: str = "", until: date | str | None = None
    ) -> Decided:
        """Decide rows, each as a record of its own; what the rules do not allow is refused row by row.

        Parameters
        ----------
        decision:
            keep, remove, ask, or exception.
        reason:
            Needed for an exception, and to keep against a recommendation.
        until:
            The last day of an exception.

        Raises
        ------
        InputError
            There is no such decision, or `until` is no day, is over, or goes with another than an exception.
        Conflict
            It is not open (any more).
        NotFound
            There is no such row.
        """
        ids = [row_ids] if isinstance(row_ids, int) else list(row_ids)
        for row_id in ids:
            self.row(row_id)
        word = decision.strip().lower()
        if word not in DECISIONS:
            raise InputError(f"There is no decision {decision}.", field="decision", hint=f"Use {listed(DECISIONS)}.")
        last = day(until)
        if last and word != EXCEPTION:
            raise InputError(
                f"Only an exception has a last day; “{word}” has none.",
                field="until",
                hint="Leave the day out, or decide exception.",
            )
        if last and last < today_here().isoformat():
            raise InputError(f"The day {last} is over.", field="until", hint="Name a day to come, like 2027-03-31.")
        return self.take([Choice(row_id, word, reason, last) for row_id in dict.fromkeys(ids)])

    def keep_shown(self, row_ids: Iterable[int], *, reason: str = "") -> Decided:
        """Keep the rows that somebody has before them and that are not decided yet, each as a record of its own.

        Those that need a reason are refused without one, and a person's own row always.
        """
        return self.decide(
            [i for i in row_ids if not self.row(i).routed_out and not self.decision(i)], KEEP, reason=reason
        )

    def take(self, choices: Sequence[Choice]) -> Decided:
        """Take decisions as they come from a person or a worksheet; raises `Conflict` where it is not open."""
        refused: list[tuple[int, str]] = []
        changed: list[tuple[int, str, str]] = []
        unchanged = 0

        def make() -> list[Event]:
            nonlocal unchanged
            new = []
            for choice in choices:
                row, before = self.row(choice.row_id), self.decision(choice.row_id)
                reason = rec.said(choice.reason)
                if words := refusal(self, row, replace(choice, reason=reason)):
                    refused.append((row.row_id, words))
                    continue
                until = choice.until if choice.decision == EXCEPTION else ""
                after = (choice.decision, reason, until)
                if before is not None and (before.decision, before.reason, before.until) == after:
                    unchanged += 1
                    continue
                if before is not None:
                    changed.append((row.row_id, say(before.decision, before.until), say(choice.decision, until)))
                more = {"decision": choice.decision, "reason": reason, "until": until}
                stated = rec.said(choice.stated_by)
                new.append(self._event(rec.ROW_DECIDED, row_id=row.row_id, stated_by=stated, **more))
            return new

        self._add(make, only=(OPEN,), what="decided")
        taken = len(choices) - len(refused) - unchanged
        return Decided(taken, unchanged, tuple(refused), tuple(changed))

    def worksheet(self, path: Path | str) -> Path:
        """Write the rows to be decided for reviewers without Jupyter; see `spokekit.review.worksheet`."""
        return worksheet.write(self, path)

    def read_worksheet(self, path: Path | str | bytes, *, name: str = "") -> Worksheet:
        """Read a worksheet that came back, strictly; nothing is decided before `take` gets its ``choices``."""
        return worksheet.read(self, path, name=name)

    def sign(self, by: str, role: str) -> None:
        """Sign the decisions; every row has to be decided.

        The first signature ends the deciding; others may follow until the campaign is closed.

        Raises
        ------
        InputError
            Name or role is empty, or rows are not decided.
        Conflict
            It is in another state.
        """
        name, title = rec.said(by, 200), rec.said(role, 200)
        for field_, what, value in (("by", "name", name), ("role", "role", title)):
            if not value:
                hint = 'On the command line: --by "Kim Muster" --role "Head of IT".'
                raise InputError(f"A signature needs a {what}.", field=field_, hint=hint)

        def make() -> list[Event]:
            left = self.sums()["undecided"]
            if left:
                raise InputError(
                    f"{counted(left, 'row')} {'is' if left == 1 else 'are'} not decided yet.",
                    field="decision",
                    hint="Decide them first: spokekit review rows NAME --undecided lists them.",
                )
            return [self._event(rec.SIGNED, detail={"name": name, "role": title, "sums": self.sums()})]

        self._add(make, only=(OPEN, DECIDED, rec.APPLIED, rec.VERIFIED), what="signed")

    # -- carrying out, proving, closing --------------------------------------------------------------------------------

    def plan(
        self, members: Membership, *, progress: ProgressCallback | None = None, cancel: Cancel | None = None
    ) -> Preview | None:
        """Make one guarded membership plan from the removals; None where nothing is to be removed."""
        return removal.plan(self, members, progress=progress, cancel=cancel)

    def apply(
        self,
        members: Membership,
        preview: Preview | None,
        *,
        confirm: str = "",
        progress: ProgressCallback | None = None,
        cancel: Cancel | None = None,
    ) -> Result:
        """Carry the removals out; raises what `Membership.apply` does, and `Conflict` before the sign-off."""
        return removal.apply(self, members, preview, confirm=confirm, progress=progress, cancel=cancel)

    def unfinished(self) -> ApplyState | None:
        """Return an apply of this campaign that was killed or stopped, and has to be gone on with."""
        return removal.unfinished(self)

    def resume(self, members: Membership, rest: Resumption, **options: Any) -> Result:
        """Go on with an apply of this campaign; `rest` comes from ``members.preview_resume(apply_id)``."""
        return removal.resume(self, members, rest, **options)

    def settle(self) -> bool:
        """Note what an apply that ended elsewhere, or before a kill, has come to; returns whether it did."""
        self.refresh()
        return removal.note(self)

    def verify(self, audit: Audit, *, partial: bool = False) -> Verification:
        """Hold a second walk against the decisions; see `spokekit.review.verification`."""
        return verification.verify(self, audit, partial=partial)

    def handout(self, folder: Path | str) -> tuple[Path, ...]:
        """Write what others have to do, where groups come from elsewhere: a CSV and a text; returns both paths."""
        return handout.write(self, folder)

    def report(self) -> bytes:
        """Return the report as one HTML page; DRAFT stands across it until the campaign is closed."""
        return report.page(self)

    def close(self, folder: Path | str) -> Path:
        """Close it and write its evidence; of a closed one the evidence is written once more. Returns the folder."""
        from spokekit.review import evidence

        return evidence.close(self, folder)

    # -- inside --------------------------------------------------------------------------------------------------------

    def add(self, what: str, detail: Mapping[str, Any], *, only: tuple[str, ...], words: str, **more: Any) -> None:
        """Add an event of the modules beside this one, in one of the states `only`."""
        self._add(lambda: [self._event(what, detail=detail)], only=only, what=words, **more)

    def _event(self, what: str, **more: Any) -> Event:
        return Event(what, self.actor.account_id, self.actor.through, **more)

    def _add(
        self, make: Callable[[], Sequence[Event]], *, only: tuple[str, ...], what: str, people: Any = None
    ) -> None:
        def inside(others: Sequence[Event]) -> Sequence[Event]:
            self._see(others)
            if self.state not in only:
                raise Conflict(
                    f"The review {self.name} is {self.state} and cannot be {what} now.",
                    likely="A state is never skipped, and none is gone back to." if self.state != rec.CLOSED else None,
                    hint=self.next_words,
                )
            return make()

        with self._turn:
            self._see(self.records.append(self.head.campaign_id, inside, after=self._last(), people=people))
            if people:
                self.people = self.records.people(self.head.campaign_id)

    def _last(self) -> int:
        return self._events[-1].seq if self._events else 0

    def _see(self, events: Iterable[Event]) -> None:
        last = self._last()
        for event in events:
            if event.seq <= last:
                continue
            self._events.append(event)
            if event.event == rec.ROW_DECIDED and event.row_id is not None:
                self._decided[event.row_id] = event
            elif event.event == rec.SIGNED and self._signed_at is None:
                self._signed_at = event.at
