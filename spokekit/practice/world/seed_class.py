"""The world ``class``: small enough to read, and holding every situation an administrator must recognise.

What is in it is told to users in the docstring of `spokekit.practice.World`.
"""

from __future__ import annotations

import random
import unicodedata
from functools import lru_cache

import numpy as np

from spokekit.practice.world.names import FIRST, LAST, TIME_ZONES
from spokekit.practice.world.seed_structure import Structure, structure_of
from spokekit.practice.world.seeds import ADMIN, CLOSED, INACTIVE, SITE_ADMIN, USER, Access, Seed, Space

_APPS = ("Automation for Confluence", "Diagram Bot", "Chat Notifications", "Backup Runner")
_SITE_ADMIN, _PRODUCT_ADMIN, _MEMBER, _HTML, _FORMULA, _TWIN_A, _TWIN_B, _LEAVER, _CLOSED = range(9)
_LEAVERS = (9, 10, 11)
_GUESTS = (12, 13, 14, 15, 16)
_JIRA_ONLY = range(17, 27)
_STAFF = range(27, 116)
_APP_ROWS = range(116, 120)
_EMPLOYEES = (_SITE_ADMIN, _PRODUCT_ADMIN, _MEMBER, _HTML, _FORMULA, _TWIN_A, _TWIN_B, *_STAFF)

_ADMINS, _EXTERNAL, _TEAM, _OPEN = "ADMINS", "EXTERNAL", "TEAM_MEMBERS", "OPEN"


def _staff(first: int, count: int) -> list[int]:
    return [_STAFF[i % len(_STAFF)] for i in range(first, first + count)]


_GROUPS: tuple[tuple[str, int, str, list[int]], ...] = (
    ("confluence-users", USER, _ADMINS, [*_EMPLOYEES[:-25], _APP_ROWS[0]]),
    ("confluence-admins", ADMIN, _ADMINS, [_SITE_ADMIN, _PRODUCT_ADMIN, _STAFF[3]]),
    ("site-admins", SITE_ADMIN, _ADMINS, [_SITE_ADMIN]),
    ("administrators", ADMIN | SITE_ADMIN, _ADMINS, [_SITE_ADMIN, _STAFF[0]]),
    ("okta-all-staff", USER, _EXTERNAL, [*_EMPLOYEES[-25:], *_EMPLOYEES[10:-25:10]]),
    ("okta-engineering", 0, _EXTERNAL, _staff(20, 24)),
    ("okta-contractors", 0, _EXTERNAL, _staff(70, 6)),
    ("jira-software-users", 0, _ADMINS, [*_JIRA_ONLY, *_staff(0, 30)]),
    ("confluence-guests", 0, _ADMINS, list(_GUESTS)),
    ("atlassian-addons", 0, _ADMINS, list(_APP_ROWS)),
    ("project-phoenix", 0, _ADMINS, []),
    ("procurement", 0, _ADMINS, [_LEAVER, _CLOSED, *_staff(40, 5)]),
    ("agency-partners", 0, _ADMINS, _staff(12, 3)),
    ("finance-reports", 0, _ADMINS, _staff(50, 7)),
    ("finance_reports", 0, _ADMINS, _staff(55, 4)),
    ("<b>Research & Development</b>", 0, _ADMINS, _staff(60, 9)),
    ("=Sales(Berlin)", 0, _ADMINS, _staff(33, 8)),
    ("Zürich Büro", 0, _ADMINS, _staff(5, 6)),
    ("steering-committee-" + "-".join(["with", "members", "from", "every", "office"] * 6), 0, _ADMINS, _staff(0, 3)),
    ("Team Falcon", 0, _TEAM, _staff(24, 5)),
    ("Coffee Club", 0, _OPEN, _staff(2, 11)),
    ("people-operations", 0, _ADMINS, [_MEMBER, *_staff(80, 4)]),
    ("support-tier-1", 0, _ADMINS, [_HTML, _FORMULA, *_staff(64, 10)]),
    ("support-tier-2", 0, _ADMINS, _staff(70, 5)),
    ("marketing", 0, _ADMINS, [_TWIN_A, _TWIN_B, *_staff(44, 6)]),
    ("legal-counsel", 0, _ADMINS, _staff(86, 3)),
)
_ROW = {name: row for row, (name, *_) in enumerate(_GROUPS)}

