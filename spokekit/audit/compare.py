"""What changed between two states: of one history, or of any two audits of the same site."""

from __future__ import annotations

from datetime import datetime

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from spokekit._frames import as_kind
from spokekit._words import counted
from spokekit.audit.audit import Audit
from spokekit.audit.frames import CONFIRMED, IDS, WALKED
from spokekit.audit.history.files import in_order
from spokekit.audit.history.numbering import places_in
from spokekit.audit.history.snapshot import Snapshot
from spokekit.audit.questions.registry import CHANGE
from spokekit.audit.questions.runner import contract
from spokekit.errors import InputError

_STILL = 2_147_483_647


def diff(before: Audit, after: Audit) -> pd.DataFrame:
    """Return the memberships that were added and removed.

    Two moments of one history are compared by what began and ended between them, which reads no unchanged row; any
    other two states by their ids.

    Returns
    -------
    change (``added`` or ``removed``), group_name, group_id, access, person, account_id (all text), by group, change
    and person. Where one of the two confirmed only the size of some groups, two columns more: `read_before` and
    `read_after` (time: when the group was last read whole for the one state and for the other; the change lies between
    them). ``attrs``: before, after (times), not_compared (ids of groups that one of the two did not walk), size_only
    (ids of groups of which the newer state knows only the size to be the same, so that one who came while one left
    would not show), caution (that, and that a newer snapshot cannot be used, or "").

    Raises InputError when the states are of two sites, or in the wrong order.
    """
    if before.site.cloud_id != after.site.cloud_id:
        raise InputError("The two states are of two sites.", field="before")
    if before.taken_at > after.taken_at:
        raise InputError("The first state is newer than the second one.", hint="Swap them.", field="before")
    one, other = before.source, after.source
    unread = f"NOT IN ('{WALKED}', '{CONFIRMED}')"
    left_out = sorted({group for audit in (before, after) for group in _in_state(audit, unread)})
    if isinstance(one, Snapshot) and isinstance(other, Snapshot) and one.folder.parent == other.folder.parent:
        made = _by_history(one, after, left_out)
    else:
        made = _by_ids(before, after, left_out)
    answer = contract(made, CHANGE)
    confirmed = [_in_state(audit, f"= '{CONFIRMED}'") for audit in (before, after)]
    size_only = sorted(confirmed[1])
    if any(confirmed):
        for column, audit in (("read_before", before), ("read_after", after)):
            read = _read_at(audit)
            answer[column] = as_kind(answer["group_id"].map(read).astype(object), "time", len(answer))
    cautions = [s.older_words for s in (other, one) if isinstance(s, Snapshot) and s.older_words][:1]
    if size_only:
        cautions.append(
            f"Of {counted(len(size_only), 'group')} only the size is compared: one who came while one left would not "
            "show."
        )
    answer.attrs.update(
        site=after.site.name or after.site.cloud_id,
        before=before.taken_at.isoformat(timespec="seconds"),
        after=after.taken_at.isoformat(timespec="seconds"),
        not_compared=left_out,
        size_only=size_only,
        caution=" ".join(cautions),
    )
    return answer


def _in_state(audit: Audit, which: str) -> list[str]:
    """Return the groups of which the audit has such a state."""
    rows = audit.session.rows(f"SELECT g.group_id FROM coverage c JOIN groups g USING (group_no) WHERE c.state {which}")
    return [str(row[0]) for row in rows]


def _read_at(audit: Audit) -> dict[str, datetime | None]:
    """Return when each group was last read whole."""
    rows = audit.session.rows("SELECT g.group_id, c.walked_at FROM coverage c JOIN groups g USING (group_no)")
    return dict(rows)


