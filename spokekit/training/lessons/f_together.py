"""Chapter F: everything at once, alone or the whole class together."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from spokekit.training.doer import Doer
from spokekit.training.lesson import Lesson, Named, Start, Turn
from spokekit.training.lessons.c_audit import ACCESS, leavers
from spokekit.training.lessons.d_change import GROUP, dropped, kill_an_apply, left_open, outside, taken_up
from spokekit.training.seen import Seen, WriteSeen

TROUBLES = 3


def _still_in(seen: Seen) -> frozenset[str]:
    return leavers(seen) & seen.site.members(ACCESS)


def _came_back(seen: Seen) -> frozenset[str]:
    """Return who was taken out by the learner and put back by somebody else."""
    return _still_in(seen) & seen.done(ACCESS, "remove")


def mended(seen: Seen) -> int:
    """Return how many of the three troubles are mended."""
    return sum((seen.token_works, not _still_in(seen), not outside(seen) and not left_open(seen)))


def unexplained(seen: Seen) -> tuple[WriteSeen, ...]:
    """Return the writes on the site, by whoever's token, that no row of the journal explains."""
    states = (*seen.applies_before, *seen.applies)
    # Of one that is not known yet the journal has that it was sent.
    rows = (row for state in states for row in state.rows if row.status in ("done", "unknown"))
    told = Counter(WriteSeen(row.action, row.group, row.account_id) for row in rows)
    return tuple((Counter(seen.site.writes) - told).elements())


def _unasked(seen: Seen) -> tuple[WriteSeen, ...]:
    """Return the writes since the beginning that nobody asked for and that were not undone.

    What a colleague or a trainer does is no write over the API.
    """
    asked = {(ACCESS, one) for one in leavers(seen)} | {(GROUP, one) for one in seen.noted("wanted")}
    changed = {(group, one) for group, people in seen.changed.items() for one in people} - asked
    new = seen.site.writes[len(seen.before.writes) :]
    return tuple(write for write in new if (write.group, write.account_id) in changed)


def _people(seen: Seen, writes: Iterable[WriteSeen]) -> tuple[str, ...]:
    return seen.site.names_of({write.account_id for write in writes})


def _groups(writes: Iterable[WriteSeen]) -> list[str]:
    return sorted({write.group for write in writes})


def _past_the_journal(do: Doer) -> Doer:
    """Take the leavers out as a script does it that nobody reads."""
    group = do.site.groups[ACCESS].group_id
    with do.work.spoke() as spoke:
        for one in sorted(leavers(do.look())):
            spoke.remove_member_from_group_by_group_id(group, one)
    return do


