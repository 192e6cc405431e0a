"""Questions about time: what changed, since when, was it ever so."""

from __future__ import annotations

from spokekit.audit.questions.registry import BETWEEN, CHANGE, GROUP, NOT_THE_ACTOR, PERSON, WHO, Param, question

_STAY = {**PERSON, **GROUP, "access": "text", "seen_from": "time"}
_ALSO_GONE = Param("person", "person", "a person, by name, e-mail or account id; also one who is gone")
_DAYS = Param("days", "days", "how many days back from the newest snapshot", 7)
_STILL = 2_147_483_647
_GROUPS_OF_PERSON = "SELECT group_no FROM membership_history WHERE user_no = $person"


def _last(table: str, number: str, which: str) -> str:
    """Return the last that was known of the groups or people `which`: whoever is gone now still has a name."""
    return f"""(SELECT h.* FROM {table} h
                JOIN (SELECT {number}, MAX(until) AS until FROM {table} WHERE {number} IN ({which}) GROUP BY {number}) k
                  ON k.{number} = h.{number} AND k.until = h.until)"""


def _looked_later(after: str) -> str:
    """Return the groups whose members were read for the first time after snapshot `after`, and later than the group was
    listed: who was in them then did not come into them then."""
    return f"""(SELECT c.group_no, c.first_walk, k.listed FROM coverage c
                JOIN (SELECT group_no, MIN(since) AS listed FROM group_history
                      WHERE group_no IN (SELECT group_no FROM coverage WHERE first_walk > {after}) GROUP BY group_no) k
                  ON k.group_no = c.group_no
                WHERE c.first_walk > k.listed)"""


def _told(table: str, number: str, columns: str) -> str:
    """Return what groups or people were called after snapshot ``$days``; whoever goes has a name at the moment of going
    as well. Most rows still hold and are taken as they are: only the few that ended are compared with what began."""
    return f"""(SELECT {number}, {columns}, since, until AS told_until FROM {table} WHERE until = {_STILL}
                UNION ALL
                SELECT h.{number}, {columns}, h.since,
                       CASE WHEN k.since IS NULL THEN h.until + 1 ELSE h.until END AS told_until
                FROM (SELECT * FROM {table} WHERE until > $days AND until < {_STILL}) h
                LEFT JOIN (SELECT {number}, since FROM {table} WHERE since > $days) k
                  ON k.{number} = h.{number} AND k.since = h.until)"""


@question(
    "membership-dates",
    "When did this person come into which group, and when did they leave?",
    number=15,
    needs=("history",),
    params=(_ALSO_GONE,),
    columns={**_STAY, "not_seen_before": "time", "gone_by": "time", "still_there": "bool"},
    cannot_know=f"{NOT_THE_ACTOR} {BETWEEN}",
)
def membership_dates(person: int) -> str:
    """One row for each stay in a group: first seen in the snapshot of `seen_from` (the one before that read the
    group was taken at `not_seen_before`, empty when none did), gone in the snapshot of `gone_by` (empty while
    still there)."""
    return f"""
        WITH p AS (SELECT n.number, MAX(x.number) AS previous FROM moments n LEFT JOIN moments x ON x.number < n.number
                   GROUP BY n.number)
        SELECT {WHO}, g.name AS group_name, g.group_id, g.access, b.taken_at AS seen_from,
               a.taken_at AS not_seen_before, e.taken_at AS gone_by, m.until = {_STILL} AS still_there
        FROM (SELECT * FROM membership_history WHERE user_no = $person) m
        JOIN {_last("user_history", "user_no", "$person")} u ON u.user_no = m.user_no
        JOIN {_last("group_history", "group_no", _GROUPS_OF_PERSON)} g ON g.group_no = m.group_no
        JOIN moments b ON b.number = m.since
        LEFT JOIN (SELECT s.group_no, s.since, MAX(CASE WHEN c.until < s.since THEN c.until ELSE s.since END) AS after
                   FROM membership_history s JOIN coverage_history c ON c.group_no = s.group_no
                   WHERE s.user_no = $person AND c.state = 'walked' AND c.since < s.since
                   GROUP BY s.group_no, s.since) r ON r.group_no = m.group_no AND r.since = m.since
        LEFT JOIN (SELECT group_no, MIN(since) AS listed FROM group_history WHERE group_no IN ({_GROUPS_OF_PERSON})
                   GROUP BY group_no) k ON k.group_no = m.group_no
        LEFT JOIN p ON p.number = CASE WHEN r.after IS NOT NULL THEN r.after WHEN k.listed = m.since THEN m.since END
        LEFT JOIN moments a ON a.number = p.previous
        LEFT JOIN moments e ON e.number = m.until
        ORDER BY b.taken_at, g.name, g.group_id"""


