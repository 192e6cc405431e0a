"""Chapter C: who has access and should not, and what an answer is worth."""

from __future__ import annotations

from spokekit.training.doer import Doer
from spokekit.training.lesson import Lesson, Named, Start, Turn
from spokekit.training.lessons.a_mending import TWELVE
from spokekit.training.lessons.c_review import QUESTION, AccessReview, accepted, finding_ids
from spokekit.training.seen import Seen, SiteState

ACCESS = "confluence-users"


def leavers(seen: Seen, group: str = ACCESS) -> frozenset[str]:
    """Return who was in a group at the beginning with an account that is not active."""
    return frozenset(a for a in seen.before.members(group) if seen.before.people[a].status != "active")


def _gone_wrong(seen: Seen) -> frozenset[str]:
    return seen.went(ACCESS) - leavers(seen)


def _elsewhere(seen: Seen) -> dict[str, frozenset[str]]:
    return {name: people for name, people in seen.changed.items() if name != ACCESS}


class LeaversWithAccess(Lesson):
    """A leaver with access.

    People have left the company. Their accounts are deactivated, and they are still in confluence-users: whoever
    reactivates such an account by mistake gives the access back with it.
    """

    name = "leavers-with-access"
    minutes = 10
    goal = (
        "No deactivated account is in confluence-users any more, nobody else was changed, and the journal says who "
        "did it."
    )
    first = "Read who is in confluence-users, and filter for accounts that are not active."
    start = Start(step=4)
    tools = ("members",)
    hints = (
        "In the list of members, the words behind a name say what kind of account it is.",
        "The filter takes “inactive”, too. There is more than one.",
        "Choose confluence-users, mark the accounts that are inactive, press Preview, read it, press Apply.",
    )
    turns = (
        Turn(
            "somebody-active",
            lambda s: bool(_gone_wrong(s)),
            "You took {active} out of confluence-users, whose account is active: that is a person at work without "
            "Confluence. Undo it.",
            lambda s: {"active": s.site.names_of(_gone_wrong(s))},
            lambda do: do.change("remove", ACCESS, do.site.at_work(do.site.members(ACCESS))[:1]),
        ),
        Turn(
            "other-group",
            lambda s: bool(_elsewhere(s)),
            "You changed {other_group}. That may be right for another day; the goal is about confluence-users.",
            lambda s: {"other_group": sorted(_elsewhere(s))},
            lambda do: (
                do.register("procurement"),
                do.change("remove", "procurement", sorted(leavers(do.look(), "procurement"))),
            ),
        ),
        Turn(
            "past-the-journal",
            lambda s: bool(s.went(ACCESS) - s.done(ACCESS, "remove")),
            "{untold} left confluence-users, and your journal knows nothing of it. An auditor will ask who did that: "
            "start over and do it with Preview and Apply.",
            lambda s: {"untold": s.site.names_of(s.went(ACCESS) - s.done(ACCESS, "remove"))},
            lambda do: do.order(
                *({"do": "remove", "group": ACCESS, "account": one} for one in sorted(leavers(do.look())))
            ),
        ),
        Turn(
            "one-left",
            lambda s: bool(s.went(ACCESS)) and bool(leavers(s) - s.went(ACCESS)),
            "{left} is still in confluence-users, with a deactivated account. You have removed {removed} of them.",
            lambda s: {"left": s.site.names_of(leavers(s) - s.went(ACCESS)), "removed": len(s.went(ACCESS))},
            lambda do: do.change("remove", ACCESS, [min(leavers(do.look()))]),
        ),
    )
    steps = (
        "Choose the group confluence-users and read who is in it.",
        "Filter for “inactive” and mark all that are listed.",
        "Press Preview: every row says remove; no seat is freed, for a deactivated account has none. Press Apply.",
    )
    shown = (
        "Every deactivated account is out of confluence-users, nobody else was touched, and the journal has each row."
    )
    at_work = (
        "At work, ask this question every month: deactivating an account leaves its memberships, and they come back "
        "with it."
    )

    def attempted(self, seen: Seen) -> bool:
        return bool(seen.changed) or bool(seen.applies)

    def right(self, seen: Seen) -> bool:
        gone = leavers(seen)
        return seen.changed == {ACCESS: gone} and seen.went(ACCESS) == gone and gone <= seen.done(ACCESS, "remove")

    def missing(self, seen: Seen) -> str:
        return f"{len(leavers(seen) & seen.site.members(ACCESS))} deactivated accounts are still in confluence-users."

    def solve(self, do: Doer) -> None:
        do.change("remove", ACCESS, sorted(leavers(do.look()) & do.site.members(ACCESS)))


GUESTED, GUESTS = "agency-partners", "confluence-guests"
SPACES = ("HANDBOOK", "MKT", "PARTNER", "SALES")


def _opened(seen: Seen) -> tuple[str, ...]:
    return tuple(map(str, seen.marks.extra["opened"]))


def _others(seen: Seen) -> tuple[str, ...]:
    right = _opened(seen)
    return (right[0], next(one for one in SPACES if one not in right))


