"""Questions about spaces: who sees what, through which group.

Nobody's access is spread out over all spaces: an answer is about one person, one group or one space, or counts.
"""

from __future__ import annotations

from spokekit.audit.questions.registry import (
    ANONYMOUS,
    GUESTS,
    LICENCE,
    NO_SITE_ADMINS,
    PAGES,
    PERSON,
    ROLES,
    WHO,
    Param,
    question,
)

_SPACE = {"space_key": "text", "space_name": "text", "space_id": "text"}
_SPACE_COLUMNS = "s.space_key, s.name AS space_name, s.space_id"
# One row a grant; level says the most that a principal may do, so that ten classic permissions are one line.
_LEVELS = """
    SELECT p.space_no, p.principal_type, p.principal_id, p.group_no, p.user_no,
           MAX(CASE WHEN p.manages THEN 1 ELSE 0 END) AS manages, COUNT(*) AS grant_count
    FROM grants p WHERE p.space_no IN (SELECT space_no FROM grants WHERE sees OR manages) {where}
    GROUP BY p.space_no, p.principal_type, p.principal_id, p.group_no, p.user_no
    HAVING MAX(CASE WHEN p.sees OR p.manages THEN 1 ELSE 0 END) = 1"""
_VIA = {"via": "text", "through": "text", "through_id": "text", "manages": "bool"}


def _levels(where: str = "") -> str:
    return _LEVELS.format(where=where)


@question(
    "where-is-group-used",
    "Where is this group used, before I delete or rename it?",
    number=7,
    needs=("groups", "spaces", "grants"),
    params=(Param("group", "group", "a group, by name or id"),),
    columns={"use": "text", **_SPACE, "operation": "text", "target": "text", "role": "text"},
    cannot_know="Use by another product, by an app, by page restrictions or by an automation. " + PAGES,
)
def where_is_group_used(group: int) -> str:
    """Access to the product and each grant of a space that names the group."""
    return f"""
        SELECT 'access to the product' AS "use", '' AS space_key, '' AS space_name, '' AS space_id,
               g.access AS operation, '' AS target, '' AS role
        FROM groups g WHERE g.group_no = $group AND g.access <> ''
        UNION ALL
        SELECT 'space' AS "use", {_SPACE_COLUMNS}, p.operation, p.target, p.role
        FROM grants p JOIN spaces s ON s.space_no = p.space_no WHERE p.group_no = $group
        ORDER BY 1, 2, 4, 5, 6, 7"""


@question(
    "spaces-of-group",
    "Which spaces can this group see?",
    number=8,
    needs=("groups", "spaces", "grants"),
    params=(Param("group", "group", "a group, by name or id"),),
    columns={**_SPACE, "type": "text", "status": "text", "manages": "bool"},
    cannot_know="Spaces that are open to everybody are not listed here: see open-spaces. " + PAGES,
)
def spaces_of_group(group: int) -> str:
    """One row a space that names the group itself."""
    return f"""
        SELECT {_SPACE_COLUMNS}, s.type, s.status, l.manages = 1 AS manages
        FROM ({_levels("AND p.group_no = $group")}) l JOIN spaces s ON s.space_no = l.space_no
        ORDER BY s.space_key, s.space_id"""


@question(
    "spaces-of-person",
    "What can this person see, and through which group?",
    number=9,
    needs=("groups", "users", "memberships", "spaces", "grants"),
    params=(Param("person", "person", "a person, by name, e-mail or account id"),),
    columns={**_SPACE, "status": "text", **_VIA},
    cannot_know=f"{LICENCE} {PAGES} {ANONYMOUS} {NO_SITE_ADMINS}",
)
def spaces_of_person(person: int) -> str:
    """One row for each path: person -> group -> space (via ``group``), a grant to the person (``person``), or a class
    of people that they belong to (``everybody``). A guest has no licence, whatever Confluence lets a guest do."""
    return f"""
        WITH me AS (SELECT u.user_no, u.display_name, u.account_id, u.licensed AND NOT u.is_guest AS has_licence,
                           MAX(CASE WHEN g.for_admins THEN 1 ELSE 0 END) AS is_admin
                    FROM users u LEFT JOIN memberships m ON m.user_no = u.user_no
                    LEFT JOIN groups g ON g.group_no = m.group_no
                    WHERE u.user_no = $person GROUP BY u.user_no, u.display_name, u.account_id, u.licensed, u.is_guest),
             classes AS (SELECT 'anonymous-users' AS class FROM me
                   UNION ALL SELECT 'authenticated-users' AS class FROM me
                   UNION ALL SELECT 'all-licensed-users' AS class FROM me WHERE has_licence
                   UNION ALL SELECT 'all-product-admins' AS class FROM me WHERE is_admin = 1),
             l AS ({_levels()})
        SELECT {_SPACE_COLUMNS}, s.status, 'group' AS via, g.name AS through, g.group_id AS through_id,
               l.manages = 1 AS manages
        FROM memberships m JOIN l ON l.group_no = m.group_no JOIN groups g ON g.group_no = m.group_no
        JOIN spaces s ON s.space_no = l.space_no WHERE m.user_no = $person
        UNION ALL
        SELECT {_SPACE_COLUMNS}, s.status, 'person' AS via, me.display_name AS through, me.account_id AS through_id,
               l.manages = 1 AS manages
        FROM me JOIN l ON l.user_no = me.user_no JOIN spaces s ON s.space_no = l.space_no
        UNION ALL
        SELECT {_SPACE_COLUMNS}, s.status, 'everybody' AS via, c.class AS through, c.class AS through_id,
               l.manages = 1 AS manages
        FROM classes c JOIN l ON l.principal_type = 'access-class' AND l.principal_id = c.class
        JOIN spaces s ON s.space_no = l.space_no
        ORDER BY 1, 3, 5, 6, 7"""