@question(
    "ever-had-access",
    "Was this person ever in a group that gave access?",
    number=16,
    needs=("history",),
    params=(_ALSO_GONE,),
    columns={**_STAY, "gone_by": "time"},
    cannot_know=f"Only as far back as the first snapshot. {BETWEEN}",
)
def ever_had_access(person: int) -> str:
    """One row for each time in which the person was in a group while that group gave access; no row: never, as far as
    the snapshots reach."""
    return f"""
        SELECT {WHO}, g.name AS group_name, g.group_id, g.access, b.taken_at AS seen_from, e.taken_at AS gone_by
        FROM (SELECT * FROM membership_history WHERE user_no = $person) m
        JOIN group_history g ON g.group_no = m.group_no AND (g.for_users OR g.for_admins)
             AND g.since < m.until AND m.since < g.until
        JOIN {_last("user_history", "user_no", "$person")} u ON u.user_no = m.user_no
        JOIN moments b ON b.number = CASE WHEN m.since > g.since THEN m.since ELSE g.since END
        LEFT JOIN moments e ON e.number = CASE WHEN m.until < g.until THEN m.until ELSE g.until END
        ORDER BY b.taken_at, g.name, g.group_id"""


@question(
    "changes-since",
    "Who came and who left, in the last days?",
    number=16,
    needs=("history",),
    params=(_DAYS, Param("group", "group", "one group only, by name or id", "")),
    columns={**CHANGE, "seen_at": "time"},
    cannot_know=f"{NOT_THE_ACTOR} {BETWEEN}",
)
def changes_since(days: int, group: int | None) -> str:
    """Memberships ``added`` or ``removed`` after the last snapshot that is at least `days` old (or the first one).

    Whoever was in a group when it was walked for the first time did not come into it then."""
    only = "" if group is None else "AND m.group_no = $group"
    return f"""
        WITH l AS {_looked_later("$days")},
             x AS (
            SELECT 'added' AS change, m.group_no, m.user_no, m.since AS at FROM membership_history m
            LEFT JOIN l ON l.group_no = m.group_no AND l.first_walk = m.since
            WHERE m.since > $days AND m.until > $days {only} AND l.group_no IS NULL
            UNION ALL SELECT 'removed' AS change, m.group_no, m.user_no, m.until AS at FROM membership_history m
            WHERE m.until > $days AND m.until < {_STILL} {only})
        SELECT x.change, g.name AS group_name, g.group_id, g.access, {WHO}, t.taken_at AS seen_at
        FROM x JOIN {_told("group_history", "group_no", "name, group_id, access")} g
          ON g.group_no = x.group_no AND g.since <= x.at AND g.told_until > x.at
        JOIN {_told("user_history", "user_no", "display_name, account_id")} u
          ON u.user_no = x.user_no AND u.since <= x.at AND u.told_until > x.at
        JOIN moments t ON t.number = x.at
        ORDER BY t.taken_at, g.name, g.group_id, x.change, person, u.account_id"""


@question(
    "changed-groups",
    "Which groups came, went, or changed their name or access?",
    number=16,
    needs=("history",),
    params=(_DAYS,),
    columns={"change": "text", "group_id": "text", "before": "text", "after": "text", "seen_at": "time"},
    cannot_know=f"{NOT_THE_ACTOR} {BETWEEN}",
)
def changed_groups(days: int) -> str:
    """``new``, ``gone``, ``renamed``, ``access changed``; before and after hold the name or the access."""
    return f"""
        WITH b AS (SELECT * FROM group_history WHERE since > $days),
             e AS (SELECT * FROM group_history WHERE until > $days AND until < {_STILL}),
             x AS (
            SELECT 'new' AS change, b.group_id, '' AS before, b.name AS after, b.since AS at FROM b
            WHERE NOT EXISTS (SELECT 1 FROM group_history k WHERE k.group_no = b.group_no AND k.until = b.since)
            UNION ALL SELECT 'gone' AS change, e.group_id, e.name AS before, '' AS after, e.until AS at FROM e
            WHERE NOT EXISTS (SELECT 1 FROM group_history k WHERE k.group_no = e.group_no AND k.since = e.until)
            UNION ALL SELECT 'renamed' AS change, b.group_id, e.name AS before, b.name AS after, b.since AS at
            FROM b JOIN e ON e.group_no = b.group_no AND e.until = b.since AND e.name <> b.name
            UNION ALL SELECT 'access changed' AS change, b.group_id, e.access AS before, b.access AS after,
                   b.since AS at
            FROM b JOIN e ON e.group_no = b.group_no AND e.until = b.since AND e.access <> b.access)
        SELECT x.change, x.group_id, x.before, x.after, t.taken_at AS seen_at
        FROM x JOIN moments t ON t.number = x.at ORDER BY t.taken_at, x.change, x.group_id"""