_SPACES: tuple[tuple[str, str, str, str, int, tuple[tuple[str, str, str], ...]], ...] = (
    ("HANDBOOK", "Staff Handbook", "global", "current", 0, (
        ("group", "confluence-users", "Collaborator"), ("group", "people-operations", "Admin"),
        ("access-class", "anonymous-users", "Viewer"))),
    ("ENG", "Engineering", "global", "current", 27, (
        ("group", "okta-engineering", "Collaborator"), ("group", "confluence-admins", "Admin"))),
    ("FIN", "Finance", "global", "current", 77, (
        ("group", "{editor}", "Collaborator"), ("group", "{reader}", "Viewer"),
        ("user", "77", "Admin"))),
    ("RND", "<i>Research</i> notes", "global", "current", 87, (
        ("group", "<b>Research & Development</b>", "Manager"), ("group", "confluence-admins", "Admin"))),
    ("SALES", "=Sales space", "global", "current", 60, (
        ("group", "=Sales(Berlin)", "Collaborator"),)),
    ("SUPPORT", "Support knowledge base", "knowledge_base", "current", 91, (
        ("group", "support-tier-1", "Collaborator"), ("group", "support-tier-2", "Manager"),
        ("access-class", "authenticated-users", "Viewer"))),
    ("MKT", "Marketing", "collaboration", "current", 5, (
        ("group", "marketing", "Collaborator"), ("group", "confluence-admins", "Admin"))),
    ("LEGAL", "Legal", "global", "current", 113, (("group", "legal-counsel", "Admin"),)),
    ("PHX", "Project Phoenix", "global", "archived", 1, (("group", "project-phoenix", "Admin"),)),
    ("BUY", "Procurement", "global", "current", 7, (
        ("group", "procurement", "Collaborator"), ("user", "7", "Admin"))),
    ("PARTNER", "Partner portal", "collaboration", "current", 39, (
        ("user", "12", "Viewer"), ("group", "marketing", "Admin"))),
    ("ALL", "Company news", "global", "current", 1, (
        ("access-class", "all-licensed-users", "Viewer"), ("group", "administrators", "Admin"))),
    ("~leaver", "Personal space of somebody who left", "personal", "current", 7, (("user", "7", "Admin"),)),
    ("~member", "Personal space", "personal", "current", 2, (("user", "2", "Admin"),)),
)  # fmt: skip


def plain_ascii(name: str) -> str:
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
    return "".join(c if c.isalnum() else "." for c in plain).replace("..", ".").strip(".")


def _members(of: Structure) -> list[np.ndarray]:
    """Return who is in each group, in the order of the groups."""
    found = {name: list(rows) for name, *_, rows in _GROUPS}
    found["confluence-users"][-1:-1] = [_LEAVERS[one] for one in of.leavers]
    found["agency-partners"][:0] = _GUESTS[: of.guests]
    return [np.array(rows, dtype=np.int32) for rows in found.values()]


def _accesses(of: Structure) -> dict[str, list[Access]]:
    """Return who may do what in each space, by its key."""
    named = {key: [(kind, who.format(**vars(of)), role) for kind, who, role in given] for key, *_, given in _SPACES}
    edited, read = of.opened
    named[edited].insert(0, ("group", "agency-partners", "Collaborator"))
    named[read].append(("group", "agency-partners", "Viewer"))
    return {
        key: [(kind, str(_ROW[who]) if kind == "group" else who, role) for kind, who, role in given]
        for key, given in named.items()
    }


@lru_cache(maxsize=8)
def class_seed(seed: int) -> Seed:
    """Return the hand-made world for a seed, which decides who is called what, and a little of who is where."""
    structure = structure_of(seed)
    pick = random.Random(f"class:{seed}")  # noqa: S311 - names of a practice world guard nothing
    names: list[str] = []
    while len(names) < 116:
        name = f"{pick.choice(FIRST)} {pick.choice(LAST)}"
        if name not in names:
            names.append(name)
    names[_HTML] = f"<script>alert('{names[_HTML].split()[0]}')</script> {names[_HTML].split()[-1]}"
    names[_FORMULA] = f'=HYPERLINK("http://example.org","{names[_FORMULA]}")'
    names[_TWIN_B] = names[_TWIN_A]
    names[_CLOSED] = "Former user"
    names[_LEAVERS[1]] += " (Unlicensed)"
    names += _APPS

    status = np.zeros(len(names), dtype=np.uint8)
    status[[_LEAVER, *_LEAVERS]] = INACTIVE
    status[_CLOSED] = CLOSED
    is_app = np.zeros(len(names), dtype=bool)
    is_app[list(_APP_ROWS)] = True
    is_guest = np.zeros(len(names), dtype=bool)
    is_guest[list(_GUESTS)] = True
    hidden = [pick.random() < 0.33 for _ in names]
    zones = [pick.choice(TIME_ZONES) for _ in names]

    members = _members(structure)
    spaces = [
        Space(str(131072 + 65536 * i), key, name, kind, state, owner)
        for i, (key, name, kind, state, owner, _) in enumerate(_SPACES)
    ]
    accesses = _accesses(structure)

    def email(row: int) -> str:
        if hidden[row] or is_app[row] or status[row] == CLOSED:
            return ""
        return f"{plain_ascii(names[row])}@example.com" if row not in (_HTML, _FORMULA) else f"person{row}@example.com"

    return Seed(
        status=status,
        is_app=is_app,
        is_guest=is_guest,
        group_access=np.array([access for _, access, *_ in _GROUPS], dtype=np.uint8),
        group_managed=[managed for _, _, managed, _ in _GROUPS],
        offsets=np.concatenate(([0], np.cumsum([len(m) for m in members]))).astype(np.int64),
        members=np.concatenate(members),
        roles={"admin": _SITE_ADMIN, "member": _MEMBER, "guest": _GUESTS[0], "outsider": _JIRA_ONLY[0]},
        user_name=names.__getitem__,
        public_name=lambda row: names[row] if row % 3 else names[row].split()[0],
        email=email,
        time_zone=zones.__getitem__,
        group_name=lambda row: _GROUPS[row][0],
        spaces=lambda: list(spaces),
        accesses=lambda space: accesses[space.key],
        former_names={_ROW["people-operations"]: "human-resources"},
    )
