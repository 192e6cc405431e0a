"""Chapter B: which groups are registered, and which are not ours to change."""

from __future__ import annotations

from spokekit.training.doer import Doer
from spokekit.training.lesson import Lesson, Start, Turn
from spokekit.training.lessons.a_mending import TWELVE
from spokekit.training.seen import Seen


def with_access(seen: Seen) -> frozenset[str]:
    """Return the names of the groups that give access to Confluence."""
    return frozenset(name for name, group in seen.site.groups.items() if group.access)


def _by_name(seen: Seen) -> frozenset[str]:
    return frozenset(name for name in seen.site.groups if "confluence" in name)


def _registered(seen: Seen, part: str) -> list[str]:
    return sorted(name for name in seen.registered if part in name)


class TheRightGroups(Lesson):
    """The right groups.

    spokekit changes members in registered groups only. Your manager wants exactly the groups registered that give
    access to Confluence: no group less, and none that only sounds like it.
    """

    name = "the-right-groups"
    minutes = 8
    goal = "Exactly the groups that give access to Confluence are registered."
    first = "Open the list of groups below and mark some."
    start = Start(step=3)
    tools = ("groups",)
    hints = (
        "What a group gives stands behind its name in the list, not in its name.",
        "Leave the tick at “only groups that give access”: what is listed then is what you need.",
        "Mark all that are listed with the tick on, press “Add →”, then OK. A synced group belongs to them too.",
    )
    turns = (
        Turn(
            "by-name",
            lambda s: bool(s.registered) and s.registered == _by_name(s),
            "You registered {by_name}: those whose name says Confluence. A name gives nobody access; look at the words "
            "behind it.",
            lambda s: {"by_name": sorted(s.registered)},
            lambda do: do.register(*sorted(_by_name(do.look()))),
        ),
        Turn(
            "a-jira-group",
            lambda s: bool(_registered(s, "jira")),
            "You registered {jira}, which gives access to Jira and none to Confluence.",
            lambda s: {"jira": _registered(s, "jira")},
            lambda do: do.register(*sorted(with_access(do.look())), "jira-software-users"),
        ),
        Turn(
            "guests",
            lambda s: bool(_registered(s, "guest")),
            "You registered {guest_group}. Guests get into Confluence through it one space at a time, and it gives no "
            "product access that could be audited.",
            lambda s: {"guest_group": _registered(s, "guest")},
            lambda do: do.register(*sorted(with_access(do.look())), "confluence-guests"),
        ),
        Turn(
            "some-left-out",
            lambda s: bool(s.registered) and s.registered < with_access(s),
            "What you registered is right, and {count} of the groups that give access are still missing, {left_out} "
            "among them.",
            lambda s: {
                "count": len(with_access(s) - s.registered),
                "left_out": sorted(with_access(s) - s.registered)[0],
            },
            lambda do: do.register("confluence-users", "confluence-admins"),
        ),
    )
    steps = (
        "In the list of groups, leave “only groups that give access” ticked.",
        "Mark all of them, press “Add →”, then OK.",
        "The table of registered groups now shows for each what it gives.",
    )
    shown = "The registered groups are exactly those that give access to Confluence."
    at_work = (
        "At work this list decides what spokekit may ever change, and what an auditor asks about first; a group's name "
        "is no evidence for either."
    )

    def attempted(self, seen: Seen) -> bool:
        return bool(seen.registered)

    def right(self, seen: Seen) -> bool:
        return seen.registered == with_access(seen)

    def missing(self, seen: Seen) -> str:
        extra = len(seen.registered - with_access(seen))
        return f"{extra} of the registered groups give no access to Confluence. Take them out of Selected."

    def solve(self, do: Doer) -> None:
        do.register(*sorted(with_access(do.look())))


PAIR = ("finance-reports", "finance_reports")
SYNCED = "okta-engineering"
THEM = "The identity provider (Okta); the change arrives here by itself"
US = "We do, with spokekit"
ADMIN = "A site administrator, at admin.atlassian.com"


def _edits(seen: Seen) -> str:
    return str(seen.marks.extra["edits"])


def _reads(seen: Seen) -> str:
    return next(name for name in PAIR if name != _edits(seen))


