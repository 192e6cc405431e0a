"""Comparing an instance with the plan: read only, and what could not be read is never said to be missing."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from spokekit._frames import Columns, frame_of
from spokekit.errors import InputError
from spokekit.handover import drift as dr
from spokekit.handover import records as rec
from spokekit.handover.client import InstanceClient, Row, SignIn, Unreadable, check_address, read_dictionary
from spokekit.handover.explanations import NEEDED

if TYPE_CHECKING:
    import pandas as pd

Told = Callable[[str, str, Unreadable], None]
PREFIX = "sn_conflunce_spoke"
COLUMNS: Columns = {
    "kind": dr.KINDS,
    "table": "category",
    **dict.fromkeys(("record", "column", "here", "there", "means", "do", "alias_id", "sys_id"), "text"),
}
"""Columns of the drift: ``here`` is the plan, ``there`` the instance; a group has its id in ``sys_id``."""


def compare(
    plan: rec.Plan, address: str, sign_in: SignIn, *, whole: bool = True, groups_table: str = ""
) -> pd.DataFrame:
    """Return the drift of an instance from a plan, with `COLUMNS`; nothing is written there.

    Parameters
    ----------
    address:
        ``https://acme.service-now.com/``, or a practice instance's.
    sign_in:
        Who reads; it is not kept.
    whole:
        The plan is all that should be there, so aliases and groups that it lacks are extra.
    groups_table:
        Name of the spoke's groups table; looked for by its labels when left out.

    Returns
    -------
    The frame. Its ``attrs["completeness"]`` says ``complete: False`` where something could not be read; each of these
    has a row of the kind ``unreadable``, and nothing that would follow from it is said.

    Raises
    ------
    InputError
        The address cannot be used.
    TransportError, TokenRejected, RateLimited, UnexpectedAnswer, NotPermitted, ServiceError
        The instance cannot be read at all.
    """
    found: list[dr.Finding] = []

    def unreadable(table: str, column: str, error: Unreadable) -> None:
        means = " ".join(part for part in (error.message, error.likely) if part)
        found.append(dr.Finding("unreadable", table, "", column, "", "", "", "", means, error.hint or ""))

    with InstanceClient(address, sign_in) as source:
        try:
            known = read_dictionary(source, rec.LOAD_ORDER, PREFIX)
        except Unreadable as error:
            # Without the dictionary every column would be an assumption.
            unreadable("sys_dictionary", "", error)
            return _frame(found)
        tables: dict[str, list[Row]] = {}
        for table in rec.LOAD_ORDER:
            try:
                tables[table] = read_table(source, table, known, unreadable)
            except Unreadable as error:
                unreadable(table, "", error)
        groups = None
        if any(part.groups for part in plan.parts) or whole:
            try:
                groups = _groups(source, known, groups_table)
            except Unreadable as error:
                unreadable(dr.GROUPS, "", error)
    seen = dr.Seen(tables, known, groups, redirect_url_of(address, plan))
    return _frame([*found, *dr.drift(plan, seen, whole=whole)])


def read_table(
    source: InstanceClient,
    table: str,
    known: Mapping[str, Mapping[str, str]],
    unreadable: Told,
    columns: Iterable[str] = (),
) -> list[Row]:
    """Return the rows of a table, by `columns`, or by those that a comparison looks at; `known` is the dictionary.

    A column that the table lacks is told to `unreadable`, and left out; raises `Unreadable` for one without which a
    record cannot be found, and for a table that is not there.
    """
    if table not in known:
        raise Unreadable(
            f"The instance names no table {table}.",
            likely="The plugin that brings it is not installed, or this account may not see it.",
            hint="Install the Confluence Cloud spoke, or sign in with an account that has the role admin.",
        )
    needed = list(dict.fromkeys((*NEEDED[table], *columns)))
    lacking = [column for column in needed if column not in known[table]]
    if essential := [column for column in lacking if column in _ESSENTIAL]:
        raise _lacks(table, essential, "nothing is said about its records")
    for column in lacking:
        unreadable(table, column, _lacks(table, [column], "the column is not compared"))
    return source.rows(table, ["sys_id", *(column for column in needed if column in known[table])])


def _lacks(table: str, columns: list[str], so: str) -> Unreadable:
    return Unreadable(
        f"{table} has no column {', '.join(columns)} on this instance.",
        likely="It is named differently in this release, or hidden from this account.",
        hint=f"Look at the table's dictionary on the instance; {so}.",
    )


# Without these a record cannot be found, or would be taken for another one.
_ESSENTIAL = frozenset(("id", "name", "oauth_entity", "oauth_entity_profile", "connection_alias", "active"))


@dataclass(frozen=True)
class GroupsTable:
    """The table behind Confluence Groups, and its columns for a group's id and name."""

    name: str
    group_id: str
    group_name: str


def groups_table_of(known: Mapping[str, Mapping[str, str]], table: str = "") -> GroupsTable:
    """Find the spoke's groups table by its labels, which are public, unlike its name; raises `Unreadable`."""
    candidates = []
    for name, columns in known.items():
        labels = {label.lower(): element for element, label in columns.items()}
        named = name == table if table else name.startswith(PREFIX)
        if named and "group id" in labels and "group name" in labels:
            candidates.append(GroupsTable(name, labels["group id"], labels["group name"]))
    if len(candidates) != 1:
        raise Unreadable(
            "The table behind Confluence Groups was not found on the instance."
            if not candidates
            else f"Several tables could be behind Confluence Groups: {', '.join(one.name for one in candidates)}.",
            likely="Its name is not public, and it is looked for by the labels Group ID and Group Name.",
            hint="Open Confluence Cloud > Confluence Groups on the instance, and name its table (--groups-table NAME).",
        )
    return candidates[0]


def _groups(source: InstanceClient, known: Mapping[str, Mapping[str, str]], table: str) -> dict[str, str]:
    found = groups_table_of(known, table)
    rows = source.rows(found.name, ["sys_id", found.group_id, found.group_name])
    return {row[found.group_id]: row[found.group_name] for row in rows if row[found.group_id]}


def redirect_url_of(address: str, plan: rec.Plan) -> str:
    """Return the instance's own redirect URL, "" where it is not known; raises `InputError` for another instance."""
    host = urlsplit(check_address(address)).hostname or ""
    name = host.removesuffix(".service-now.com")
    if name != host:
        if plan.instance and plan.instance != name:
            raise InputError(
                f"The plan is for {plan.instance}.service-now.com, and {host} is another instance.",
                field="instance",
                hint="Make the plan for this instance, or give the other address.",
            )
        return rec.redirect_url(name)
    return rec.redirect_url(plan.instance) if plan.instance else ""


def _frame(found: list[dr.Finding]) -> pd.DataFrame:
    order = {kind: at for at, kind in enumerate(("unreadable", "missing", "orphaned", "different", "extra"))}
    rows = sorted(found, key=lambda one: (order[one.kind], one.alias_id))
    frame = frame_of(rows, COLUMNS)
    unread = [one for one in rows if one.kind == "unreadable"]
    words = " ".join(dict.fromkeys(one.means for one in unread))
    frame.attrs["completeness"] = {"complete": not unread, "words": words}
    return frame
