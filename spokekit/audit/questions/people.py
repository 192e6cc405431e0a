"""Questions about people and groups: who is in what, who has a seat, what looks wrong."""

from __future__ import annotations

from spokekit.audit.questions.registry import GROUP, GUESTS, NO_EMAILS, NO_SITE_ADMINS, PERSON, WHO, Param, question

_OF_GROUP = {**GROUP, "access": "text", "managed_by": "text"}
_STATUS = {"account_type": "text", "account_status": "text"}
GIVES_ACCESS = "(g.for_users OR g.for_admins)"
_CAN_USE = "u.licensed AND u.account_status NOT IN ('inactive', 'closed')"
# A seat is taken by a person in a group that gives access to the product, while Confluence lists operations for them;
# apps and guests take none.
_SEAT = f"{_CAN_USE} AND u.account_type <> 'app' AND NOT u.is_guest"
# What nobody has read has no size: NULL, and not 0.
_READ = "(c.walked_at IS NOT NULL OR c.state IN ('walked', 'partial'))"


@question(
    "members-of-groups",
    "Who is in each group?",
    number=1,
    needs=("groups", "users", "memberships"),
    params=(Param("group", "group", "a group, by name or id; without it, every group", ""),),
    columns={**GROUP, **PERSON, "email": "text", **_STATUS, "is_guest": "bool", "licensed": "bool"},
    cannot_know=NO_EMAILS,
)
def members_of_groups(group: int | None) -> str:
    """One row a membership, by group and person."""
    only = "" if group is None else "WHERE m.group_no = $group"
    return f"""
        SELECT g.name AS group_name, g.group_id, {WHO}, u.email, u.account_type, u.account_status, u.is_guest,
               u.licensed
        FROM memberships m JOIN groups g ON g.group_no = m.group_no JOIN users u ON u.user_no = m.user_no
        {only}
        ORDER BY g.name, g.group_id, u.display_name, u.account_id"""


@question(
    "group-sizes",
    "How many people are in each group?",
    needs=("groups", "users", "memberships", "coverage"),
    columns={**_OF_GROUP, **dict.fromkeys(("members", "inactive", "guests"), "count"), "state": "text"},
)
def group_sizes() -> str:
    """One row a group, the largest first. `state` says whether its members were walked; the counts of a group that
    nobody has read yet are missing, those of one that was read in part are of what was read."""
    return f"""
        SELECT g.name AS group_name, g.group_id, g.access, g.managed_by,
               CASE WHEN {_READ} THEN COALESCE(n.members, 0) END AS members,
               CASE WHEN {_READ} THEN COALESCE(n.inactive, 0) END AS inactive,
               CASE WHEN {_READ} THEN COALESCE(n.guests, 0) END AS guests,
               COALESCE(c.state, 'not walked') AS state
        FROM groups g
        LEFT JOIN (
            SELECT m.group_no, COUNT(*) AS members,
                   SUM(CASE WHEN u.account_status IN ('inactive', 'closed') THEN 1 ELSE 0 END) AS inactive,
                   SUM(CASE WHEN u.is_guest THEN 1 ELSE 0 END) AS guests
            FROM memberships m JOIN users u ON u.user_no = m.user_no GROUP BY m.group_no
        ) n ON n.group_no = g.group_no
        LEFT JOIN coverage c ON c.group_no = g.group_no
        ORDER BY members DESC NULLS LAST, g.name, g.group_id"""


@question(
    "licensed-people",
    "Who can use Confluence and takes a seat?",
    number=2,
    needs=("groups", "users", "memberships"),
    columns={**PERSON, "email": "text", "account_status": "text", "groups_with_access": "int"},
    cannot_know="Atlassian's bill is the last word: it also knows trials, and seats that another product brings. "
    + NO_EMAILS,
)
def licensed_people() -> str:
    """People (no apps, no guests) in a group that gives access, whose account is active and for whom Confluence lists
    operations; `groups_with_access` counts the groups that each of them has it through."""
    return f"""
        SELECT {WHO}, u.email, u.account_status, COUNT(*) AS groups_with_access
        FROM memberships m JOIN groups g ON g.group_no = m.group_no JOIN users u ON u.user_no = m.user_no
        WHERE {GIVES_ACCESS} AND {_SEAT}
        GROUP BY u.display_name, u.account_id, u.email, u.account_status
        ORDER BY u.display_name, u.account_id"""


