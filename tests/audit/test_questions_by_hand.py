"""Each question on the class world, with the rows that a person reads off the world's description.

People are named by their row there: 0 to 6 are the admin, the product admin, a member, and four people with special
names; 7 left and is inactive, 8 is closed; 9 to 11 are leavers, 12 to 16 guests, 17 to 26 use Jira only, 27 to 115 are
staff, 116 to 119 apps.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest

from spokekit.audit import Audit
from spokekit.audit.questions.registry import REGISTRY
from tests.audit.worlds import account, at, four_days, frames_of, group_id, name

Rows = list[tuple[Any, ...]]


@pytest.fixture(scope="module")
def audit(tmp_path_factory: pytest.TempPathFactory) -> Audit:
    return Audit.of_frames(frames_of())


@pytest.fixture(scope="module")
def past(tmp_path_factory: pytest.TempPathFactory) -> Audit:
    return four_days(tmp_path_factory.mktemp("history"))


def answer(audit: Audit, question: str, columns: str, **params: Any) -> Rows:
    frame = audit.ask(question, **params)
    kinds = {
        "text": "str",
        "int": "int64",
        "count": "Int64",
        "bool": "bool",
        "float": "float64",
        "time": "datetime64[us, UTC]",
    }
    wanted = {c: kinds[k] for c, k in REGISTRY.questions[question].columns.items()}
    assert {c: str(t).replace("object", "str") for c, t in frame.dtypes.items()} == wanted
    assert list(frame.columns) == list(wanted)
    rows = frame[columns.split()].copy()
    for column in rows.select_dtypes("datetimetz").columns:
        rows[column] = rows[column].dt.strftime("%Y-%m-%d").astype(object).where(rows[column].notna(), "")
    return list(rows.itertuples(index=False, name=None))


def people(*rows: int) -> list[str]:
    return [account(row) for row in rows]


def by_name(rows: Iterable[int]) -> list[str]:
    """Accounts in the order in which an answer lists people."""
    return [account(row) for row in sorted(rows, key=lambda row: (name(row).encode(), account(row)))]


EMPLOYEES = (*range(7), *range(27, 116))


def test_members_of_groups(audit: Audit) -> None:
    rows = answer(
        audit, "members-of-groups", "group_name account_id licensed is_guest account_status", group="procurement"
    )
    staff = [(row, True, "active") for row in range(67, 72)]
    wanted = [(7, False, "inactive"), (8, False, "closed"), *staff]
    assert sorted(rows) == sorted(("procurement", account(r), seat, False, state) for r, seat, state in wanted)
    whole = answer(audit, "members-of-groups", "group_name account_id")
    assert len(whole) == 289
    assert [g for g, _ in whole] == sorted((g for g, _ in whole), key=str.encode)


def test_group_sizes(audit: Audit) -> None:
    rows = answer(audit, "group-sizes", "group_name members inactive guests state")
    assert rows[:4] == [
        ("confluence-users", 74, 2, 0, "walked"),
        ("jira-software-users", 40, 0, 0, "walked"),
        ("okta-all-staff", 32, 0, 0, "walked"),
        ("okta-engineering", 24, 0, 0, "walked"),
    ]
    assert {r[0]: r[1:4] for r in rows}["procurement"] == (7, 2, 0)
    assert {r[0]: r[1:4] for r in rows}["agency-partners"] == (5, 0, 2)
    assert rows[-1] == ("project-phoenix", 0, 0, 0, "walked")
    assert len(rows) == 26


def test_licensed_people(audit: Audit) -> None:
    rows = answer(audit, "licensed-people", "account_id groups_with_access")
    assert [r[0] for r in rows] == by_name(EMPLOYEES)
    several = {account(0): 3, account(27): 3, **{account(r): 2 for r in (1, 30, 40, 50, 60, 70, 80, 90)}}
    # Row 30 is staff number 3 and so in confluence-admins as well.
    several[account(30)] = 3
    assert {a: n for a, n in rows if n > 1} == {**several, account(0): 3, account(27): 2}


def test_groups_with_access(audit: Audit) -> None:
    assert answer(audit, "groups-with-access", "group_name access members seats only_here") == [
        ("confluence-users", "user", 74, 71, 61),
        ("okta-all-staff", "user", 32, 32, 25),
        ("confluence-admins", "admin", 3, 3, 0),
        ("administrators", "admin, site-admin", 2, 2, 0),
        ("site-admins", "site-admin", 1, 0, 0),
    ]


def test_why_a_seat(audit: Audit) -> None:
    rows = answer(audit, "why-a-seat", "account_id group_name access", person=account(0))
    assert rows == [
        (account(0), "administrators", "admin, site-admin"),
        (account(0), "confluence-admins", "admin"),
        (account(0), "confluence-users", "user"),
    ]
    assert answer(audit, "why-a-seat", "group_name", person=account(17)) == []


def test_inactive_in_groups(audit: Audit) -> None:
    rows = answer(audit, "inactive-in-groups", "account_id account_status group_name access")
    where = {7: ("inactive", "procurement", ""), 8: ("closed", "procurement", "")}
    where |= dict.fromkeys((9, 10), ("inactive", "confluence-users", "user"))
    assert rows == [(account(r), *where[r]) for r in sorted(where, key=lambda r: name(r).encode())]


def test_unlicensed_with_access(audit: Audit) -> None:
    rows = answer(audit, "unlicensed-with-access", "account_id account_type group_name")
    assert rows == [(a, "atlassian", "confluence-users") for a in by_name((9, 10))]


def test_groups_without_members(audit: Audit) -> None:
    assert answer(audit, "groups-without-members", "group_name managed_by usage_type access") == [
        ("project-phoenix", "ADMINS", "USERBASE_GROUP", "")
    ]


def test_unused_groups(audit: Audit) -> None:
    assert answer(audit, "unused-groups", "group_name members usage_type") == [
        ("Coffee Club", 11, "TEAM_COLLABORATION"),
        ("Team Falcon", 5, "TEAM_COLLABORATION"),
        ("Zürich Büro", 6, "USERBASE_GROUP"),
        ("atlassian-addons", 4, "USERBASE_GROUP"),
        ("confluence-guests", 5, "USERBASE_GROUP"),
        ("jira-software-users", 40, "USERBASE_GROUP"),
        ("okta-contractors", 6, "USERBASE_GROUP"),
        (long_name(), 3, "USERBASE_GROUP"),
    ]


def long_name() -> str:
    return "steering-committee-" + "-".join(["with", "members", "from", "every", "office"] * 6)


def test_missing_from_group(audit: Audit) -> None:
    # The baseline holds all employees but the last 25, who come in through okta-all-staff.
    rows = answer(audit, "missing-from-group", "account_id", group="confluence-users")
    assert [r[0] for r in rows] == by_name(range(91, 116))


def test_in_several_access_groups(audit: Audit) -> None:
    rows = answer(audit, "in-several-access-groups", "account_id group_count")
    three = by_name((0, 30))
    assert [r for r in rows if r[1] == 3] == [(a, 3) for a in three]
    assert [r[0] for r in rows if r[1] == 2] == by_name((1, 27, 40, 50, 60, 70, 80, 90))
    assert len(rows) == 10
    assert [r[0] for r in answer(audit, "in-several-access-groups", "account_id", at_least=3)] == three


def test_in_these_not_those(audit: Audit) -> None:
    both = "jira-software-users, confluence-users"
    rows = answer(audit, "in-these-not-those", "account_id account_status", all_of=both)
    assert rows == [(a, "active") for a in by_name(range(27, 57))]
    rows = answer(audit, "in-these-not-those", "account_id", all_of=both, none_of=["okta-engineering"])
    # okta-engineering holds staff 20 to 43, which are the rows 47 to 70.
    assert [r[0] for r in rows] == by_name(range(27, 47))


def test_admins(audit: Audit) -> None:
    rows = answer(audit, "admins", "account_id kind group_name")
    mine = {
        0: [
            ("product", "administrators"),
            ("product", "confluence-admins"),
            ("site", "administrators"),
            ("site", "site-admins"),
        ],
        1: [("product", "confluence-admins")],
        27: [("product", "administrators"), ("site", "administrators")],
        30: [("product", "confluence-admins")],
    }
    assert rows == [(account(r), *how) for r in sorted(mine, key=lambda r: name(r).encode()) for how in mine[r]]


def test_app_users(audit: Audit) -> None:
    rows = answer(audit, "app-users", "person group_name access")
    assert rows == [
        ("Automation for Confluence", "atlassian-addons", ""),
        ("Automation for Confluence", "confluence-users", "user"),
        ("Backup Runner", "atlassian-addons", ""),
        ("Chat Notifications", "atlassian-addons", ""),
        ("Diagram Bot", "atlassian-addons", ""),
    ]


def test_guests_in_groups(audit: Audit) -> None:
    rows = answer(audit, "guests-in-groups", "account_id group_name")
    mine = {r: ["confluence-guests"] for r in (14, 15, 16)} | {
        r: ["agency-partners", "confluence-guests"] for r in (12, 13)
    }
    assert rows == [(account(r), g) for r in sorted(mine, key=lambda r: name(r).encode()) for g in mine[r]]


def test_similar_groups(audit: Audit) -> None:
    # Contractors are staff 70 to 75, the second tier of support is staff 70 to 74.
    assert answer(audit, "similar-groups", "group_name other_name members other_members shared percent") == [
        ("okta-contractors", "support-tier-2", 6, 5, 5, pytest.approx(100 * 5 / 6))
    ]


def test_same_name_accounts(audit: Audit) -> None:
    rows = answer(audit, "same-name-accounts", "person accounts account_id")
    assert sorted(rows) == sorted((name(5), 2, a) for a in people(5, 6))


def test_where_is_group_used(audit: Audit) -> None:
    rows = answer(audit, "where-is-group-used", "use space_key operation target", group="people-operations")
    writes = [(op, t) for t in ("page", "blogpost", "comment", "attachment") for op in ("create", "delete")]
    manages = [("export", "space"), ("restrict_content", "space"), ("archive", "page"), ("administer", "space")]
    every = [("read", "space"), *writes, ("delete", "space"), *manages]
    assert rows == [("space", "HANDBOOK", *one) for one in sorted(every)]
    rows = answer(audit, "where-is-group-used", "use space_key operation", group="confluence-admins")
    assert rows[0] == ("access to the product", "", "admin")
    assert {r[1] for r in rows[1:]} == {"ENG", "RND", "MKT"}


def test_spaces_of_group(audit: Audit) -> None:
    assert answer(audit, "spaces-of-group", "space_key status manages", group="confluence-admins") == [
        ("ENG", "current", True),
        ("MKT", "current", True),
        ("RND", "current", True),
    ]
    assert answer(audit, "spaces-of-group", "space_key status manages", group="project-phoenix") == [
        ("PHX", "archived", True)
    ]


def test_spaces_of_person_says_through_what(audit: Audit) -> None:
    # Row 2, the member: confluence-users, people-operations, a personal space, and what is open to everybody.
    assert answer(audit, "spaces-of-person", "space_key via through manages", person=name(2)) == [
        ("ALL", "everybody", "all-licensed-users", False),
        ("HANDBOOK", "everybody", "anonymous-users", False),
        ("HANDBOOK", "group", "confluence-users", False),
        ("HANDBOOK", "group", "people-operations", True),
        ("SUPPORT", "everybody", "authenticated-users", False),
        ("~member", "person", name(2), True),
    ]
    # Row 12, a guest: no licence, so no company news; two spaces through agency-partners, one by name.
    assert answer(audit, "spaces-of-person", "space_key via through", person=account(12)) == [
        ("HANDBOOK", "everybody", "anonymous-users"),
        ("PARTNER", "group", "agency-partners"),
        ("PARTNER", "person", name(12)),
        ("SALES", "group", "agency-partners"),
        ("SUPPORT", "everybody", "authenticated-users"),
    ]


def test_people_of_space_says_through_what(audit: Audit) -> None:
    rows = answer(audit, "people-of-space", "account_id via through manages", space="FIN")
    staff = [(r, "finance-reports", False) for r in range(77, 84)] + [
        (r, "finance_reports", False) for r in range(82, 86)
    ]
    wanted = [(account(r), "group", g, m) for r, g, m in staff] + [(account(77), "person", name(77), True)]
    assert sorted(rows) == sorted(wanted)
    handbook = answer(audit, "people-of-space", "account_id via through", space="Staff Handbook")
    assert handbook[0] == ("", "everybody", "anonymous-users")
    assert len(handbook) == 1 + 74 + 5


def test_open_spaces(audit: Audit) -> None:
    assert answer(audit, "open-spaces", "space_key open_to status manages") == [
        ("HANDBOOK", "anonymous-users", "current", False),
        ("SUPPORT", "authenticated-users", "current", False),
        ("ALL", "all-licensed-users", "current", False),
    ]


def test_guests_in_spaces(audit: Audit) -> None:
    rows = answer(audit, "guests-in-spaces", "account_id space_key via through")
    mine = {
        12: [
            ("PARTNER", "group", "agency-partners"),
            ("PARTNER", "person", name(12)),
            ("SALES", "group", "agency-partners"),
        ],
        13: [("PARTNER", "group", "agency-partners"), ("SALES", "group", "agency-partners")],
    }
    assert rows == [(account(r), *how) for r in sorted(mine, key=lambda r: name(r).encode()) for how in mine[r]]


def test_space_admins(audit: Audit) -> None:
    rows = answer(audit, "space-admins", "space_key account_id via through")
    admins = {"confluence-admins": (0, 1, 30), "administrators": (0, 27), "marketing": (5, 6, *range(71, 77))}
    admins |= {"legal-counsel": (113, 114, 115), "people-operations": (2, *range(107, 111))}
    where = {"ALL": "administrators", "ENG": "confluence-admins", "HANDBOOK": "people-operations"}
    where |= {"LEGAL": "legal-counsel", "MKT": "confluence-admins", "PARTNER": "marketing", "RND": "confluence-admins"}
    wanted = [(key, account(r), "group", g) for key, g in where.items() for r in admins[g]]
    wanted += [
        (key, account(r), "person", name(r)) for key, r in (("BUY", 7), ("FIN", 77), ("~leaver", 7), ("~member", 2))
    ]
    assert sorted(rows) == sorted(wanted)


def test_spaces_without_admin(audit: Audit) -> None:
    assert answer(audit, "spaces-without-admin", "space_key type status named_admins") == [
        ("BUY", "global", "current", 1),
        ("PHX", "global", "archived", 1),
        ("SALES", "global", "current", 0),
        ("SUPPORT", "knowledge_base", "current", 0),
        ("~leaver", "personal", "current", 1),
    ]


def test_grants_to_people(audit: Audit) -> None:
    rows = answer(audit, "grants-to-people", "space_key account_id account_status manages grant_count")
    # An admin's classic permissions are 14 lines, a viewer's is one.
    assert rows == [
        ("BUY", account(7), "inactive", True, 14),
        ("FIN", account(77), "active", True, 14),
        ("PARTNER", account(12), "active", False, 1),
    ]


def test_grants_by_space(audit: Audit) -> None:
    rows = answer(audit, "grants-by-space", "space_key named_groups named_people named_classes grant_count")
    # A viewer is 1 line, a collaborator 10, a manager 13, an admin 14.
    assert {r[0]: r[1:] for r in rows} == {
        "RND": (2, 0, 0, 27),
        "FIN": (2, 1, 0, 25),
        "HANDBOOK": (2, 0, 1, 25),
        "PARTNER": (2, 1, 0, 25),
        "BUY": (1, 1, 0, 24),
        "ENG": (2, 0, 0, 24),
        "MKT": (2, 0, 0, 24),
        "SUPPORT": (2, 0, 1, 24),
        "ALL": (1, 0, 1, 15),
        "LEGAL": (1, 0, 0, 14),
        "PHX": (1, 0, 0, 14),
        "~leaver": (0, 1, 0, 14),
        "~member": (0, 1, 0, 14),
        "SALES": (2, 0, 0, 11),
    }
    assert [r[4] for r in rows] == sorted((r[4] for r in rows), reverse=True)


# -- history: see `worlds.four_days` ---------------------------------------------------------------------------------


def test_membership_dates(past: Audit) -> None:
    columns = "group_name seen_from not_seen_before gone_by still_there"
    assert answer(past, "membership-dates", columns, person=account(7)) == [("procurement", at(0), "", at(3), False)]
    rows = answer(past, "membership-dates", columns, person=account(27))
    assert rows[-1] == ("marketing-emea", at(3), at(0), at(8), False)
    assert ("confluence-users", at(0), "", "", True) in rows


def test_ever_had_access(past: Audit) -> None:
    columns = "group_name access seen_from gone_by"
    # Legal gave access from day 3 until it was gone on day 8; its members had access through okta-all-staff as well.
    assert answer(past, "ever-had-access", columns, person=account(113)) == [
        ("okta-all-staff", "user", at(0), ""),
        ("legal-counsel", "user", at(3), at(8)),
    ]
    assert answer(past, "ever-had-access", columns, person=account(17)) == []


def test_changes_since(past: Audit) -> None:
    columns = "change group_name account_id seen_at"
    legal = [("removed", "legal-counsel", a, at(8)) for a in by_name((113, 114, 115))]
    night = [("added", "night-shift", a, at(8)) for a in by_name((29, 30))]
    day_eight = [*legal, ("removed", "marketing-emea", account(27), at(8)), *night]
    assert answer(past, "changes-since", columns, days=7) == day_eight
    day_three = [("added", "marketing", a, at(3)) for a in by_name((27, 28))]
    day_three.append(("removed", "procurement", account(7), at(3)))
    assert answer(past, "changes-since", columns, days=100) == [*day_three, *day_eight]
    assert answer(past, "changes-since", columns, days=1) == []
    assert answer(past, "changes-since", columns, days=7, group="night-shift") == night


def test_changed_groups(past: Audit) -> None:
    rows = answer(past, "changed-groups", "change group_id before after seen_at", days=100)
    assert rows == [
        ("access changed", group_id("legal-counsel"), "", "user", at(3)),
        ("gone", group_id("legal-counsel"), "legal-counsel", "", at(8)),
        ("new", "g-night", "", "night-shift", at(8)),
        ("renamed", group_id("marketing"), "marketing", "marketing-emea", at(8)),
    ]


def test_changed_grants(past: Audit) -> None:
    columns = "change space_key principal_type principal operation target seen_at"
    assert answer(past, "changed-grants", columns) == [
        ("added", "PHX", "group", "people-operations", "read", "space", at(10))
    ]


def test_membership_over_time(past: Audit) -> None:
    rows = answer(past, "membership-over-time", "taken_at group_name members")
    assert rows == [(at(0), "", 289), (at(3), "", 290), (at(8), "", 288), (at(10), "", 288)]
    rows = answer(past, "membership-over-time", "taken_at group_name members", groups="marketing-emea, g-night")
    assert rows == [
        *((at(day), "marketing-emea", n) for day, n in ((0, 8), (3, 10), (8, 9), (10, 9))),
        *((at(day), "night-shift", n) for day, n in ((0, 0), (3, 0), (8, 2), (10, 2))),
    ]


def test_an_earlier_moment_knows_nothing_of_later_ones(past: Audit) -> None:
    then = Audit.of_snapshot(past.source, at=2)
    assert answer(then, "changes-since", "change account_id", days=100) == [
        *(("added", a) for a in by_name((27, 28))),
        ("removed", account(7)),
    ]
    names = {r[0] for r in answer(then, "group-sizes", "group_name")}
    assert {"marketing", "legal-counsel"} <= names and "night-shift" not in names
    assert answer(then, "membership-dates", "group_name still_there", person=account(27))[-1] == ("marketing", True)


def test_every_question_is_tested_here() -> None:
    """A new question without rows written out by hand is found by this test."""
    tested = {name.removeprefix("test_").replace("_", "-") for name in globals() if name.startswith("test_")}
    missing = [q for q in REGISTRY.questions if not any(t.startswith(q) for t in tested)]
    assert missing == []


def test_what_cannot_be_answered_is_listed_with_the_reason(audit: Audit) -> None:
    listed = audit.questions()
    assert sorted({n for n in listed["asked"] if n}) == list(range(1, 21))
    refused = listed[~listed["answerable"]]
    assert set(refused["name"]) >= {"inactive-seats", "who-granted-this", "nested-groups", "bulk-change"}
    assert (refused["cannot_know"].str.len() > 60).all()
