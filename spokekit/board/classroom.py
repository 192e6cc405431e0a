"""A class that is going on: what learners' computers may do with their own row, and the orders of the trainer.

Held in memory for reading and written to the file first, so that a board that is killed goes on where it was.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import msgspec

from spokekit._foreign import shown
from spokekit.board import joining
from spokekit.board.records import GOES_ON_SECONDS, Given, Kept, Learner, Records
from spokekit.board.wire import (
    MOST_EVENTS,
    MOST_LEARNERS,
    RIGHT,
    Done,
    Join,
    Joined,
    LessonRight,
    Noted,
    Order,
    Ordered,
    Report,
    Sent,
    Verified,
    decode,
    encode,
)
from spokekit.connections.store import storable
from spokekit.errors import Conflict, InputError, NotFound

MOST_EVENTS_IN_ALL = 10_000
"""Events that are kept of one learner."""
MOST_ORDERS = 5_000
_SEEN_EVERY = 20.0


class WrongCode(InputError):
    """A join code that is not the class's."""


class ClassIsFull(Conflict):
    """Nobody more fits in."""


class Classroom:
    """One class of `records`, gone on with or begun.

    Parameters
    ----------
    records:
        Where it is kept.
    name, lessons:
        What the class is called and the lessons that it is for; both "" and () keep what a class had before.
    new:
        Begin a new class, also where one of today could be gone on with.
    clock:
        POSIX seconds.
    """

    def __init__(
        self,
        records: Records,
        *,
        name: str = "",
        lessons: tuple[str, ...] = (),
        new: bool = False,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.records, self.clock = records, clock
        name = " ".join(storable(name).split())
        if len(name) > 80:
            raise InputError("The name of a class has up to 80 letters.", field="--name")
        newest = None if new else records.newest()
        kept = records.load(newest) if newest is not None else None
        self.gone_on = kept is not None and clock() - kept.began < GOES_ON_SECONDS
        if kept is None or not self.gone_on:
            kept = records.load(records.begin(name or "Class", lessons, clock()))
        elif (name and name != kept.name) or (lessons and lessons != kept.lessons):
            records.rename(kept.class_id, name or kept.name, lessons or kept.lessons)
            kept = records.load(kept.class_id)
        self.kept: Kept = kept
        self._by_digest = {one.digest: one for one in kept.learners.values()}
        self._seen_kept = {one.number: one.seen for one in kept.learners.values()}

    @property
    def learners(self) -> list[Learner]:
        """Those who are in the class, in the order in which they came."""
        return list(self.kept.learners.values())

    # -- who it is ---------------------------------------------------------------------------------------------------

    def learner_of(self, key: str) -> Learner | None:
        """Return whose key this is, and note that they were seen; None for nobody's."""
        found = self._by_digest.get(joining.digest(key)) if 32 <= len(key) <= 100 else None
        if found is not None:
            found.seen = max(found.seen, self.clock())
        return found

    def keep_seen(self, *, all_of_them: bool = False) -> None:
        """Write down when learners were last seen, where it is a while since that was written."""
        least = 0.0 if all_of_them else _SEEN_EVERY
        due = {one.number: one.seen for one in self.learners if one.seen - self._seen_kept[one.number] > least}
        if due:
            self.records.seen(self.kept.class_id, due)
            self._seen_kept |= due

    def join(self, asked: Join) -> Joined:
        """Let a learner in, or go on with the one whose key it is.

        Raises `WrongCode`, and `ClassIsFull` when there are `MOST_LEARNERS`.
        """
        name = " ".join(storable(asked.name).split())
        known = self.learner_of(asked.key)
        if known is not None:
            if name and name != known.name:
                self.records.change_learner(self.kept.class_id, known.number, name=name, seen=known.seen)
                known.name = name
            return self._joined(known, asked.key)
        if not joining.same(joining.as_typed(asked.code), self.kept.code):
            raise WrongCode(
                "This is not the code of the class.", field="code", hint="It stands on the trainer's board."
            )
        if len(self.kept.learners) >= MOST_LEARNERS:
            raise ClassIsFull(f"The class is full: {MOST_LEARNERS} have joined.", hint="Ask the trainer.")
        key, now = joining.new_key(), self.clock()
        learner = Learner(
            number=max(self.kept.learners, default=0) + 1,
            pseudonym=joining.pseudonym({one.pseudonym for one in self.learners}),
            name=name,
            digest=joining.digest(key),
            seed=joining.new_seed({one.seed for one in self.learners}),
            joined=now,
            after=self._last_order(),
            seen=now,
        )
        self.records.add_learner(self.kept.class_id, learner)
        self.kept.learners[learner.number] = self._by_digest[learner.digest] = learner
        self._seen_kept[learner.number] = now
        return self._joined(learner, key)

    def _joined(self, learner: Learner, key: str) -> Joined:
        return Joined(self.kept.name, learner.number, learner.pseudonym, key, learner.seed, self.kept.lessons)

    # -- what a learner's computer tells -----------------------------------------------------------------------------

    def report(self, learner: Learner, told: Report) -> int:
        """Keep a report and return the last event that is kept without a gap.

        Raises `Conflict`, and keeps nothing of the report, when an event contradicts one that is kept, an order was
        never given to this learner, or there is no more room.
        """
        fresh: dict[int, Noted] = {}
        for one in told.events:
            before = learner.events.get(one.seq) or fresh.get(one.seq)
            if before is not None and before != one:
                raise Conflict(f"Event {one.seq} contradicts the one that is kept; the first is kept.")
            if one.seq not in learner.events:
                fresh[one.seq] = one
        if len(learner.events) + len(fresh) > MOST_EVENTS_IN_ALL:
            raise Conflict(f"The board keeps {MOST_EVENTS_IN_ALL} events of a learner, and no more.")
        done: dict[int, Done] = {}
        for what in told.done:
            if not any(given.ordered.n == what.n and given.is_for(learner) for given in self.kept.orders):
                raise Conflict(f"Order {what.n} was not given to this learner.")
            # What was shown may be accepted, declined or refused later; nothing else changes.
            before_it = done.get(what.n) or learner.done.get(what.n)
            if before_it is None or (before_it.outcome == "shown" and what.outcome != "shown"):
                done[what.n] = what
        now = self.clock()
        if fresh or done or told.now != learner.now:
            values = {"seen": now, "now": msgspec.json.encode(told.now).decode()}
            events = tuple(fresh.values())
            self.records.report(self.kept.class_id, learner.number, values, events, tuple(done.values()), now)
            self._seen_kept[learner.number] = now
        learner.events |= fresh
        learner.came |= dict.fromkeys(fresh, now)
        learner.done |= done
        learner.now, learner.seen = told.now, now
        return learner.kept()

    def orders_for(self, learner: Learner, after: int) -> tuple[Ordered, ...]:
        """Return the orders for a learner that are numbered above `after`, oldest first, `MOST_EVENTS` at most."""
        found = (given.ordered for given in self.kept.orders if given.ordered.n > after and given.is_for(learner))
        return tuple(one for one, _ in zip(found, range(MOST_EVENTS), strict=False))

    def sent(self, learner: Learner) -> Sent:
        """Return all that is kept of a learner."""
        return Sent(
            self.kept.name,
            learner.number,
            learner.pseudonym,
            learner.name,
            learner.joined,
            learner.seen,
            learner.now,
            tuple(learner.noted()),
            tuple(learner.done[n] for n in sorted(learner.done)),
        )

    # -- certificates ------------------------------------------------------------------------------------------------

    def certify(self, learner: Learner) -> Verified:
        """Return a certificate with a code of its own; the same one as long as it says the same.

        Raises `NotFound` when nothing was right yet.
        """
        lessons = lessons_right(learner)
        if not lessons:
            raise NotFound("No lesson was right yet.", hint="Check a lesson first.")
        before = self.records.newest_certificate(self.kept.class_id, learner.number)
        if before is not None:
            known = decode(before, Verified)
            if (known.lessons, known.name) == (lessons, learner.name):
                return known
        made = Verified(
            joining.new_code(joining.CERTIFICATE_LENGTH),
            self.kept.name,
            learner.pseudonym,
            learner.name,
            self.clock(),
            lessons,
        )
        self.records.certify(self.kept.class_id, learner.number, made.code, encode(made))
        return made

    def verify(self, code: str) -> Verified:
        """Return what the board has of a certificate; raises `NotFound`."""
        return verify(self.records, code)

    # -- what the trainer orders -------------------------------------------------------------------------------------

    def _last_order(self) -> int:
        return self.kept.orders[-1].ordered.n if self.kept.orders else 0

    def order(self, order: Order, to: int | None = None) -> Given:
        """Give an order to one learner or, with None, to all who are in the class now.

        Raises `NotFound` for a learner who is not there, and `Conflict` after `MOST_ORDERS`.
        """
        if to is not None and to not in self.kept.learners:
            raise NotFound(f"There is no learner {to} in the class.")
        if len(self.kept.orders) >= MOST_ORDERS:
            raise Conflict(f"{MOST_ORDERS} orders were given, and no more fit.", hint="Begin a new class.")
        given = Given(Ordered(self._last_order() + 1, self.clock(), order), to)
        self.records.order(self.kept.class_id, given)
        self.kept.orders.append(given)
        return given


def lessons_right(learner: Learner) -> tuple[LessonRight, ...]:
    """Return the lessons that were right, in the order in which they were right first."""
    found: dict[str, LessonRight] = {}
    noted = learner.noted()
    for one in noted:
        if one.event == "checked" and one.outcome in RIGHT and one.lesson not in found:
            before = [e for e in noted if e.lesson == one.lesson]
            attempts, hints = len({e.attempt for e in before}), sum(e.event == "hint" for e in before)
            found[one.lesson] = LessonRight(one.lesson, one.at, attempts, hints)
    return tuple(found.values())


def verify(records: Records, code: str) -> Verified:
    """Return what the classes of a file have of a certificate; raises `NotFound`."""
    typed = joining.as_typed(code)
    told = records.certificate(typed) if len(typed) == joining.CERTIFICATE_LENGTH else None
    if told is None:
        raise NotFound(
            f"There is no certificate with the code {shown(typed, 20)}.",
            likely="It was typed wrongly, is of another board, or its class was deleted.",
        )
    return decode(told, Verified)
