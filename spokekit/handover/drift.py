"""The drift between a plan and an instance: what is missing, extra, different, orphaned, or cannot be read.

A record is looked for along the references that the instance follows (alias, connection, credential, profile,
registry), then by its planned id, then by its name. What would follow from a table that cannot be read, or from a
record that is missing, is not said again.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from spokekit._words import counted
from spokekit.connections._tables import PARENT_ALIAS_ID
from spokekit.handover import records as rec
from spokekit.handover.explanations import explain

Row = dict[str, str]
KINDS = ("missing", "extra", "different", "orphaned", "unreadable")
GROUPS = "groups table"
_NO_ROW: Row = {"sys_id": ""}


@dataclass(frozen=True)
class Finding:
    """One line of the drift; ``here`` is what the plan says, ``there`` what the instance has."""

    kind: str
    table: str
    record: str
    column: str
    here: str
    there: str
    alias_id: str
    sys_id: str
    means: str
    do: str

    @classmethod
    def of(
        cls, kind: str, table: str, record: str, column: str, here: str, there: str, alias_id: str, sys_id: str
    ) -> Finding:
        """Return it with what it means and what to do."""
        return cls(kind, table, record, column, here, there, alias_id, sys_id, *explain(kind, table, column))


@dataclass(frozen=True)
class Seen:
    """What was read of an instance.

    ``tables`` has the rows of each table that could be read, ``columns`` what ``sys_dictionary`` names; ``groups`` are
    the ids and names in the groups table, None when it could not be read. ``redirect_url`` is the instance's own.
    """

    tables: Mapping[str, list[Row]]
    columns: Mapping[str, Iterable[str]]
    groups: Mapping[str, str] | None = None
    redirect_url: str = ""

    def find(self, table: str, sys_id: str) -> Row | None:
        """Return a record by its id."""
        return next((row for row in self.tables.get(table, ()) if sys_id and row["sys_id"] == sys_id), None)


def drift(plan: rec.Plan, seen: Seen, *, whole: bool) -> list[Finding]:
    """Return the findings; with `whole` the plan is all that should be there, so what it lacks is extra."""
    found: list[Finding] = []
    for part in plan.parts:
        found += _Part(plan, part, seen).findings()
    if whole and rec.ALIAS in seen.tables:
        found += _more_aliases(plan, seen)
    if seen.groups is not None:
        found += _groups(plan, seen.groups, whole=whole)
    return found


class _Part:
    """The comparison of one part of the plan."""

    def __init__(self, plan: rec.Plan, part: rec.Part, seen: Seen) -> None:
        self.plan, self.part, self.seen = plan, part, seen
        self.found: list[Finding] = []

    def add(
        self, kind: str, table: str, record: str, column: str = "", here: str = "", there: str = "", row: Row = _NO_ROW
    ) -> None:
        self.found.append(Finding.of(kind, table, record, column, here, there, self.part.alias_id, row["sys_id"]))

    def has(self, *tables: str) -> bool:
        return all(table in self.seen.tables for table in tables)

    def knows(self, table: str, column: str) -> bool:
        return column in self.seen.columns.get(table, ())

    def findings(self) -> list[Finding]:
        alias = self._alias() if self.has(rec.ALIAS) else None
        connection = self._connection(alias) if self.has(rec.CONNECTION) else None
        credential = self._linked(connection, rec.CONNECTION, "credential")
        profile = self._linked(credential, rec.CREDENTIAL, "oauth_entity_profile")
        registry = self._linked(profile, rec.PROFILE, "oauth_entity")
        if credential is not None:
            self._same(rec.CREDENTIAL, credential, ("name", "active"))
        if profile is not None:
            self._same(rec.PROFILE, profile, ("grant_type",))
        if registry is not None:
            columns = ("name", "active", "client_id", "default_grant_type", "auth_url", "token_url", "type")
            self._same(rec.REGISTRY, registry, columns)
            self._redirect(registry)
            self._defaults(registry)
            self._scopes(registry, profile)
        return self.found

    # -- alias and connection ------------------------------------------------------------------------------------------

    def _alias(self) -> Row | None:
        rows = self.seen.tables[rec.ALIAS]
        alias = next((row for row in rows if row["id"] == self.part.alias_id), None)
        if alias is None and (planned := self.part.record(rec.ALIAS)) is not None:
            # An import into another scope, or by hand, gives it another id.
            alias = self.seen.find(rec.ALIAS, planned.sys_id)
            if alias is not None:
                self.add("different", rec.ALIAS, self.part.label, "id", self.part.alias_id, alias["id"], alias)
        if alias is None:
            self.add("missing", rec.ALIAS, self.part.label, here=self.part.alias_id)
            return None
        if self.part.child:
            above = self.seen.find(rec.ALIAS, alias.get("parent", ""))
            if self.knows(rec.ALIAS, "parent") and (above is None or above["id"] != PARENT_ALIAS_ID):
                there = above["id"] if above else alias.get("parent", "")
                self.add("different", rec.ALIAS, self.part.label, "parent", PARENT_ALIAS_ID, there, alias)
            self._same(rec.ALIAS, alias, ("type", "connection_type"))
        return alias

    def _connection(self, alias: Row | None) -> Row | None:
        rows = self.seen.tables[rec.CONNECTION]
        planned = self.part.record(rec.CONNECTION)
        name = self.part.connection
        own = [row for row in rows if alias is not None and row.get("connection_alias") == alias["sys_id"]]
        active = [row for row in own if is_true(row.get("active", ""))]
        by_name = [row for row in rows if planned and (row["sys_id"] == planned.sys_id or row["name"] == name)]
        candidates = active or own or by_name
        if not candidates:
            self.add("missing", rec.CONNECTION, name)
            return None
        chosen = next((row for row in candidates if row in by_name), candidates[0])
        if not own and alias is not None:
            hangs_on = chosen.get("connection_alias", "")
            where = self.seen.find(rec.ALIAS, hangs_on)
            there = where["id"] if where else hangs_on
            self.add("different", rec.CONNECTION, name, "connection_alias", self.part.alias_id, there, chosen)
        if not is_true(chosen.get("active", "")):
            self.add("orphaned", rec.CONNECTION, name, "active", "true", "false", chosen)
        for row in active:
            if row is not chosen:
                self.add("extra", rec.CONNECTION, row["name"], there=row.get("connection_url", ""), row=row)
        self._same(rec.CONNECTION, chosen, ("name", "connection_url"))
        return chosen

    # -- along the references ------------------------------------------------------------------------------------------

    def _linked(self, row: Row | None, table: str, column: str) -> Row | None:
        """Return the record that `row` names in `column`, or the planned one; says what is wrong with the reference."""
        target = rec.REFERENCES[table, column]
        if not self.has(target):
            return None
        planned = self.part.record(target)
        if row is not None and not self.knows(table, column):
            row = None
        named = row.get(column, "") if row is not None else ""
        there = self.seen.find(target, named)
        other = self._planned(target)
        title = planned.values.get("name", "") if planned else ""
        if there is None and other is None:
            self.add("missing", target, title, here=title)
            return None
        if row is None:
            return other
        if there is None and other is not None:
            self.add("orphaned", table, row.get("name", ""), column, title, named, row)
            return other
        # One of the planned name is as good: the instance made it anew, and an older one may still have the planned id.
        if there is not None and other is not None and there.get("name") != other.get("name"):
            self.add("different", table, row.get("name", ""), column, title, there.get("name", ""), row)
            return other
        return there

    def _planned(self, table: str) -> Row | None:
        planned = self.part.record(table)
        if planned is None:
            return None
        by_id = self.seen.find(table, planned.sys_id)
        if by_id is not None:
            return by_id
        name = planned.values.get("name", "")
        return next((row for row in self.seen.tables.get(table, ()) if name and row.get("name") == name), None)

    def _same(self, table: str, row: Row, columns: Iterable[str]) -> None:
        planned = self.part.record(table)
        title = (planned.values.get("name") if planned else "") or row.get("name", "")
        for column in columns:
            if not self.knows(table, column):
                continue
            there = row.get(column, "")
            if planned is None or column not in planned.values:
                if (table, column) in self.part.by_hand and not there:
                    self.add("different", table, title, column, "to be filled in by hand", "", row)
                continue
            here = planned.values[column]
            if column == "active":
                if not is_true(there):
                    self.add("orphaned", table, title, column, "true", "false", row)
            elif not same_value(table, column, here.rstrip("/"), there.rstrip("/"), self.part.cloud_id):
                self.add("different", table, title, column, here, there, row)

    def _redirect(self, registry: Row) -> None:
        wanted = self.seen.redirect_url or (self.plan.redirect_url if self.plan.instance else "")
        there = registry.get("redirect_url", "")
        if (
            self.part.grant == "consent"
            and wanted
            and there
            and there != wanted
            and self.knows(rec.REGISTRY, "redirect_url")
        ):
            self.add("different", rec.REGISTRY, registry.get("name", ""), "redirect_url", wanted, there, registry)

    def _defaults(self, registry: Row) -> None:
        if not (
            self.has(rec.PROFILE) and self.knows(rec.PROFILE, "default") and self.knows(rec.PROFILE, "oauth_entity")
        ):
            return
        own = [row for row in self.seen.tables[rec.PROFILE] if row.get("oauth_entity") == registry["sys_id"]]
        defaults = sum(is_true(row.get("default", "")) for row in own)
        if own and defaults != 1:
            said = counted(defaults, "default profile") if defaults else "none"
            name = registry.get("name", "")
            self.add("orphaned", rec.REGISTRY, name, "default", "1 default profile", said, registry)

    # -- scopes --------------------------------------------------------------------------------------------------------

    def _scopes(self, registry: Row, profile: Row | None) -> None:
        if not self.has(rec.SCOPE) or not self.knows(rec.SCOPE, "oauth_entity_scope"):
            return
        consent = self.part.grant == "consent"
        wanted = list(self.part.scopes) if consent else []
        rows = [row for row in self.seen.tables[rec.SCOPE] if row.get("oauth_entity") == registry["sys_id"]]
        values: dict[str, Row] = {}
        for row in rows:
            said = row.get("oauth_entity_scope", "").split()
            # One row may hold them all, as ServiceNow's page writes it.
            for scope in said or [row.get("name", "")]:
                values[scope] = row
            if not said:
                self.add("different", rec.SCOPE, row.get("name", ""), "oauth_entity_scope", row=row)
        for scope in wanted:
            if scope not in values:
                self.add("missing", rec.SCOPE, scope, here=scope)
        for scope, row in values.items():
            if scope not in wanted:
                self.add("extra", rec.SCOPE, scope, there=scope, row=row)
        if profile is None or not self.has(rec.PROFILE_SCOPE):
            return
        of = [
            row for row in self.seen.tables[rec.PROFILE_SCOPE] if row.get("oauth_entity_profile") == profile["sys_id"]
        ]
        linked = {row.get("oauth_entity_scope", "") for row in of}
        if consent and wanted and not of:
            scopes = counted(len(wanted), "scope")
            self.add("orphaned", rec.PROFILE, profile.get("name", ""), "scopes", scopes, "none", profile)
            return
        for scope in wanted:
            if scope in values and values[scope]["sys_id"] not in linked:
                self.add("missing", rec.PROFILE_SCOPE, scope, here=scope)


def is_true(value: str) -> bool:
    """Tell whether a column says yes, whichever form it has."""
    return value.lower() in ("true", "1")


def same_value(table: str, column: str, here: str, there: str, cloud_id: str = "") -> bool:
    """Tell whether a column of the plan and of the instance mean the same."""
    if column in rec.BOOLEANS:
        return is_true(here) == is_true(there)
    if (table, column) == (rec.REGISTRY, "type"):
        # Two words for the same thing: the template's, and the one that scripts write.
        return there in (here, "consumer", "oauth_provider")
    if (table, column) == (rec.CONNECTION, "connection_url"):
        return same_url(here, there, cloud_id)
    if (table, column) == (rec.SCOPE, "oauth_entity_scope"):
        return here in there.split()
    return here.rstrip("/") == there.rstrip("/") if column.endswith("_url") else here == there


def same_url(here: str, there: str, cloud_id: str) -> bool:
    """Tell whether two connection URLs lead to the same: Atlassian's host alone, or with the site behind it."""
    one, other = urlsplit(here.rstrip("/")), urlsplit(there.rstrip("/"))
    if (one.scheme, one.netloc.lower()) != (other.scheme, other.netloc.lower()):
        return False
    return other.path == one.path or (bool(cloud_id) and other.path == f"/ex/confluence/{cloud_id}")