def _guest(seen: Seen) -> str:
    return min(a for a in seen.before.members(GUESTED) if seen.before.people[a].is_guest)


class GuestInManyGroups(Lesson):
    """A guest in many groups.

    {guest} comes from a partner company and is a guest: in confluence-guests, which makes somebody one, and in
    agency-partners, where employees are too. The work with the agency is over; being a guest is not.
    """

    name = "guest-in-many-groups"
    minutes = 8
    goal = (
        "{guest} is out of agency-partners and still a guest, nobody else was changed, and you have answered which "
        "spaces that group opens."
    )
    first = "Ask which spaces agency-partners opens, and answer below; then take {guest} out of it."
    start = Start(step=2)
    tools = ("question", "members")
    several = True
    hints = (
        "“spaces-of-group” tells which spaces a group opens; confluence-guests is another group.",
        "Two spaces name agency-partners among their grants.",
        "Answer with both, then choose agency-partners, mark {guest} alone, press Preview and Apply.",
    )
    turns = (
        Turn(
            "out-of-the-guests",
            lambda s: bool(s.went(GUESTS)),
            "You took {no_guest} out of confluence-guests: that ends being a guest at all, in every space.",
            lambda s: {"no_guest": s.site.names_of(s.went(GUESTS))},
            lambda do: do.register(GUESTS).change("remove", GUESTS, [_guest(do.look())]),
        ),
        Turn(
            "an-employee",
            lambda s: bool(s.went(GUESTED) - {_guest(s)}),
            "You took {colleague} out of agency-partners, whom nobody asked about.",
            lambda s: {"colleague": s.site.names_of(s.went(GUESTED) - {_guest(s)})},
            lambda do: do.change("remove", GUESTED, sorted(do.site.members(GUESTED))),
        ),
        Turn(
            "other-spaces",
            lambda s: bool(s.answer) and set(s.answer) != set(_opened(s)),
            "You answered {spaces}. Ask “spaces-of-group” for agency-partners: it opens two spaces, by its own grants.",
            lambda s: {"spaces": s.answer},
            lambda do: do.answer(*_others(do.look())),
        ),
    )
    steps = (
        "Ask “spaces-of-group” for agency-partners, and answer {opened}.",
        "Choose the group agency-partners, mark {guest}, press Preview, then Apply.",
    )
    shown = "{guest} is out of the one group and keeps the rest, and you know what was closed by that."
    at_work = "At work, before somebody leaves a group, ask what it opens: that is what they will miss on Monday."

    def prepare(self, do: Doer) -> None:
        do.edit(scopes=TWELVE)
        do.consent()
        do.register(GUESTED)
        do.walk(spaces=True)
        # Which spaces they are differs by world, and the site's state does not tell: the question does.
        do.notes["opened"] = sorted(do.audit().ask("spaces-of-group", group=GUESTED)["space_key"])

    def facts(self, seen: Seen) -> dict[str, Named]:
        return {"guest": seen.before.name_of(_guest(seen)), "opened": _opened(seen)}

    def choices(self, seen: Seen) -> tuple[str, ...]:
        return SPACES

    def attempted(self, seen: Seen) -> bool:
        return bool(seen.answer) or bool(seen.changed)

    def right(self, seen: Seen) -> bool:
        return (
            set(seen.answer) == set(_opened(seen)) and seen.changed == {GUESTED: {_guest(seen)}} and bool(seen.applies)
        )

    def missing(self, seen: Seen) -> str:
        return "One half is still missing: the answer, or the change in agency-partners."

    def solve(self, do: Doer) -> None:
        do.answer(*_opened(do.look()))
        do.change("remove", GUESTED, [_guest(do.look())])


def _paid(seen: Seen) -> int:
    """Return how many pages of members were read since the attempt began."""

    def good(site: SiteState) -> int:
        return site.counts.get("members", 0) - site.refused.get("members", 0)

    return good(seen.site) - good(seen.before)


def _unfinished(seen: Seen) -> int:
    from spokekit.audit.walk.checkpoint import unfinished

    found = unfinished(seen.connection.cloud_id or "") if seen.connection else None
    return found.ended if found else 0


