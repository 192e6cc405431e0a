"""Chapter D: changes that go wrong half-way, and how they are brought to their end."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from spokekit.training.doer import Doer
from spokekit.training.lesson import Lesson, Start, Turn
from spokekit.training.seen import Seen, SiteState

ACCESS, GUESTS = "confluence-users", "confluence-guests"
GROUP = "support-tier-2"


def outsiders(site: SiteState, group: str, count: int) -> tuple[str, ...]:
    """Return the account ids of so many people at work who are not in a group, the same in each look at one world."""
    fit = site.at_work(set(site.people) - site.members(group))
    return tuple(one for one in fit if site.people[one].licensed)[:count]


def _newcomers(site: SiteState) -> tuple[str, ...]:
    return tuple(one for one in site.at_work(site.people) if not site.people[one].licensed)[:2]


def _by_access_alone(site: SiteState) -> tuple[str, ...]:
    """Return the people at work whose only way to a seat is confluence-users."""
    ways = [name for name, group in site.groups.items() if group.access and name != ACCESS]
    return site.at_work(site.members(ACCESS).difference(*(site.members(name) for name in ways)))


def _ended(site: SiteState) -> tuple[str, ...]:
    """Return two people whose only way to a seat is confluence-users."""
    return _by_access_alone(site)[:2]


def _lost_seats(seen: Seen) -> frozenset[str]:
    now = seen.site.people
    return frozenset(a for a, p in seen.before.people.items() if p.licensed and not now[a].licensed)


def _workers(seen: Seen) -> frozenset[str]:
    return _lost_seats(seen) - set(_ended(seen.before))


def _refused(seen: Seen) -> int:
    new = set(_newcomers(seen.before))
    return sum(any(row.status == "failed" and row.account_id in new for row in state.rows) for state in seen.applies)


def _in(seen: Seen) -> bool:
    return set(_newcomers(seen.before)) <= seen.site.members(ACCESS)


class LicenceIsFull(Lesson):
    """The licence is full.

    {newcomers} begin today and need Confluence. Every seat of the licence is taken. The contracts of {ended} have
    ended, and their accounts are still active and still in confluence-users.
    """

    name = "licence-is-full"
    minutes = 8
    goal = "{newcomers} are in confluence-users, and nobody but {ended} has lost a seat."
    first = "Try to add the two to confluence-users, and read what the site says."
    start = Start(step=4)
    tools = ("members",)
    hints = (
        "The site refuses with “no free seat”. Trying again frees none.",
        "A seat is freed when somebody who holds one leaves the last group that gives access.",
        "Take {ended} out of confluence-users first, then add {newcomers}.",
    )
    turns = (
        Turn(
            "somebody-at-work",
            lambda s: bool(_workers(s)),
            "You took the seat of {worker}, who works here. Undo that; the contracts that ended are others.",
            lambda s: {"worker": s.site.names_of(_workers(s))},
            # The next one of the same kind: at work, and with no other way to a seat.
            lambda do: do.change("remove", ACCESS, _by_access_alone(do.look().before)[2:3]),
        ),
        Turn(
            "a-guest",
            lambda s: bool(s.went(GUESTS)),
            "You took {guest} out of confluence-guests. That is no seat of the two newcomers, and a partner is locked "
            "out now.",
            lambda s: {"guest": s.site.names_of(s.went(GUESTS))},
            lambda do: do.register(GUESTS).change("remove", GUESTS, [min(do.site.members(GUESTS))]),
        ),
        Turn(
            "tried-again",
            lambda s: _refused(s) > 1 and not _in(s),
            "You have tried {times} times to add them. The licence stays full until a seat is freed.",
            lambda s: {"times": _refused(s)},
            lambda do: [do.change("add", ACCESS, _newcomers(do.look().before)) for _ in range(2)],
        ),
    )
    steps = (
        "Choose confluence-users, mark {ended}, press Preview, then Apply: two seats are freed.",
        "Add {newcomers} to confluence-users: Preview, Apply.",
    )
    shown = "The two newcomers have the seats of those who left, and nobody at work lost one."
    at_work = "At work, ask “why-a-seat” before you buy more: the preview says whose seats a change frees."

    def orders(self, seen: Seen) -> tuple[Mapping[str, Any], ...]:
        return ({"do": "switches", "set": {"seats": seen.site.licensed}},)

    def facts(self, seen: Seen) -> dict[str, tuple[str, ...]]:
        before = seen.before
        return {"newcomers": before.names_of(_newcomers(before)), "ended": before.names_of(_ended(before))}

    def attempted(self, seen: Seen) -> bool:
        return bool(seen.applies) or bool(seen.changed)

    def right(self, seen: Seen) -> bool:
        return _in(seen) and not _workers(seen) and not seen.went(GUESTS)

    def missing(self, seen: Seen) -> str:
        return f"{len(set(_newcomers(seen.before)) - seen.site.members(ACCESS))} of the newcomers have no access yet."

    def solve(self, do: Doer) -> None:
        before = do.look().before
        do.change("remove", ACCESS, _ended(before))
        do.change("add", ACCESS, _newcomers(before))


def kill_an_apply(do: Doer) -> None:
    """Begin to put six people into the group, and stop after two, as somebody whose computer goes to sleep."""
    do.register(GROUP)
    people = outsiders(do.site, GROUP, 6)
    do.notes["wanted"] = list(people)
    do.change("add", GROUP, people, cancel_after=2)


def outside(seen: Seen) -> frozenset[str]:
    """Return who of the six is not in the group."""
    return seen.noted("wanted") - seen.site.members(GROUP)


def dropped(seen: Seen) -> bool:
    """Tell whether the apply was dropped before all six were in."""
    return any(state.dropped for state in seen.applies_before) and bool(outside(seen))


def taken_up(seen: Seen) -> bool:
    """Tell whether anything became of the apply that was killed, or a new one was made."""
    return bool(seen.applies) or any(state.dropped or state.finished for state in seen.applies_before)


def left_open(seen: Seen) -> bool:
    """Tell whether an apply is neither finished nor dropped."""
    return not all(state.finished or state.dropped for state in (*seen.applies_before, *seen.applies))


def _back_out(seen: Seen) -> frozenset[str]:
    return (seen.before.members(GROUP) & seen.noted("wanted")) - seen.site.members(GROUP)


class KilledInTheMiddle(Lesson):
    """Killed in the middle.

    You were adding six people to support-tier-2 when your computer went to sleep. The journal says that two are in;
    four are not.
    """

    name = "killed-in-the-middle"
    minutes = 8
    goal = "All six are in support-tier-2, nobody else was changed, and no apply is left open."
    first = "Open the group and read what the component says about the apply that is not finished."
    start = Start(step=4)
    tools = ("members",)
    hints = (
        "The component offers to resume what was begun. It reads the site before it does anything.",
        "Press “Resume”: the rest is shown as a preview. Read it, then apply it.",
    )
    turns = (
        Turn(
            "undone",
            lambda s: bool(_back_out(s)),
            "You took {out_again} out again, who were in already. The six are wanted in.",
            lambda s: {"out_again": s.site.names_of(_back_out(s))},
            lambda do: do.drop().undo(),
        ),
        Turn(
            "dropped",
            dropped,
            "You dropped the apply, and {outside} are still outside. Dropping leaves things as they are.",
            lambda s: {"outside": s.site.names_of(outside(s))},
            lambda do: do.drop(),
        ),
        Turn(
            "a-new-plan",
            lambda s: bool(s.done(GROUP, "add")),
            "It works: you made a new plan for {rest}. The journal now tells one change in two applies, and an auditor "
            "has to lay them together.",
            lambda s: {"rest": s.site.names_of(s.done(GROUP, "add"))},
            lambda do: (do.change("add", GROUP, do.look().marks.extra["wanted"]), do.resume()),
            remark=True,
        ),
    )
    steps = (
        "Open support-tier-2: the component says that an apply of six is not finished.",
        "Press “Resume”, read the preview of the remaining four, and apply it.",
    )
    shown = "The apply was finished where it had stopped: six are in, in one story."
    at_work = "At work, nothing is lost when a kernel dies: resume reads from the site what became of the last call."

    def prepare(self, do: Doer) -> None:
        kill_an_apply(do)

    def attempted(self, seen: Seen) -> bool:
        return bool(seen.changed) or taken_up(seen)

    def right(self, seen: Seen) -> bool:
        whole = not outside(seen) and not left_open(seen) and set(seen.changed) <= {GROUP}
        return whole and not seen.went(GROUP) and seen.came(GROUP) <= seen.noted("wanted")

    def missing(self, seen: Seen) -> str:
        left = len(outside(seen))
        return f"{left} of the six are not in yet." if left else "An apply is still open: resume it, or drop it."

    def solve(self, do: Doer) -> None:
        do.resume()


def _synced(seen: Seen) -> bool:
    return any(state.mode == "sync" for state in seen.applies)


class UndoAfterAColleague(Lesson):
    """Undo after a colleague.

    You put five people into support-tier-2, the wrong five. Before you noticed, a colleague put {theirs} into the same
    group, and that was right.
    """

    name = "undo-after-a-colleague"
    minutes = 8
    goal = "Your five are out of support-tier-2, and {theirs} is still in it."
    first = "Open the group, and look at what Undo would do."
    start = Start(step=4)
    tools = ("members",)
    hints = (
        "A list from yesterday knows nothing of what a colleague did since.",
        "“Undo” plans the opposite of your own apply, and leaves alone what others have changed.",
    )
    turns = (
        Turn(
            "synced-to-an-old-list",
            lambda s: _synced(s) and bool(s.noted("theirs") & s.went(GROUP)),
            "You made {synced} equal to an old list. The list did not know what your colleague had done, and undid it.",
            lambda s: {"synced": GROUP},
            lambda do: do.change("sync", GROUP, do.look().marks.extra["old"]),
        ),
        Turn(
            "theirs-too",
            lambda s: bool(s.noted("theirs") & s.went(GROUP)),
            "You took {theirs_too} out as well, whom your colleague had put in.",
            lambda s: {"theirs_too": s.site.names_of(s.noted("theirs") & s.went(GROUP))},
            lambda do: do.change("remove", GROUP, [*do.look().noted("own"), *do.look().noted("theirs")]),
        ),
        Turn(
            "some-left",
            lambda s: bool(s.went(GROUP)) and bool(s.noted("own") & s.site.members(GROUP)),
            "{still_in} are still in the group, by your apply.",
            lambda s: {"still_in": s.site.names_of(s.noted("own") & s.site.members(GROUP))},
            lambda do: do.change("remove", GROUP, sorted(do.look().noted("own"))[:2]),
        ),
    )
    steps = (
        "Open support-tier-2 and press “Undo”: the preview shows five rows, all of them yours.",
        "Apply it.",
    )
    shown = "Your five are out, and your colleague's change stands."
    at_work = "At work, undo by the journal and not by a list: a list is as old as its last line."

    def prepare(self, do: Doer) -> None:
        do.register(GROUP)
        do.notes["old"] = sorted(do.site.members(GROUP))
        people = outsiders(do.site, GROUP, 6)
        do.notes["own"], do.notes["theirs"] = list(people[:5]), list(people[5:])
        do.change("add", GROUP, people[:5])
        do.order(*({"do": "add", "group": GROUP, "account": one} for one in people[5:]))

    def facts(self, seen: Seen) -> dict[str, tuple[str, ...]]:
        return {"theirs": seen.before.names_of(seen.marks.extra.get("theirs", ()))}

    def attempted(self, seen: Seen) -> bool:
        return bool(seen.changed) or bool(seen.applies)

    def right(self, seen: Seen) -> bool:
        return seen.changed == {GROUP: seen.noted("own")} and seen.went(GROUP) == seen.noted("own")

    def missing(self, seen: Seen) -> str:
        return "The group is not as it should be: your five out, everybody else as they were."

    def solve(self, do: Doer) -> None:
        do.undo()


LESSONS = (LicenceIsFull(), KilledInTheMiddle(), UndoAfterAColleague())