@question(
    "groups-with-access",
    "Which groups give access to Confluence?",
    number=3,
    needs=("groups", "users", "memberships", "coverage"),
    columns={**_OF_GROUP, **dict.fromkeys(("members", "seats", "only_here"), "count"), "state": "text"},
    cannot_know="Which of them new people join by default, and which other products they open, is known to the "
    "organisation's API only.",
)
def groups_with_access() -> str:
    """`seats` counts the members who take a seat, `only_here` those of them who would lose it with this group, as
    far as the groups with access were walked; `state` says whether this one was. The counts of a group that nobody has
    read yet are missing, those of one that was read in part are of what was read."""
    return f"""
        SELECT g.name AS group_name, g.group_id, g.access, g.managed_by,
               CASE WHEN {_READ} THEN COUNT(s.user_no) END AS members,
               CASE WHEN {_READ} THEN SUM(CASE WHEN {GIVES_ACCESS} THEN COALESCE(s.seat, 0) ELSE 0 END) END AS seats,
               CASE WHEN {_READ} THEN SUM(CASE WHEN {GIVES_ACCESS} THEN COALESCE(s.seat * s.alone, 0) ELSE 0 END)
               END AS only_here,
               COALESCE(c.state, 'not walked') AS state
        FROM groups g LEFT JOIN coverage c ON c.group_no = g.group_no LEFT JOIN (
            SELECT m.group_no, m.user_no,
                   CASE WHEN {_SEAT} THEN 1 ELSE 0 END AS seat,
                   CASE WHEN k.n = 1 THEN 1 ELSE 0 END AS alone
            FROM memberships m JOIN users u ON u.user_no = m.user_no
            LEFT JOIN (SELECT m.user_no, COUNT(*) AS n FROM memberships m JOIN groups g ON g.group_no = m.group_no
                  WHERE {GIVES_ACCESS} GROUP BY m.user_no) k ON k.user_no = m.user_no
        ) s ON s.group_no = g.group_no
        WHERE g.access <> ''
        GROUP BY g.name, g.group_id, g.access, g.managed_by, c.state, c.walked_at
        ORDER BY members DESC NULLS LAST, g.name, g.group_id"""


@question(
    "why-a-seat",
    "Why does this person have a seat?",
    number=3,
    needs=("groups", "users", "memberships"),
    params=(Param("person", "person", "a person, by name, e-mail or account id"),),
    columns={**PERSON, **_OF_GROUP, "licensed": "bool", "account_status": "text"},
    cannot_know="A seat that comes from another product or from a role given without a group is not seen.",
)
def why_a_seat(person: int) -> str:
    """One row for each group that gives the person access; no row: no group gives it."""
    return f"""
        SELECT {WHO}, g.name AS group_name, g.group_id, g.access, g.managed_by, u.licensed, u.account_status
        FROM memberships m JOIN groups g ON g.group_no = m.group_no JOIN users u ON u.user_no = m.user_no
        WHERE m.user_no = $person AND {GIVES_ACCESS}
        ORDER BY g.name, g.group_id"""


@question(
    "inactive-in-groups",
    "Which deactivated people are still in groups?",
    number=5,
    needs=("groups", "users", "memberships"),
    columns={**PERSON, "account_status": "text", "licensed": "bool", **GROUP, "access": "text"},
    cannot_know="Whether the members' list names every deactivated account is not documented; who is not listed is "
    "not seen.",
)
def inactive_in_groups() -> str:
    """Accounts that are inactive or closed, one row for each group that still holds them."""
    return f"""
        SELECT {WHO}, u.account_status, u.licensed, g.name AS group_name, g.group_id, g.access
        FROM memberships m JOIN groups g ON g.group_no = m.group_no JOIN users u ON u.user_no = m.user_no
        WHERE u.account_status IN ('inactive', 'closed')
        ORDER BY u.display_name, u.account_id, g.name, g.group_id"""


@question(
    "unlicensed-with-access",
    "Who is in a group that gives access, but has none?",
    number=5,
    needs=("groups", "users", "memberships"),
    columns={**PERSON, **_STATUS, **GROUP},
    cannot_know="Why Confluence lists no operations for them: deactivated, suspended by the organisation, or over "
    "the number of seats.",
)
def unlicensed_with_access() -> str:
    """Members of groups with access for whom Confluence lists no operation."""
    return f"""
        SELECT {WHO}, u.account_type, u.account_status, g.name AS group_name, g.group_id
        FROM memberships m JOIN groups g ON g.group_no = m.group_no JOIN users u ON u.user_no = m.user_no
        WHERE {GIVES_ACCESS} AND NOT u.licensed
        ORDER BY u.display_name, u.account_id, g.name, g.group_id"""


@question(
    "groups-without-members",
    "Which groups have no members?",
    number=6,
    needs=("groups", "memberships", "coverage"),
    columns={**_OF_GROUP, "usage_type": "text"},
    cannot_know="Whether another product or an app uses the group.",
)
def groups_without_members() -> str:
    """Groups that held nobody when they were last walked to their end; `Audit.caution` says when that is not now."""
    return """
        SELECT g.name AS group_name, g.group_id, g.access, g.managed_by, g.usage_type
        FROM groups g JOIN coverage c ON c.group_no = g.group_no AND c.walked_at IS NOT NULL
        WHERE NOT EXISTS (SELECT 1 FROM memberships m WHERE m.group_no = g.group_no)
        ORDER BY g.name, g.group_id"""