@question(
    "people-of-space",
    "Who can see this space, and through which group?",
    number=10,
    needs=("groups", "users", "memberships", "spaces", "grants"),
    params=(Param("space", "space", "a space, by key, name or id"),),
    columns={**PERSON, "account_status": "text", "licensed": "bool", "is_guest": "bool", **_VIA},
    cannot_know=f"{LICENCE} {PAGES} {ANONYMOUS} {NO_SITE_ADMINS}",
)
def people_of_space(space: int) -> str:
    """One row for each path: person -> group -> space (via ``group``), a grant to the person (``person``). A class of
    people, such as everybody with a licence, is one row (via ``everybody``) with no person in it."""
    return f"""
        WITH l AS ({_levels("AND p.space_no = $space")})
        SELECT {WHO}, u.account_status, u.licensed, u.is_guest,
               'group' AS via, g.name AS through, g.group_id AS through_id, l.manages = 1 AS manages
        FROM l JOIN memberships m ON m.group_no = l.group_no JOIN groups g ON g.group_no = l.group_no
        JOIN users u ON u.user_no = m.user_no
        UNION ALL
        SELECT {WHO}, u.account_status, u.licensed, u.is_guest,
               'person' AS via, u.display_name AS through, u.account_id AS through_id, l.manages = 1 AS manages
        FROM l JOIN users u ON u.user_no = l.user_no
        UNION ALL
        SELECT '' AS person, '' AS account_id, '' AS account_status, FALSE AS licensed, FALSE AS is_guest,
               'everybody' AS via, l.principal_id AS through, l.principal_id AS through_id, l.manages = 1 AS manages
        FROM l WHERE l.principal_type NOT IN ('group', 'user')
        ORDER BY 1, 2, 6, 7, 8"""


@question(
    "open-spaces",
    "Which spaces are open to everybody?",
    number=11,
    needs=("spaces", "grants"),
    columns={**_SPACE, "type": "text", "status": "text", "open_to": "text", "manages": "bool"},
    cannot_know=ANONYMOUS,
)
def open_spaces() -> str:
    """One row for each space and class of people: ``anonymous-users``, ``authenticated-users``,
    ``all-licensed-users`` and others that a site has."""
    return f"""
        SELECT {_SPACE_COLUMNS}, s.type, s.status, l.principal_id AS open_to, l.manages = 1 AS manages
        FROM ({_levels("AND p.principal_type NOT IN ('group', 'user')")}) l JOIN spaces s ON s.space_no = l.space_no
        ORDER BY CASE l.principal_id WHEN 'anonymous-users' THEN 0 WHEN 'authenticated-users' THEN 1 ELSE 2 END,
                 s.space_key, s.space_id, l.principal_id"""


@question(
    "guests-in-spaces",
    "Which guests see which spaces?",
    number=12,
    needs=("groups", "users", "memberships", "spaces", "grants"),
    columns={**PERSON, "account_status": "text", **_SPACE, "via": "text", "through": "text"},
    cannot_know=f"{GUESTS} {ANONYMOUS}",
)
def guests_in_spaces() -> str:
    """One row for each path of a guest to a space, except the spaces that are open to everybody (open-spaces)."""
    return f"""
        WITH l AS ({_levels()}), v AS (SELECT * FROM users WHERE is_guest)
        SELECT v.display_name AS person, v.account_id, v.account_status, {_SPACE_COLUMNS}, 'group' AS via,
               g.name AS through
        FROM v JOIN memberships m ON m.user_no = v.user_no JOIN l ON l.group_no = m.group_no
        JOIN groups g ON g.group_no = m.group_no JOIN spaces s ON s.space_no = l.space_no
        UNION ALL
        SELECT v.display_name AS person, v.account_id, v.account_status, {_SPACE_COLUMNS}, 'person' AS via,
               v.display_name AS through
        FROM v JOIN l ON l.user_no = v.user_no JOIN spaces s ON s.space_no = l.space_no
        ORDER BY 1, 2, 4, 7, 8"""