def _by_history(then: Snapshot, after: Audit, left_out: list[str]) -> pd.DataFrame:
    # In one history a group has one number.
    numbers = after.session.matching("SELECT group_no FROM groups_ids WHERE group_id IN", left_out)
    # Names are those of the newer state, or of the older one for what is gone.
    at_one_end = f"(until = {_STILL} OR (since <= $n AND until > $n))"
    # A membership that ended and came back in between is the same at both ends.
    return after.sql(
        f"""
        WITH was AS (SELECT group_no, user_no FROM membership_history WHERE since <= $n AND until > $n
                     AND until < {_STILL}),
             now AS (SELECT group_no, user_no FROM membership_history WHERE since > $n AND until = {_STILL}),
             unseen AS (SELECT unnest(CAST($unseen AS INTEGER[])) AS group_no),
             x AS (SELECT 'added' AS change, * FROM now ANTI JOIN was USING (group_no, user_no)
                   ANTI JOIN unseen USING (group_no)
                   UNION ALL SELECT 'removed' AS change, * FROM was ANTI JOIN now USING (group_no, user_no)
                   ANTI JOIN unseen USING (group_no)),
             g AS (SELECT group_no, arg_max(name, until) AS name, arg_max(group_id, until) AS group_id,
                          arg_max(access, until) AS access
                   FROM group_history WHERE group_no IN (SELECT group_no FROM x) AND {at_one_end} GROUP BY group_no),
             u AS (SELECT user_no, arg_max(display_name, until) AS display_name,
                          arg_max(account_id, until) AS account_id
                   FROM user_history WHERE user_no IN (SELECT user_no FROM x) AND {at_one_end} GROUP BY user_no)
        SELECT change, g.name AS group_name, g.group_id, g.access, u.display_name AS person, u.account_id
        FROM x JOIN g USING (group_no) JOIN u USING (user_no)
        ORDER BY g.name, g.group_id, change, person, u.account_id""",
        n=then.at,
        unseen=numbers.column("group_no").to_pylist(),
    )


def _by_ids(before: Audit, after: Audit, left_out: list[str]) -> pd.DataFrame:
    groups, all_groups = _translate(_ids(before, "groups"), _ids(after, "groups"))
    users, all_users = _translate(_ids(before, "users"), _ids(after, "users"))
    # The ids of the older state are not needed any more.
    pa.default_memory_pool().release_unused()
    was, now = _keys(before, groups, users), _keys(after)
    added, removed = now[~places_in(was, now)[1]], was[~places_in(now, was)[1]]
    if left_out:
        unseen = (
            pc.index_in(pa.array(left_out, pa.string()), all_groups.chunk(0)).drop_null().to_numpy(zero_copy_only=False)
        )
        added, removed = (keys[~np.isin(keys >> 32, unseen)] for keys in (added, removed))
    made = []
    for change, keys in (("added", added), ("removed", removed)):
        group_ids = all_groups.take(pa.array(keys >> 32)).to_pandas()
        accounts = all_users.take(pa.array(keys & 0xFFFFFFFF)).to_pandas()
        made.append(pd.DataFrame({"change": change, "group_id": group_ids, "account_id": accounts}))
    changes = pd.concat(made, ignore_index=True)
    changes = _named(changes, "group_id", {"name": "group_name", "access": "access"}, "groups", before, after)
    changes = _named(changes, "account_id", {"display_name": "person"}, "users", before, after)
    return changes.sort_values(["group_name", "group_id", "change", "person", "account_id"], ignore_index=True)


def _ids(audit: Audit, kind: str) -> pa.Array:
    """Return the ids of groups or users, by number."""
    number, key = IDS[kind]
    found = audit.session.arrow(f"SELECT {number}, {key} FROM {kind}_ids")
    return in_order(found, number).column(key).combine_chunks()


def _keys(audit: Audit, groups: np.ndarray | None = None, users: np.ndarray | None = None) -> np.ndarray:
    """Return group and person of each membership in one number, sorted; translated by `groups` and `users`."""
    pairs = audit.session.arrow("SELECT group_no, user_no FROM memberships")
    group_no, user_no = (pairs.column(name).to_numpy() for name in ("group_no", "user_no"))
    key: np.ndarray = (group_no if groups is None else groups[group_no]).astype(np.int64)
    key <<= 32
    key |= user_no if users is None else users[user_no]
    key.sort()
    return key


def _translate(old: pa.Array, new: pa.Array) -> tuple[np.ndarray, pa.ChunkedArray]:
    """Return for each number of `old` the number in `new`, and the ids behind the numbers that this gives: what `new`
    does not have gets numbers behind it."""
    found = pc.index_in(old, new)
    strange = pc.is_null(found)
    places: np.ndarray = pc.fill_null(found, -1).to_numpy(zero_copy_only=False).astype(np.int64)
    strangers = old.filter(strange)
    places[strange.to_numpy(zero_copy_only=False)] = len(new) + np.arange(len(strangers))
    return places, pa.chunked_array([new, strangers])


def _named(
    changes: pd.DataFrame, key: str, columns: dict[str, str], table: str, before: Audit, after: Audit
) -> pd.DataFrame:
    """Put names to ids: the newer one where both states have one."""
    wanted = changes[key].unique().tolist()
    found = [
        audit.session.matching(f"SELECT {key}, {', '.join(columns)} FROM {table} WHERE {key} IN", wanted).to_pandas()
        for audit in (after, before)
    ]
    names = pd.concat(found, ignore_index=True).drop_duplicates(key).rename(columns=columns)
    return changes.merge(names, on=key, how="left")