@question(
    "unused-groups",
    "Which groups are used nowhere in Confluence?",
    number=6,
    needs=("groups", "memberships", "grants", "coverage"),
    columns={**GROUP, "managed_by": "text", "usage_type": "text", "members": "count", "state": "text"},
    cannot_know="Use by another product, by an app, by restrictions on pages or by an automation is not seen.",
)
def unused_groups() -> str:
    """Groups that give no access to the product and that no space names. `state` says whether their members were
    walked; the count of a group that nobody has read yet is missing."""
    return f"""
        SELECT g.name AS group_name, g.group_id, g.managed_by, g.usage_type,
               CASE WHEN {_READ} THEN COUNT(m.user_no) END AS members,
               COALESCE(c.state, 'not walked') AS state
        FROM groups g LEFT JOIN memberships m ON m.group_no = g.group_no
        LEFT JOIN coverage c ON c.group_no = g.group_no
        WHERE g.access = '' AND NOT EXISTS (SELECT 1 FROM grants p WHERE p.group_no = g.group_no)
        GROUP BY g.name, g.group_id, g.managed_by, g.usage_type, c.state, c.walked_at
        ORDER BY g.name, g.group_id"""


@question(
    "missing-from-group",
    "Who has a seat, but is not in the group where everybody should be?",
    number=13,
    needs=("groups", "users", "memberships"),
    params=(Param("group", "group", "the baseline group, by name or id"),),
    columns={**PERSON, "email": "text"},
    cannot_know=NO_EMAILS,
)
def missing_from_group(group: int) -> str:
    """People with a seat who are not members of the baseline group."""
    return f"""
        SELECT DISTINCT {WHO}, u.email
        FROM memberships m JOIN groups g ON g.group_no = m.group_no JOIN users u ON u.user_no = m.user_no
        WHERE {GIVES_ACCESS} AND {_SEAT}
          AND NOT EXISTS (SELECT 1 FROM memberships b WHERE b.user_no = m.user_no AND b.group_no = $group)
        ORDER BY person, u.account_id"""


@question(
    "in-several-access-groups",
    "Who has access through several groups at once?",
    number=14,
    needs=("groups", "users", "memberships"),
    params=(Param("at_least", "number", "how many groups at least", 2),),
    columns={**PERSON, "group_count": "int"},
    cannot_know="They do not cost twice: a seat is counted once a person and product.",
)
def in_several_access_groups(at_least: int) -> str:
    """Whoever can use Confluence, apps included, through `at_least` groups. Removing them from one of these takes
    nothing away: worth knowing before a clean-up."""
    return f"""
        SELECT {WHO}, COUNT(*) AS group_count
        FROM memberships m JOIN groups g ON g.group_no = m.group_no JOIN users u ON u.user_no = m.user_no
        WHERE {GIVES_ACCESS} AND {_CAN_USE}
        GROUP BY u.display_name, u.account_id HAVING COUNT(*) >= $at_least
        ORDER BY group_count DESC, person, u.account_id"""


@question(
    "in-these-not-those",
    "Who is in all of these groups and in none of those?",
    number=14,
    needs=("groups", "users", "memberships"),
    params=(
        Param("all_of", "groups", "groups that a person has to be in"),
        Param("none_of", "groups", "groups that a person must not be in", ()),
    ),
    columns={**PERSON, **_STATUS},
)
def in_these_not_those(all_of: tuple[int, ...], none_of: tuple[int, ...]) -> str:
    """In A and B, but not in C."""
    wanted = sorted(set(all_of))
    inside, outside = _numbers(wanted), _numbers(sorted(set(none_of)))
    return f"""
        SELECT {WHO}, u.account_type, u.account_status
        FROM users u JOIN (SELECT user_no FROM memberships WHERE group_no IN ({inside})
                           GROUP BY user_no HAVING COUNT(*) = {len(wanted)}) a ON a.user_no = u.user_no
        WHERE NOT EXISTS (SELECT 1 FROM memberships b WHERE b.user_no = u.user_no AND b.group_no IN ({outside}))
        ORDER BY u.display_name, u.account_id"""


def _numbers(values: list[int]) -> str:
    return ", ".join(str(int(value)) for value in values) or "-1"