@question(
    "space-admins",
    "Who administers which space?",
    number=17,
    needs=("groups", "users", "memberships", "spaces", "grants"),
    columns={**_SPACE, **PERSON, "account_status": "text", "via": "text", "through": "text"},
    cannot_know=f"{ROLES} {NO_SITE_ADMINS}",
)
def space_admins() -> str:
    """One row for each path of a person to the administration of a space."""
    return f"""
        SELECT {_SPACE_COLUMNS}, {WHO}, u.account_status, 'group' AS via,
               g.name AS through
        FROM grants p JOIN spaces s ON s.space_no = p.space_no JOIN memberships m ON m.group_no = p.group_no
        JOIN groups g ON g.group_no = p.group_no JOIN users u ON u.user_no = m.user_no WHERE p.manages
        UNION
        SELECT {_SPACE_COLUMNS}, {WHO}, u.account_status, 'person' AS via,
               u.display_name AS through
        FROM grants p JOIN spaces s ON s.space_no = p.space_no JOIN users u ON u.user_no = p.user_no WHERE p.manages
        ORDER BY 1, 3, 4, 5, 7, 8"""


@question(
    "spaces-without-admin",
    "Which spaces has nobody left to administer?",
    needs=("groups", "users", "memberships", "spaces", "grants", "coverage"),
    columns={**_SPACE, "type": "text", "status": "text", "named_admins": "int"},
    cannot_know=f"{ROLES} Site and product admins can always step in. {NO_SITE_ADMINS}",
)
def spaces_without_admin() -> str:
    """Spaces without an active administrator; `named_admins` counts those named who are gone or groups that are empty:
    a leaver's personal space shows 1 here. Left out are spaces that a group administers whose members were never read
    to their end: somebody may be in it."""
    return f"""
        WITH holders AS (SELECT p.space_no, u.account_status FROM grants p JOIN users u ON u.user_no = p.user_no
                         WHERE p.manages
                         UNION ALL SELECT p.space_no, u.account_status FROM grants p
                         JOIN memberships m ON m.group_no = p.group_no JOIN users u ON u.user_no = m.user_no
                         WHERE p.manages),
             open_class AS (SELECT DISTINCT space_no FROM grants
                            WHERE manages AND principal_type NOT IN ('group', 'user'))
        SELECT {_SPACE_COLUMNS}, s.type, s.status, COALESCE(n.named, 0) AS named_admins
        FROM spaces s
        LEFT JOIN (SELECT space_no, COUNT(DISTINCT principal_id) AS named FROM grants WHERE manages
                   GROUP BY space_no) n ON n.space_no = s.space_no
        WHERE NOT EXISTS (SELECT 1 FROM grants p JOIN coverage c ON c.group_no = p.group_no
                          WHERE p.space_no = s.space_no AND p.manages AND c.walked_at IS NULL)
          AND NOT EXISTS (SELECT 1 FROM holders h WHERE h.space_no = s.space_no
                          AND h.account_status NOT IN ('inactive', 'closed'))
          AND NOT EXISTS (SELECT 1 FROM open_class o WHERE o.space_no = s.space_no)
        ORDER BY s.space_key, s.space_id"""


@question(
    "grants-to-people",
    "Which spaces name single people instead of groups?",
    needs=("users", "spaces", "grants"),
    columns={**_SPACE, "type": "text", **PERSON, "account_status": "text", "manages": "bool", "grant_count": "int"},
)
def grants_to_people() -> str:
    """One row a space and person, personal spaces left out: each of these is forgotten when somebody changes jobs."""
    return f"""
        SELECT {_SPACE_COLUMNS}, s.type, {WHO}, u.account_status,
               l.manages = 1 AS manages, l.grant_count
        FROM ({_levels("AND p.user_no >= 0")}) l JOIN spaces s ON s.space_no = l.space_no
        JOIN users u ON u.user_no = l.user_no
        WHERE s.type <> 'personal'
        ORDER BY s.space_key, s.space_id, person, u.account_id"""


@question(
    "grants-by-space",
    "How many groups, people and classes does each space name?",
    needs=("spaces", "grants"),
    columns={
        **_SPACE,
        **dict.fromkeys(("type", "status"), "text"),
        **dict.fromkeys(("named_groups", "named_people", "named_classes", "grant_count"), "int"),
    },
)
def grants_by_space() -> str:
    """One row a space, the one with most grants first."""
    return f"""
        SELECT {_SPACE_COLUMNS}, s.type, s.status,
               COUNT(DISTINCT CASE WHEN p.principal_type = 'group' THEN p.principal_id END) AS named_groups,
               COUNT(DISTINCT CASE WHEN p.principal_type = 'user' THEN p.principal_id END) AS named_people,
               COUNT(DISTINCT CASE WHEN p.principal_type NOT IN ('group', 'user') THEN p.principal_id END)
                   AS named_classes,
               COUNT(p.principal_id) AS grant_count
        FROM spaces s LEFT JOIN grants p ON p.space_no = s.space_no
        GROUP BY s.space_key, s.name, s.space_id, s.type, s.status
        ORDER BY grant_count DESC, s.space_key, s.space_id"""