def _more_aliases(plan: rec.Plan, seen: Seen) -> list[Finding]:
    rows = seen.tables[rec.ALIAS]
    parent = next((row for row in rows if row["id"] == PARENT_ALIAS_ID), None)
    planned = {part.alias_id for part in plan.parts}
    ids = {record.sys_id for part in plan.parts for record in part.records}
    found = []
    for row in rows:
        # Those of Software Asset Management are the spoke's own.
        own = row["id"].startswith("sn_conflunce_spoke.confluence_subscription")
        child = parent is not None and row.get("parent") == parent["sys_id"]
        if child and not own and row["id"] not in planned and row["sys_id"] not in ids:
            found.append(Finding.of("extra", rec.ALIAS, row["name"], "", "", row["id"], row["id"], row["sys_id"]))
    return found


def _groups(plan: rec.Plan, there: Mapping[str, str], *, whole: bool) -> list[Finding]:
    here = {group.group_id: (group.name, part.alias_id) for part in plan.parts for group in part.groups}
    found = []

    def add(kind: str, group_id: str, name: str, column: str, ours: str, theirs: str, alias_id: str) -> None:
        found.append(Finding.of(kind, GROUPS, name, column, ours, theirs, alias_id, group_id))

    for group_id, (name, alias_id) in here.items():
        if group_id not in there:
            add("missing", group_id, name, "", group_id, "", alias_id)
        elif there[group_id] != name:
            add("different", group_id, name, "name", name, there[group_id], alias_id)
    for group_id, name in there.items():
        if whole and group_id not in here:
            add("extra", group_id, name, "", "", group_id, "")
    return found