@question(
    "admins",
    "Who are the administrators?",
    number=17,
    needs=("groups", "users", "memberships"),
    columns={**PERSON, "account_status": "text", "kind": "text", **GROUP},
    cannot_know=NO_SITE_ADMINS,
)
def admins() -> str:
    """Members of groups that give product administration or belong to site administration; one row a person, kind
    (``product`` or ``site``) and group."""
    return f"""
        SELECT {WHO}, u.account_status, k.kind, g.name AS group_name, g.group_id
        FROM memberships m JOIN groups g ON g.group_no = m.group_no JOIN users u ON u.user_no = m.user_no
        JOIN (SELECT group_no, 'product' AS kind FROM groups WHERE for_admins
              UNION ALL SELECT group_no, 'site' AS kind FROM groups WHERE for_site_admins) k ON k.group_no = g.group_no
        ORDER BY u.display_name, u.account_id, k.kind, g.name, g.group_id"""


@question(
    "app-users",
    "Which apps sit in groups and inflate the counts?",
    number=18,
    needs=("groups", "users", "memberships"),
    columns={**PERSON, **GROUP, "access": "text"},
    cannot_know="Which app an account belongs to, beyond its name.",
)
def app_users() -> str:
    """Accounts of the type app, one row a group."""
    return f"""
        SELECT {WHO}, g.name AS group_name, g.group_id, g.access
        FROM memberships m JOIN groups g ON g.group_no = m.group_no JOIN users u ON u.user_no = m.user_no
        WHERE u.account_type = 'app'
        ORDER BY u.display_name, u.account_id, g.name, g.group_id"""


@question(
    "guests-in-groups",
    "Which guests are in which groups?",
    number=12,
    needs=("groups", "users", "memberships"),
    columns={**PERSON, "account_status": "text", **GROUP, "access": "text"},
    cannot_know=GUESTS,
)
def guests_in_groups() -> str:
    """One row a guest and group."""
    return f"""
        SELECT {WHO}, u.account_status, g.name AS group_name, g.group_id, g.access
        FROM memberships m JOIN groups g ON g.group_no = m.group_no JOIN users u ON u.user_no = m.user_no
        WHERE u.is_guest
        ORDER BY u.display_name, u.account_id, g.name, g.group_id"""


@question(
    "similar-groups",
    "Which groups hold nearly the same people?",
    needs=("groups", "memberships"),
    params=(
        Param("alike", "number", "how alike, in percent of the people in either", 80),
        Param("at_most", "number", "leave out groups larger than this", 2000),
    ),
    columns={
        **GROUP,
        **dict.fromkeys(("other_name", "other_id"), "text"),
        **dict.fromkeys(("members", "other_members", "shared"), "int"),
        "percent": "float",
    },
    cannot_know="Whether two groups are meant to be the same.",
)
def similar_groups(alike: int, at_most: int) -> str:
    """Pairs of groups whose shared members are at least `alike` percent of the members of either."""
    return """
        WITH n AS (SELECT group_no, COUNT(*) AS members FROM memberships GROUP BY group_no
                   HAVING COUNT(*) <= $at_most),
             m AS (SELECT p.group_no, p.user_no, n.members FROM memberships p JOIN n ON n.group_no = p.group_no),
             pairs AS (SELECT a.group_no AS one, b.group_no AS two, COUNT(*) AS shared
                       FROM m a JOIN m b ON b.user_no = a.user_no AND a.group_no < b.group_no
                        AND 100 * a.members >= $alike * b.members AND 100 * b.members >= $alike * a.members
                       GROUP BY a.group_no, b.group_no)
        SELECT g.name AS group_name, g.group_id, h.name AS other_name, h.group_id AS other_id,
               x.members, y.members AS other_members, pairs.shared,
               100.0 * pairs.shared / (x.members + y.members - pairs.shared) AS percent
        FROM pairs JOIN n x ON x.group_no = pairs.one JOIN n y ON y.group_no = pairs.two
        JOIN groups g ON g.group_no = pairs.one JOIN groups h ON h.group_no = pairs.two
        WHERE 100 * pairs.shared >= $alike * (x.members + y.members - pairs.shared)
        ORDER BY percent DESC, g.name, h.name, g.group_id, h.group_id"""


@question(
    "same-name-accounts",
    "Who may have two accounts?",
    needs=("users",),
    columns={"person": "text", "accounts": "int", "account_id": "text", "email": "text", **_STATUS},
    cannot_know="Two people may have one name; hidden e-mail addresses cannot tell them apart. " + NO_EMAILS,
)
def same_name_accounts() -> str:
    """Accounts (no apps) whose display name appears more than once, whatever its letter case."""
    return """
        SELECT u.display_name AS person, n.accounts, u.account_id, u.email, u.account_type, u.account_status
        FROM users u JOIN (SELECT LOWER(display_name) AS same, COUNT(*) AS accounts FROM users
                           WHERE account_type <> 'app' AND display_name <> ''
                           GROUP BY LOWER(display_name) HAVING COUNT(*) > 1) n ON n.same = LOWER(u.display_name)
        WHERE u.account_type <> 'app'
        ORDER BY n.accounts DESC, n.same, u.account_id"""