class RateLimitInAWalk(Lesson):
    """A rate limit in the middle of a walk.

    The site is busy, and after a few pages it answers 429, too many requests. A walk may be interrupted, and what it
    has read is paid for: two points a person.
    """

    name = "rate-limit-in-a-walk"
    minutes = 6
    goal = "There is a new and complete snapshot of all groups, and no page was paid for twice."
    first = "Choose all groups of the site and start the walk."
    start = Start(step=4)
    tools = ("walk",)
    hints = (
        "A walk waits by itself when the site says 429, as long as the site asks for. Its line says until when.",
        "If you pressed Cancel: what was read is kept. Start the same walk again, and it goes on from there.",
    )
    turns = (
        Turn(
            "begun-anew",
            lambda s: s.new_snapshot and _paid(s) > len(s.site.groups) * 1.3,
            "Your walks read {pages} pages of members; {needed} would have done. Beginning anew pays for every group "
            "again, and an unfinished walk is continued for nothing.",
            lambda s: {"pages": _paid(s), "needed": len(s.site.groups)},
            lambda do: (do.walk(stop_after=15), do.walk(fresh=True)),
        ),
        Turn(
            "not-all-groups",
            lambda s: s.new_snapshot and _walked(s) < len(s.site.groups),
            "Your walk read {walked} groups of the site; the question is about all of them.",
            lambda s: {"walked": _walked(s)},
            lambda do: do.walk("registered"),
        ),
        Turn(
            "left-unfinished",
            lambda s: not s.new_snapshot and _unfinished(s) > 0,
            "Your walk stands still after {read} groups. Nothing is lost: start it again, and it goes on from there.",
            lambda s: {"read": _unfinished(s)},
            lambda do: do.walk(stop_after=9),
        ),
    )
    steps = (
        "Choose “All groups of the site”, press “What will it cost?”, then “Start the walk”.",
        "Let it wait when the site says 429; after Cancel, start it again.",
    )
    shown = "The snapshot is complete, and every page was paid for once."
    at_work = "At work, an hour has 65,000 points for all who use the app: a walk that waits is cheaper than two."

    def prepare(self, do: Doer) -> None:
        do.order({"do": "faults", "add": ["429:9x3@members"]})

    def attempted(self, seen: Seen) -> bool:
        return seen.new_snapshot or _unfinished(seen) > 0

    def right(self, seen: Seen) -> bool:
        whole = seen.complete and _walked(seen) == len(seen.site.groups)
        return seen.new_snapshot and whole and _paid(seen) <= len(seen.site.groups) * 1.3

    def missing(self, seen: Seen) -> str:
        return "The newest snapshot is not complete. Walk once more; what it lacks is read then."

    def solve(self, do: Doer) -> None:
        do.walk()


def _walked(seen: Seen) -> int:
    return int(seen.snapshot.completeness["walked"]) if seen.snapshot else 0


def _failed(seen: Seen) -> list[str]:
    ids = set(seen.snapshot.completeness["failed"]) if seen.snapshot else set()
    return sorted(name for name, group in seen.site.groups.items() if group.group_id in ids)


class IncompleteAudit(Lesson):
    """An audit that is not complete.

    Last week's audit found deactivated people in groups. Today's walk will meet trouble in two groups: what it cannot
    read is missing from its answers, and missing is not the same as mended.
    """

    name = "incomplete-audit"
    minutes = 8
    goal = "The findings of “inactive-in-groups” are reviewed on a new and complete snapshot, and none was accepted."
    first = "Walk all groups of the site, and read at the end how complete it was."
    start = Start(step=4)
    tools = ("walk", "findings")
    hints = (
        "The last line of the walk says what is missing. An answer from it begins with “Mind:”.",
        "Walk once more: the trouble passes, and what was missing is read.",
        "When the walk says that it is complete, list the findings of “inactive-in-groups” again. Accept none.",
    )
    turns = (
        Turn(
            "accepted-to-be-rid-of-it",
            lambda s: bool(accepted(s)),
            "You accepted “{accepted}”. Nobody has decided that this may stay; take the acceptance back.",
            lambda s: {"accepted": accepted(s)[0]},
            lambda do: do.walk() and do.accept(finding_ids(do)[:1], reason="It is known"),
        ),
        Turn(
            "from-an-incomplete-one",
            lambda s: s.new_snapshot and not s.complete,
            "The newest snapshot lacks {unread}. Whoever is in there is missing from every answer: walk again.",
            lambda s: {"unread": _failed(s)},
            lambda do: do.walk() and do.review(QUESTION),
        ),
    )
    steps = (
        "Walk all groups: the walk says that two of them failed.",
        "Walk again: now it is complete.",
        "List the findings of “inactive-in-groups”: they are all still there, and new.",
    )
    shown = "You reported from a complete snapshot, and no finding was called fixed because nobody could look."
    at_work = "At work, an auditor's first question is whether the list is whole; the completeness report answers it."

    def prepare(self, do: Doer) -> None:
        do.walk()
        do.review(QUESTION)
        # A walk asks a second time for each group that failed: so many strikes leave two of them.
        strikes = len(do.site.groups) + 2
        do.order({"do": "faults", "add": [f"missing-results:1x{strikes}@members"]})

    def attempted(self, seen: Seen) -> bool:
        return seen.new_snapshot or bool(accepted(seen))

    def right(self, seen: Seen) -> bool:
        return seen.new_snapshot and seen.complete and not accepted(seen) and self._reviewed(seen)

    def _reviewed(self, seen: Seen) -> bool:
        found = seen.findings
        return bool(len(found)) and seen.snapshot is not None and found["last_seen"].max() >= seen.snapshot.taken_at

    def missing(self, seen: Seen) -> str:
        return "The snapshot is complete. Now list the findings of “inactive-in-groups” on it."

    def solve(self, do: Doer) -> None:
        do.walk()
        do.walk()
        do.review(QUESTION)


LESSONS = (LeaversWithAccess(), GuestInManyGroups(), RateLimitInAWalk(), IncompleteAudit(), AccessReview())
