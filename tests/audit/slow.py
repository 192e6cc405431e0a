"""Every question once more, in loops over dictionaries: slow, obvious, and without any SQL.

A function takes the history as a list of (time, frames), oldest first, the parameters already looked up to ids, and
returns rows as tuples in any order.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

Answer = list[tuple[Any, ...]]
GONE = ("inactive", "closed")


class State:
    """One pull as dictionaries."""

    def __init__(self, taken_at: datetime, frames: Any) -> None:
        self.taken_at = taken_at
        self.groups = {r["group_id"]: r for r in frames.groups.to_dict("records")}
        self.users = {r["account_id"]: r for r in frames.users.to_dict("records")}
        self.spaces = {r["space_id"]: r for r in frames.spaces.to_dict("records")}
        self.grants = frames.grants.to_dict("records")
        self.coverage = dict.fromkeys(self.groups, "walked")
        if frames.coverage is not None:
            self.coverage |= {r["group_id"]: r["state"] for r in frames.coverage.to_dict("records")}
        columns = (frames.memberships[c].astype(str) for c in ("group_id", "account_id"))
        self.pairs = set(zip(*columns, strict=True))
        self.members: dict[str, set[str]] = defaultdict(set)
        self.groups_of: dict[str, set[str]] = defaultdict(set)
        for group, account in self.pairs:
            self.members[group].add(account)
            self.groups_of[account].add(group)

    def known(self, group: str, *counts: int) -> tuple[int | None, ...]:
        """The counts, or nothing for each when the group was never read."""
        return counts if self.coverage[group] in ("walked", "partial") else (None,) * len(counts)

    def gives(self, group: str, *kinds: str) -> bool:
        return bool(set(self.groups[group]["access"].split(", ")) & set(kinds))

    def opens(self, group: str) -> bool:
        return self.gives(group, "user", "admin")

    def seat(self, account: str) -> bool:
        user = self.users[account]
        return self.can_use(account) and user["account_type"] != "app" and not user["is_guest"]

    def can_use(self, account: str) -> bool:
        user = self.users[account]
        return user["licensed"] and user["account_status"] not in GONE

    def levels(self) -> dict[tuple[str, str, str], tuple[bool, int]]:
        """(space, principal type, principal) that see it -> whether they manage it, and the number of grants."""
        found: dict[tuple[str, str, str], list[dict[str, Any]]] = defaultdict(list)
        for grant in self.grants:
            found[grant["space_id"], grant["principal_type"], grant["principal_id"]].append(grant)
        return {
            key: (any(map(manages, given)), len(given))
            for key, given in found.items()
            if any(sees(one) or manages(one) for one in given)
        }


def sees(grant: dict[str, Any]) -> bool:
    return bool(grant["role"]) or (grant["operation"], grant["target"]) == ("read", "space")


def manages(grant: dict[str, Any]) -> bool:
    return grant["role"].lower() == "admin" or (grant["operation"], grant["target"]) == ("administer", "space")


def space(state: State, space_id: str) -> tuple[str, str, str]:
    one = state.spaces[space_id]
    return one["space_key"], one["name"], space_id


def group(state: State, group_id: str) -> tuple[str, str]:
    return state.groups[group_id]["name"], group_id


def person(state: State, account: str) -> tuple[str, str]:
    return state.users[account]["display_name"], account


# -- people --------------------------------------------------------------------------------------------------


def members_of_groups(past: list[State], group: str | None) -> Answer:
    s = past[-1]
    return [
        (s.groups[g]["name"], g, *person(s, a), *(s.users[a][c] for c in ("email", "account_type", "account_status")),
         s.users[a]["is_guest"], s.users[a]["licensed"])
        for g, a in s.pairs
        if group in (None, g)
    ]  # fmt: skip


def group_sizes(past: list[State]) -> Answer:
    s = past[-1]
    return [
        (r["name"], g, r["access"], r["managed_by"],
         *s.known(g, len(s.members[g]), sum(s.users[a]["account_status"] in GONE for a in s.members[g]),
                  sum(s.users[a]["is_guest"] for a in s.members[g])), s.coverage[g])
        for g, r in s.groups.items()
    ]  # fmt: skip


def licensed_people(past: list[State]) -> Answer:
    s = past[-1]
    made = []
    for a, user in s.users.items():
        ways = sum(s.opens(g) for g in s.groups_of[a])
        if ways and s.seat(a):
            made.append((*person(s, a), user["email"], user["account_status"], ways))
    return made


def groups_with_access(past: list[State]) -> Answer:
    s = past[-1]
    made = []
    for g, row in s.groups.items():
        if row["access"]:
            seats = [a for a in s.members[g] if s.opens(g) and s.seat(a)]
            alone = [a for a in seats if sum(s.opens(x) for x in s.groups_of[a]) == 1]
            counts = s.known(g, len(s.members[g]), len(seats), len(alone))
            made.append((*group(s, g), row["access"], row["managed_by"], *counts, s.coverage[g]))
    return made


def why_a_seat(past: list[State], person: str) -> Answer:
    s = past[-1]
    u = s.users[person]
    return [
        (u["display_name"], person, *group(s, g), s.groups[g]["access"], s.groups[g]["managed_by"], u["licensed"],
         u["account_status"])
        for g in s.groups_of[person]
        if s.opens(g)
    ]  # fmt: skip


def inactive_in_groups(past: list[State]) -> Answer:
    s = past[-1]
    return [
        (*person(s, a), s.users[a]["account_status"], s.users[a]["licensed"], *group(s, g), s.groups[g]["access"])
        for g, a in s.pairs
        if s.users[a]["account_status"] in GONE
    ]


def unlicensed_with_access(past: list[State]) -> Answer:
    s = past[-1]
    return [
        (*person(s, a), s.users[a]["account_type"], s.users[a]["account_status"], *group(s, g))
        for g, a in s.pairs
        if s.opens(g) and not s.users[a]["licensed"]
    ]


def groups_without_members(past: list[State]) -> Answer:
    s = past[-1]
    return [
        (*group(s, g), r["access"], r["managed_by"], r["usage_type"]) for g, r in s.groups.items() if not s.members[g]
    ]


def unused_groups(past: list[State]) -> Answer:
    s = past[-1]
    named = {grant["principal_id"] for grant in s.grants if grant["principal_type"] == "group"}
    return [
        (*group(s, g), r["managed_by"], r["usage_type"], *s.known(g, len(s.members[g])), s.coverage[g])
        for g, r in s.groups.items()
        if not r["access"] and g not in named
    ]


def missing_from_group(past: list[State], group: str) -> Answer:
    return [row[:3] for row in licensed_people(past) if row[1] not in past[-1].members[group]]


def in_several_access_groups(past: list[State], at_least: int) -> Answer:
    s = past[-1]
    counts = {a: sum(s.opens(g) for g in s.groups_of[a]) for a in s.users if s.can_use(a)}
    return [(*person(s, a), n) for a, n in counts.items() if n >= max(1, at_least)]


def in_these_not_those(past: list[State], all_of: list[str], none_of: list[str]) -> Answer:
    s = past[-1]
    return [
        (*person(s, a), u["account_type"], u["account_status"])
        for a, u in s.users.items()
        if all(g in s.groups_of[a] for g in all_of) and not any(g in s.groups_of[a] for g in none_of)
    ]


def admins(past: list[State]) -> Answer:
    s = past[-1]
    kinds = (("product", "admin"), ("site", "site-admin"))
    return [
        (*person(s, a), s.users[a]["account_status"], kind, *group(s, g))
        for g, a in s.pairs
        for kind, access in kinds
        if s.gives(g, access)
    ]


def app_users(past: list[State]) -> Answer:
    s = past[-1]
    return [
        (*person(s, a), *group(s, g), s.groups[g]["access"]) for g, a in s.pairs if s.users[a]["account_type"] == "app"
    ]


def guests_in_groups(past: list[State]) -> Answer:
    s = past[-1]
    return [
        (*person(s, a), s.users[a]["account_status"], *group(s, g), s.groups[g]["access"])
        for g, a in s.pairs
        if s.users[a]["is_guest"]
    ]


def similar_groups(past: list[State], alike: int, at_most: int) -> Answer:
    s = past[-1]
    small = [g for g in s.groups if 0 < len(s.members[g]) <= at_most]
    made = []
    for i, one in enumerate(small):
        for two in small[i + 1 :]:
            shared, either = len(s.members[one] & s.members[two]), len(s.members[one] | s.members[two])
            if shared and 100 * shared >= alike * either:
                sizes = len(s.members[one]), len(s.members[two])
                made.append((*group(s, one), *group(s, two), *sizes, shared, round(100 * shared / either, 6)))
    return made


def same_name_accounts(past: list[State]) -> Answer:
    s = past[-1]
    people = {a: u for a, u in s.users.items() if u["account_type"] != "app"}
    counts = Counter(u["display_name"].lower() for u in people.values())
    return [
        (u["display_name"], counts[u["display_name"].lower()], a, u["email"], u["account_type"], u["account_status"])
        for a, u in people.items()
        if counts[u["display_name"].lower()] > 1
    ]


# -- spaces --------------------------------------------------------------------------------------------------


def where_is_group_used(past: list[State], group: str) -> Answer:
    s = past[-1]
    access = s.groups[group]["access"]
    made: Answer = [("access to the product", "", "", "", access, "", "")] if access else []
    for g in s.grants:
        if (g["principal_type"], g["principal_id"]) == ("group", group):
            made.append(("space", *space(s, g["space_id"]), g["operation"], g["target"], g["role"]))
    return made


def spaces_of_group(past: list[State], group: str) -> Answer:
    s = past[-1]
    return [
        (*space(s, i), s.spaces[i]["type"], s.spaces[i]["status"], manage)
        for (i, kind, who), (manage, _) in s.levels().items()
        if (kind, who) == ("group", group)
    ]


def spaces_of_person(past: list[State], person: str) -> Answer:
    s = past[-1]
    user = s.users[person]
    classes = {"anonymous-users", "authenticated-users"}
    if user["licensed"] and not user["is_guest"]:
        classes.add("all-licensed-users")
    if any(s.gives(g, "admin") for g in s.groups_of[person]):
        classes.add("all-product-admins")
    made = []
    for (i, kind, who), (manage, _) in s.levels().items():
        status = s.spaces[i]["status"]
        if kind == "group" and who in s.groups_of[person]:
            made.append((*space(s, i), status, "group", *group(s, who), manage))
        if kind == "user" and who == person:
            made.append((*space(s, i), status, "person", user["display_name"], person, manage))
        if kind == "access-class" and who in classes:
            made.append((*space(s, i), status, "everybody", who, who, manage))
    return made


def people_of_space(past: list[State], space: str) -> Answer:
    s = past[-1]

    def about(a: str) -> tuple[Any, ...]:
        u = s.users[a]
        return (u["display_name"], a, u["account_status"], u["licensed"], u["is_guest"])

    made: Answer = []
    for (i, kind, who), (manage, _) in s.levels().items():
        if i != space:
            continue
        if kind == "group":
            made += [(*about(a), "group", *group(s, who), manage) for a in s.members[who]]
        elif kind == "user":
            made.append((*about(who), "person", *person(s, who), manage))
        else:
            made.append(("", "", "", False, False, "everybody", who, who, manage))
    return made


def open_spaces(past: list[State]) -> Answer:
    s = past[-1]
    return [
        (*space(s, i), s.spaces[i]["type"], s.spaces[i]["status"], who, manage)
        for (i, kind, who), (manage, _) in s.levels().items()
        if kind not in ("group", "user")
    ]


def guests_in_spaces(past: list[State]) -> Answer:
    s = past[-1]
    made: Answer = []
    for (i, kind, who), _ in s.levels().items():
        paths = [(a, "group", s.groups[who]["name"]) for a in s.members[who]] if kind == "group" else []
        paths += [(who, "person", s.users[who]["display_name"])] if kind == "user" else []
        for a, via, through in paths:
            if s.users[a]["is_guest"]:
                made.append((*person(s, a), s.users[a]["account_status"], *space(s, i), via, through))
    return made


def space_admins(past: list[State]) -> Answer:
    s = past[-1]
    made = set()
    for g in filter(manages, s.grants):
        who = g["principal_id"]
        paths = [(a, "group", s.groups[who]["name"]) for a in s.members[who]] if g["principal_type"] == "group" else []
        paths += [(who, "person", s.users[who]["display_name"])] if g["principal_type"] == "user" else []
        made |= {(*space(s, g["space_id"]), *person(s, a), s.users[a]["account_status"], v, t) for a, v, t in paths}
    return list(made)


def spaces_without_admin(past: list[State]) -> Answer:
    s = past[-1]
    made = []
    for i, row in s.spaces.items():
        holders = [g for g in s.grants if g["space_id"] == i and manages(g)]
        accounts = {g["principal_id"] for g in holders if g["principal_type"] == "user"}
        for g in holders:
            accounts |= s.members[g["principal_id"]] if g["principal_type"] == "group" else set()
        alive = any(s.users[a]["account_status"] not in GONE for a in accounts)
        if not alive and all(g["principal_type"] in ("group", "user") for g in holders):
            made.append((*space(s, i), row["type"], row["status"], len({g["principal_id"] for g in holders})))
    return made


def grants_to_people(past: list[State]) -> Answer:
    s = past[-1]
    return [
        (*space(s, i), s.spaces[i]["type"], *person(s, who), s.users[who]["account_status"], manage, count)
        for (i, kind, who), (manage, count) in s.levels().items()
        if kind == "user" and s.spaces[i]["type"] != "personal"
    ]


def grants_by_space(past: list[State]) -> Answer:
    s = past[-1]
    made = []
    for i, row in s.spaces.items():
        here = [g for g in s.grants if g["space_id"] == i]
        named: dict[str, set[str]] = {"group": set(), "user": set(), "class": set()}
        for g in here:
            named.get(g["principal_type"], named["class"]).add(g["principal_id"])
        made.append((*space(s, i), row["type"], row["status"], *map(len, named.values()), len(here)))
    return made


# -- history -------------------------------------------------------------------------------------------------


def _stays(past: list[State], account: str) -> list[tuple[str, int, int | None]]:
    """(group, first index in it, first index out of it or None) of each stay."""
    made = []
    for g in {g for s in past for g in s.groups_of[account]}:
        since = None
        for i, s in enumerate(past):
            inside = account in s.members[g]
            if inside and since is None:
                since = i
            if not inside and since is not None:
                made.append((g, since, i))
                since = None
        if since is not None:
            made.append((g, since, None))
    return made


def _last(past: list[State], kind: str, key: str) -> dict[str, Any]:
    return next(getattr(s, kind)[key] for s in reversed(past) if key in getattr(s, kind))


def membership_dates(past: list[State], person: str) -> Answer:
    who = (_last(past, "users", person)["display_name"], person)
    made = []
    for g, since, until in _stays(past, person):
        row = _last(past, "groups", g)
        before = past[since - 1].taken_at if since else None
        gone = past[until].taken_at if until is not None else None
        made.append((*who, row["name"], g, row["access"], past[since].taken_at, before, gone, until is None))
    return made


def ever_had_access(past: list[State], person: str) -> Answer:
    made = []
    for g in {g for s in past for g in s.groups_of[person]}:
        begin: int | None = None
        before = None
        for i, s in [*enumerate(past), (len(past), None)]:
            inside = s is not None and person in s.members[g] and s.opens(g)
            # A change of the group's row (its name, its access) begins a new line.
            now = tuple(s.groups[g].values()) if inside and s is not None else None
            if now != before:
                if before is not None and begin is not None:
                    row = past[begin].groups[g]
                    end = past[i].taken_at if i < len(past) else None
                    who = _last(past, "users", person)["display_name"]
                    made.append((who, person, row["name"], g, row["access"], past[begin].taken_at, end))
                begin = i
            before = now
    return made


def _back(past: list[State], days: int) -> int:
    until = past[-1].taken_at - timedelta(days=days)
    older = [i for i, s in enumerate(past) if s.taken_at <= until]
    return older[-1] if older else 0


def changes_since(past: list[State], days: int, group: str | None) -> Answer:
    made = []
    for i in range(_back(past, days) + 1, len(past)):
        old, new = past[i - 1], past[i]
        for change, pairs in (("added", new.pairs - old.pairs), ("removed", old.pairs - new.pairs)):
            for g, a in pairs:
                row = new.groups.get(g) or old.groups[g]
                who = new.users.get(a) or old.users[a]
                if group in (None, g):
                    made.append((change, row["name"], g, row["access"], who["display_name"], a, new.taken_at))
    return made


def changed_groups(past: list[State], days: int) -> Answer:
    made: Answer = []
    for i in range(_back(past, days) + 1, len(past)):
        old, new = past[i - 1], past[i]
        for g in old.groups.keys() | new.groups.keys():
            was, now = old.groups.get(g), new.groups.get(g)
            if was is None:
                made.append(("new", g, "", now["name"], new.taken_at))
            elif now is None:
                made.append(("gone", g, was["name"], "", new.taken_at))
            else:
                for change, column in (("renamed", "name"), ("access changed", "access")):
                    if was[column] != now[column]:
                        made.append((change, g, was[column], now[column], new.taken_at))
    return made


def changed_grants(past: list[State], days: int) -> Answer:
    made: Answer = []
    for i in range(_back(past, days) + 1, len(past)):
        old, new = ({tuple(g.values()) for g in s.grants} for s in past[i - 1 : i + 1])
        for change, rows in (("added", new - old), ("removed", old - new)):
            for space_id, kind, who, operation, target, role in rows:
                key = past[-1].spaces[space_id]["space_key"]
                named = {"group": "groups", "user": "users"}.get(kind)
                column = {"group": "name", "user": "display_name"}.get(kind, "")
                called = _last(past, named, who)[column] if named else who
                made.append((change, key, kind, called, who, operation, target, role, past[i].taken_at))
    return made


def membership_over_time(past: list[State], groups: list[str]) -> Answer:
    if not groups:
        return [(s.taken_at, "", "", len(s.pairs)) for s in past]
    return [(s.taken_at, _last(past, "groups", g)["name"], g, len(s.members[g])) for g in groups for s in past]


def answers() -> dict[str, Callable[..., Answer]]:
    """Return the functions by the name of the question."""
    from spokekit.audit.questions.registry import REGISTRY

    return {name: globals()[name.replace("-", "_")] for name in REGISTRY.questions}