@question(
    "changed-grants",
    "Which grants of spaces were added or removed?",
    number=16,
    needs=("history", "spaces"),
    params=(_DAYS,),
    columns={
        **dict.fromkeys(("change", "space_key", "principal_type", "principal", "principal_id"), "text"),
        **dict.fromkeys(("operation", "target", "role"), "text"),
        "seen_at": "time",
    },
    cannot_know=f"{NOT_THE_ACTOR} {BETWEEN} Only snapshots with spaces see grants.",
)
def changed_grants(days: int) -> str:
    """One row a grant; principal is a name where it is known. The key of a space that is gone is empty."""
    return f"""
        WITH x AS (
            SELECT 'added' AS change, p.*, p.since AS at FROM grant_history p WHERE p.since > $days
            UNION ALL SELECT 'removed' AS change, p.*, p.until AS at FROM grant_history p
            WHERE p.until > $days AND p.until < {_STILL})
        SELECT x.change, COALESCE(s.space_key, '') AS space_key, x.principal_type,
               COALESCE(g.name, u.display_name, x.principal_id) AS principal, x.principal_id, x.operation, x.target,
               x.role, t.taken_at AS seen_at
        FROM x JOIN moments t ON t.number = x.at LEFT JOIN spaces s ON s.space_no = x.space_no
        LEFT JOIN {_last("group_history", "group_no", "SELECT group_no FROM x")} g ON g.group_no = x.group_no
        LEFT JOIN {_last("user_history", "user_no", "SELECT user_no FROM x")} u ON u.user_no = x.user_no
        ORDER BY t.taken_at, space_key, x.change, principal, x.principal_id, x.operation, x.target, x.role"""


@question(
    "membership-over-time",
    "How many people were in each group, at each snapshot?",
    needs=("history",),
    params=(Param("groups", "groups", "which groups; without it, all together", ()),),
    columns={"taken_at": "time", **GROUP, "members": "int"},
    cannot_know=f"All together, the members of a group that was walked for the first time count as added. {BETWEEN}",
)
def membership_over_time(groups: tuple[int, ...]) -> str:
    """One row a snapshot and group, none for a snapshot at which nobody had read the group yet; all together (the name
    is empty) counts each person once a group."""
    if not groups:
        return f"""
            WITH d AS (SELECT since AS number, COUNT(*) AS n FROM membership_history GROUP BY since
                       UNION ALL SELECT until AS number, -COUNT(*) AS n FROM membership_history
                       WHERE until < {_STILL} GROUP BY until)
            SELECT t.taken_at, '' AS group_name, '' AS group_id, SUM(d.n) AS members
            FROM moments t JOIN d ON d.number <= t.number GROUP BY t.taken_at ORDER BY t.taken_at"""
    chosen = ", ".join(str(int(group)) for group in groups)
    return f"""
        SELECT t.taken_at, g.name AS group_name, g.group_id, COUNT(m.user_no) AS members
        FROM moments t CROSS JOIN {_last("group_history", "group_no", chosen)} g
        LEFT JOIN {_looked_later("1")} l ON l.group_no = g.group_no
        LEFT JOIN membership_history m ON m.group_no = g.group_no AND m.since <= t.number AND m.until > t.number
        WHERE l.group_no IS NULL OR t.number < l.listed OR t.number >= l.first_walk
        GROUP BY t.taken_at, g.name, g.group_id ORDER BY g.name, g.group_id, t.taken_at"""
