"""Making the changes: which records of a plan an instance lacks, which are there, and which differ from the plan.

Nothing is written here. A plan for another instance is refused before anything else, and so is one that stands on a
table that cannot be read: what is hidden would be made a second time.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any
from urllib.parse import urlsplit

from spokekit._words import counted
from spokekit.connections._tables import PARENT_ALIAS_ID
from spokekit.errors import InputError, PlanError
from spokekit.groups.plan import ALREADY, PLANNED, REFUSED
from spokekit.groups.site_state import Place
from spokekit.handover import records as rec
from spokekit.handover.client import InstanceClient, Row, Unreadable, read_dictionary
from spokekit.handover.compare import PREFIX, GroupsTable, groups_table_of, read_table, redirect_url_of
from spokekit.handover.drift import is_true, same_value
from spokekit.handover.steps import CREATE, KEEP, UPDATE, Asked, Changes, Step

KEYS: Mapping[str, tuple[str, ...]] = {
    rec.REGISTRY: ("name",),
    rec.PROFILE: ("oauth_entity", "default"),
    rec.SCOPE: ("oauth_entity", "oauth_entity_scope"),
    rec.PROFILE_SCOPE: ("oauth_entity_profile", "oauth_entity_scope"),
    rec.ALIAS: ("parent", "name"),
    rec.CREDENTIAL: ("name",),
    rec.CONNECTION: ("name",),
}
"""By which columns a record is recognised that was not made from this plan."""

COMPUTED = frozenset(((rec.ALIAS, "id"),))
"""(table, column) of what an instance works out by itself, and does not take."""

_FIXED = {(rec.ALIAS, "id"), (rec.ALIAS, "parent")}


class Present:
    """What an instance has of the tables of a plan."""

    def __init__(self, source: InstanceClient, asked: Asked) -> None:
        plan, unread = asked.plan, list[str]()

        def unreadable(table: str, column: str, error: Unreadable) -> None:
            unread.append(error.message)

        self.groups: GroupsTable | None = None
        self.tables: dict[str, list[Row]] = {}
        try:
            known = read_dictionary(source, rec.LOAD_ORDER, PREFIX)
            for table in rec.LOAD_ORDER:
                columns = sorted({name for record in plan.records() if record.table == table for name in record.values})
                self.tables[table] = read_table(source, table, known, unreadable, columns)
            if asked.groups:
                one = self.groups = groups_table_of(known, asked.groups_table)
                self.tables[one.name] = source.rows(one.name, ["sys_id", one.group_id, one.group_name])
        except Unreadable as error:
            raise PlanError(
                f"Nothing is written, since not all could be read. {error.message}",
                likely=error.likely,
                hint=error.hint,
            ) from None
        if unread:
            raise PlanError(
                f"Nothing is written, since the instance lacks what the plan has. {unread[0]}",
                hint="Do this step by hand, as the checklist says, or ask for the column on the instance.",
            )

    def find(self, table: str, sys_id: str) -> Row | None:
        """Return a record by its id."""
        return next((row for row in self.tables.get(table, ()) if row["sys_id"] == sys_id), None)

    def matching(self, table: str, values: Mapping[str, str]) -> list[Row]:
        """Return the records that the key columns in `values` mean."""
        return matching(self.tables[table], table, values, self.groups)


def matching(
    rows: Iterable[Row], table: str, values: Mapping[str, str], groups: GroupsTable | None = None
) -> list[Row]:
    """Return those of `rows` that a record with `values` is recognised by."""
    keys = (groups.group_id,) if groups is not None and table == groups.name else KEYS[table]

    def same(row: Row, column: str) -> bool:
        here, there = values.get(column, ""), row.get(column, "")
        if column == "oauth_entity_scope" and table == rec.SCOPE:
            # One row may hold them all, as ServiceNow's page writes it.
            return here in there.split()
        if column == "name":
            return here.casefold() == there.casefold()
        return is_true(there) == is_true(here) if column in rec.BOOLEANS else here == there

    return [row for row in rows if all(values.get(key) and same(row, key) for key in keys)]


def no_spoke() -> PlanError:
    """Return the error for an instance without the alias that the spoke ships."""
    return PlanError(
        f"The instance has no alias {PARENT_ALIAS_ID}.",
        likely="The Confluence Cloud spoke is not installed there, or it is not the instance that you mean.",
        hint="Install the spoke, or give the other address. Nothing was written.",
    )


def make_changes(
    source: InstanceClient, asked: Asked, place: Place, by: str, made: Mapping[str, str], notes: Iterable[str] = ()
) -> Changes:
    """Return what applying a plan would do.

    Parameters
    ----------
    made:
        The instance's sys_id of each record that was made from a plan earlier, by the plan's.

    Raises
    ------
    PlanError
        The plan is for another instance, or not all that it stands on could be read.
    InputError
        A difference was confirmed that there is not.
    """
    redirect_url_of(source.address, asked.plan)
    present = Present(source, asked)
    making = _Making(asked, present, made)
    making.refuse_another_instance()
    making.run()
    ground = json.dumps(making.ground, ensure_ascii=False, sort_keys=True)
    digest = hashlib.sha256(ground.encode("utf-8", "surrogatepass")).hexdigest()
    more = [*notes, *asked.plan.notes, *making.notes()]
    return Changes(place, by, "apply", tuple(making.steps), digest, tuple(more), asked=asked)


class _Making:
    def __init__(self, asked: Asked, present: Present, made: Mapping[str, str]) -> None:
        self.asked, self.plan, self.present, self.made = asked, asked.plan, present, made
        self.ids: dict[str, str] = {}
        # By the plan's ids: an instance gives new ones, so whatever names one of these has to be changed.
        self.to_make: set[str] = set()
        self.steps: list[Step] = []
        self.ground: list[Any] = []
        self.parent = ""

    # -- is it the instance that the plan is for -----------------------------------------------------------------------

    def refuse_another_instance(self) -> None:
        aliases = self.present.tables[rec.ALIAS]
        shipped = next((row for row in aliases if row["id"] == PARENT_ALIAS_ID), None)
        if shipped is None:
            raise no_spoke()
        self.parent = shipped["sys_id"]
        if self.plan.parent_sys_id and self.plan.parent_sys_id != self.parent:
            raise PlanError(
                f"The plan names {self.plan.parent_sys_id} as the alias Confluence Cloud; on this instance it is "
                f"{self.parent}.",
                likely="The plan was made for another instance.",
                hint="Give the other address, or make the plan anew for this one. Nothing was written.",
            )
        for part in self.plan.parts:
            self._refuse_another_company(part)

    def _refuse_another_company(self, part: rec.Part) -> None:
        aliases = self.present.tables[rec.ALIAS]
        alias = next((row for row in aliases if row["id"] == part.alias_id), None)
        planned = part.record(rec.CONNECTION)
        own = self._found(planned, planned.values) if planned is not None else None
        for row in self.present.tables[rec.CONNECTION]:
            if alias is None or row["connection_alias"] != alias["sys_id"] or not is_true(row["active"]):
                continue
            path = urlsplit(row["connection_url"]).path.strip("/")
            other_site = path.startswith("ex/confluence/") and part.cloud_id and not path.endswith(part.cloud_id)
            several = is_true(alias.get("multiple_connections", ""))
            if other_site or not (several or (own is not None and row["sys_id"] == own["sys_id"])):
                why = f"leads to another site ({row['connection_url']})" if other_site else "is not of this plan"
                raise PlanError(
                    f"The alias {part.alias_id} has an active connection “{row['name']}” already, which {why}.",
                    likely="The instance serves another company or another site, or somebody has set it up.",
                    hint="Give the other address, or switch that connection off on the instance. Nothing was written.",
                )
        registry = part.record(rec.REGISTRY)
        there = self._found(registry, registry.values) if registry is not None else None
        if registry is not None and there is not None:
            here, theirs = registry.values.get("client_id", ""), there.get("client_id", "")
            confirm = f"{there['sys_id'][:8]}.client_id"
            if here and theirs and here != theirs and confirm not in self.asked.update:
                error = PlanError(
                    f"The registry “{there['name']}” there belongs to another app (client ID {theirs}).",
                    likely="It is another company's, the instance was cloned from one with its own app, or the app was "
                    "made anew.",
                    hint=f"Give the other address, or confirm the change by its name: {confirm}. Nothing was written.",
                )
                error.candidates = (confirm,)
                raise error

    # -- record by record ----------------------------------------------------------------------------------------------

    def run(self) -> None:
        for table in rec.LOAD_ORDER:
            for part in self.plan.parts:
                for record in part.records:
                    if record.table == table:
                        self._record(part, record)
        if (one := self.present.groups) is not None:
            for part in self.plan.parts:
                for group in part.groups:
                    values = {one.group_id: group.group_id, one.group_name: group.name}
                    made = rec.Record(one.name, rec.sys_id(one.name, part.alias_id, group.group_id), values)
                    self._record(part, made, group.name)
        if unknown := self.asked.update - {step.confirm for step in self.steps}:
            raise InputError(
                f"There is no difference {sorted(unknown)[0]}.",
                field="update",
                hint="The preview names each difference in its column “confirm”.",
            )

    def _record(self, part: rec.Part, record: rec.Record, name: str = "") -> None:
        values = {
            column: self.ids.get(value, value) if (record.table, column) in rec.REFERENCES else value
            for column, value in record.values.items()
        }
        if record.table == rec.CONNECTION and not values.get("connection_alias"):
            values["connection_alias"] = self._alias_of(part)
        title = name or values.get("name") or values.get("oauth_entity_scope", "")
        if record.table == rec.PROFILE_SCOPE:
            title = next(
                (r.values["name"] for r in part.records if r.sys_id == record.values["oauth_entity_scope"]), title
            )
        # A registry that is made comes with its default profile; one that is left of an earlier registry is no use.
        comes_with = record.table == rec.PROFILE and values["oauth_entity"] in self.to_make
        there = None if comes_with else self._found(record, values)
        if there is None:
            self.steps.append(Step(record.table, title, record.sys_id, "", CREATE, after=values))
            self.to_make.add(record.sys_id)
            return
        self.ids[record.sys_id] = there["sys_id"]
        self.ground.append([record.table, {column: there.get(column, "") for column in sorted(("sys_id", *values))}])
        different = [
            column
            for column, here in values.items()
            if here in self.to_make or not same_value(record.table, column, here, there.get(column, ""), part.cloud_id)
        ]
        if not different:
            cells = (record.table, title, there["sys_id"], "", KEEP, "there", ALREADY, "Is there, as planned.")
            self.steps.append(Step(*cells, made=there["sys_id"]))
        for column in different:
            self._difference(record, title, column, values[column], there)

    def _difference(self, record: rec.Record, title: str, column: str, here: str, there: Row) -> None:
        before = {column: there.get(column, "")}
        step = Step(record.table, title, there["sys_id"], "", UPDATE, before=before, after={column: here})
        if (record.table, column) in _FIXED:
            words = "An instance lets nobody change it: make a new child alias."
            step = replace(step, status=REFUSED, reason="fixed", message=words)
        elif there["sys_id"] in self.made.values():
            step = replace(step, status=PLANNED, message="spokekit has made this record.")
        elif step.confirm not in self.asked.update:
            words = f"Not made by spokekit, so it is only changed when confirmed: {step.confirm}."
            step = replace(step, status=REFUSED, reason="not_confirmed", message=words)
        if here in self.to_make:
            step = replace(step, message=f"What it names is made anew. {step.message}".strip())
        self.steps.append(step)

    def _found(self, record: rec.Record, values: Mapping[str, str]) -> Row | None:
        """Return the record of the instance that a record of the plan is; raises `PlanError` where it is not clear."""
        for sys_id in (self.made.get(record.sys_id, ""), record.sys_id):
            if sys_id and (row := self.present.find(record.table, sys_id)):
                return row
        rows = self.present.matching(record.table, values)
        if record.table == rec.ALIAS:
            rows = [row for row in self.present.tables[rec.ALIAS] if row["id"] == values.get("id")] or rows
        if len(rows) > 1:
            raise PlanError(
                f"The instance has {counted(len(rows), 'record')} of {record.table} that could be "
                f"“{values.get('name', values.get('oauth_entity_scope', ''))}”.",
                hint="Rename or remove all but one on the instance, then look again. Nothing was written.",
            )
        return rows[0] if rows else None

    def _alias_of(self, part: rec.Part) -> str:
        if not part.child:
            return self.parent
        found = next((row for row in self.present.tables[rec.ALIAS] if row["id"] == part.alias_id), None)
        if found is None:
            raise PlanError(
                f"The plan does not say under which alias {part.alias_id} is made.",
                likely="It was made without the sys_id of the spoke's own alias.",
                hint=f"Make the plan again with --parent-alias {self.parent}, which is what this instance has.",
            )
        return found["sys_id"]

    def notes(self) -> list[str]:
        said = []
        groups = sum(len(part.groups) for part in self.plan.parts)
        if groups and self.present.groups is None:
            said.append(
                f"{counted(groups, 'registered group is', 'registered groups are')} not written: choose them in the "
                "dialog Add Groups, or ask for it with --groups."
            )
        if any(step.action == CREATE and step.status == PLANNED for step in self.steps):
            said.append("The client secret and Get OAuth Token come last, by hand: no secret is written.")
        if any((rec.REGISTRY, "client_id") in part.by_hand for part in self.plan.parts):
            said.append("The plan has no client ID: type that of the instance's own app into the registry.")
        return said