class NearDuplicateNames(Lesson):
    """Nearly the same name.

    Two groups differ in one sign: finance-reports and finance_reports. The Finance team wants the one managed whose
    members may edit the Finance space. Somebody has walked the site for you, spaces and their grants included.
    """

    name = "near-duplicate-names"
    minutes = 8
    goal = "Only the group whose members may edit the Finance space is registered."
    first = "Ask where each of the two groups is used."
    start = Start(step=2)
    tools = ("question", "groups")
    hints = (
        "The names say nothing. What the groups open is what differs.",
        "Ask “where-is-group-used” for finance-reports, then for finance_reports, and compare the operations.",
        "One of them only reads. Register the other one, and it alone.",
    )
    turns = (
        Turn(
            "both",
            lambda s: s.registered >= set(PAIR),
            "You registered {both}. One of them gives nothing that you were asked for, and from now on it can be "
            "changed by mistake.",
            lambda s: {"both": PAIR},
            lambda do: do.register(*PAIR),
        ),
        Turn(
            "the-other-one",
            lambda s: _reads(s) in s.registered,
            "You registered {reader}, whose members may only read the Finance space.",
            lambda s: {"reader": _reads(s)},
            lambda do: do.register(_reads(do.look())),
        ),
        Turn(
            "more-than-that",
            lambda s: bool(s.registered.difference(PAIR)),
            "You registered {more}, which the Finance team did not ask about.",
            lambda s: {"more": sorted(s.registered.difference(PAIR))},
            lambda do: do.register(_edits(do.look()), "legal-counsel"),
        ),
    )
    steps = (
        "Ask “where-is-group-used” for finance-reports, then for finance_reports.",
        "{edits} may create and delete pages in the Finance space; {reads} may only read it.",
        "Register {edits} alone.",
    )
    shown = "{edits} is registered, chosen by what it opens and not by how it is called."
    at_work = "At work, copy a group's id into the ticket: an id has no near-duplicate."

    def prepare(self, do: Doer) -> None:
        do.edit(scopes=TWELVE)
        do.consent()
        do.walk(spaces=True)
        # Which of the two it is differs by world, and the site's state does not tell: the question does.
        used = {name: do.audit().ask("where-is-group-used", group=name) for name in PAIR}
        do.notes["edits"] = next(name for name in PAIR if "create" in set(used[name]["operation"]))

    def facts(self, seen: Seen) -> dict[str, str]:
        return {"edits": _edits(seen), "reads": _reads(seen)}

    def attempted(self, seen: Seen) -> bool:
        return bool(seen.registered)

    def right(self, seen: Seen) -> bool:
        return seen.registered == {_edits(seen)}

    def solve(self, do: Doer) -> None:
        do.register(_edits(do.look()))


class SyncedGroup(Lesson):
    """A synced group.

    The personnel department asks you to take {person} out of okta-engineering today. The group is synced from outside.
    """

    name = "synced-group"
    minutes = 6
    goal = "You have answered who takes {person} out of okta-engineering, and the group is as it was."
    first = "Look at what kind of group okta-engineering is, then answer below."
    start = Start(step=4)
    tools = ("groups", "members")
    hints = (
        "In the list of all groups, the words behind okta-engineering say where it is managed.",
        "What is synced is written from outside; a change made here is refused, and would be undone by the next sync.",
    )
    turns = (
        Turn(
            "we-do",
            lambda s: s.answer == (US,),
            "You answered “{us}”. Confluence refuses to change okta-engineering: its members are written by the "
            "identity provider.",
            lambda s: {"us": s.answer},
            lambda do: do.answer(US),
        ),
        Turn(
            "a-site-admin",
            lambda s: s.answer == (ADMIN,),
            "You answered “{admin}”. An administrator there sees the group, and cannot change who is in it either: it "
            "is synced.",
            lambda s: {"admin": s.answer},
            lambda do: do.answer(ADMIN),
        ),
        Turn(
            "registered",
            lambda s: SYNCED in s.registered,
            "You registered {synced}. That changes nothing about it: every change in it is refused. Take it out again.",
            lambda s: {"synced": SYNCED},
            lambda do: do.register(SYNCED).answer(THEM),
        ),
    )
    steps = (
        "In the list of all groups, read the words behind okta-engineering: synced.",
        f"Answer: {THEM}.",
    )
    shown = "You know who changes a synced group, and left it alone."
    at_work = "At work, send such a request to whoever runs the identity provider, and check the group the day after."

    def facts(self, seen: Seen) -> dict[str, str]:
        return {"person": seen.before.names_of(seen.before.members(SYNCED))[0]}

    def choices(self, seen: Seen) -> tuple[str, ...]:
        return (US, THEM, ADMIN)

    def attempted(self, seen: Seen) -> bool:
        return bool(seen.answer) or SYNCED in seen.registered

    def right(self, seen: Seen) -> bool:
        return seen.answer == (THEM,) and SYNCED not in seen.registered and SYNCED not in seen.changed

    def missing(self, seen: Seen) -> str:
        return "Answer who changes the group."

    def solve(self, do: Doer) -> None:
        do.answer(THEM)


LESSONS = (TheRightGroups(), NearDuplicateNames(), SyncedGroup())