class GameDay(Lesson):
    """Game day.

    Monday, nine o'clock. You come back from a long leave, and three things are waiting. Nobody has used the
    connection for 91 days. People have left the company and are still in confluence-users. And an apply to
    support-tier-2 was killed in the middle before you left: two of six are in. While you work, others work too.
    """

    name = "game-day"
    minutes = 20
    goal = (
        "The connection works again, no deactivated account is in confluence-users, all six are in support-tier-2 with "
        "no apply left open, and the journal explains every write on the site."
    )
    first = "Begin with the connection: without a token nothing else can be looked at."
    start = Start(step=4)
    tools = ("connection", "members")
    hints = (
        "Three troubles, one after the other: a consent, some leavers, an apply that is not finished. Each was a "
        "lesson of its own: “The consent is dead”, “A leaver with access”, “Killed in the middle”.",
        "After each step read the site again. A colleague reads the same list as you, and may put somebody back.",
        "Get OAuth Token at the connection that is there; remove all inactive accounts of confluence-users by Preview "
        "and Apply, list its members again, and remove who came back; resume the apply to support-tier-2.",
    )
    turns = (
        Turn(
            "no-journal",
            lambda s: bool(unexplained(s)),
            "{done} of 3 are mended. The site has a write in {where} on {whom} that your journal does not explain. An "
            "auditor asks who did that: start over, and do it with Preview and Apply.",
            lambda s: {"done": mended(s), "where": _groups(unexplained(s)), "whom": _people(s, unexplained(s))},
            lambda do: do.consent() and _past_the_journal(do),
        ),
        Turn(
            "nobody-asked",
            lambda s: bool(_unasked(s)),
            "{done} of 3 are mended. In a hurry you changed {unasked} in {there}, whom nobody asked about. Undo it: "
            "the journal knows how.",
            lambda s: {"done": mended(s), "unasked": _people(s, _unasked(s)), "there": _groups(_unasked(s))},
            lambda do: (
                do.consent(),
                do.change("remove", ACCESS, [*leavers(do.look()), do.site.at_work(do.site.members(ACCESS))[0]]),
            ),
        ),
        Turn(
            "dropped",
            dropped,
            "{done} of 3 are mended. The apply to support-tier-2 was dropped, and {outside} are still outside.",
            lambda s: {"done": mended(s), "outside": s.site.names_of(outside(s))},
            lambda do: (do.consent(), do.drop()),
        ),
        Turn(
            "came-back",
            lambda s: bool(_came_back(s)),
            "{done} of 3 are mended. {back} is in confluence-users again: a colleague has put them back after you had "
            "taken them out. Read the group again before you say that it is done.",
            lambda s: {"done": mended(s), "back": s.site.names_of(_came_back(s))},
            lambda do: (do.consent(), do.resume(), do.change("remove", ACCESS, sorted(leavers(do.look())))),
        ),
        Turn(
            "new-connection",
            lambda s: bool(s.new_connections),
            "{done} of 3 are mended. You made a new connection, “{second}”: the groups, the journal and the apply that "
            "is not finished stay with the old one, which lacked a consent and nothing else.",
            lambda s: {"done": mended(s), "second": [c.name for c in s.new_connections]},
            lambda do: do.consent(connection=do.add_connection("Second connection")),
        ),
    )
    steps = (
        "Press “Get OAuth Token” at the connection that is there, and Accept.",
        "Choose confluence-users, mark {leavers}, Preview, Apply. Then list its members again: one is back, by a "
        "colleague. Remove that one too, and tell the colleague.",
        "Choose support-tier-2: press “Resume”, read the preview of the remaining four, and apply it.",
    )
    shown = "Three of three are mended, in any order, and the journal explains every write on the site."
    at_work = (
        "At work, the last step of an incident is to read again: the site belongs to others too, and the journal is "
        "what you show afterwards."
    )

    def prepare(self, do: Doer) -> None:
        kill_an_apply(do)
        back = min(leavers(do.look()))
        put_back = {"do": "add", "group": ACCESS, "account": back}
        do.order(
            {"do": "advance", "seconds": 91 * 86_400, "even": True},
            {"do": "trigger", "at": "remove", "nth": 2, "when": "after", "orders": [put_back]},
        )

    def facts(self, seen: Seen) -> dict[str, Named]:
        return {"leavers": seen.before.names_of(leavers(seen))}

    def attempted(self, seen: Seen) -> bool:
        written = len(seen.site.writes) > len(seen.before.writes)
        return taken_up(seen) or bool(seen.new_connections) or written or seen.token_works

    def right(self, seen: Seen) -> bool:
        return mended(seen) == TROUBLES and not unexplained(seen) and not _unasked(seen)

    def missing(self, seen: Seen) -> str:
        left = [
            words
            for words, there in (
                ("the connection has no token that works", not seen.token_works),
                ("deactivated accounts are in confluence-users", bool(_still_in(seen))),
                ("the apply to support-tier-2 is not finished", bool(outside(seen)) or left_open(seen)),
            )
            if there
        ]
        return f"{mended(seen)} of 3 are mended, and every write is explained. Still open: {'; '.join(left)}."

    def solve(self, do: Doer) -> None:
        do.consent()
        do.resume()
        do.change("remove", ACCESS, sorted(leavers(do.look())))
        while left := sorted(_still_in(do.look())):
            do.change("remove", ACCESS, left)


LESSONS = (GameDay(),)
