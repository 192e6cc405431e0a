"""Reading a plan back from its records.json: records for an instance, and nothing that could hold a secret."""

from __future__ import annotations

import json
import re
from pathlib import Path

import msgspec

from spokekit.connections._tables import PARENT_ALIAS_ID
from spokekit.errors import InputError, NotFound
from spokekit.handover import records as rec
from spokekit.handover.folder import FORMAT
from spokekit.handover.plan import check_instance, check_parent
from spokekit.handover.writer import is_secret

_MOST_BYTES = 20_000_000
_NUL = re.compile(r"(?<!\\)(\\\\)*\\u0000")


class _Alias(msgspec.Struct, forbid_unknown_fields=True):
    id: str
    label: str
    child: bool


class _Parent(msgspec.Struct, forbid_unknown_fields=True):
    id: str
    sys_id: str | None


class _Record(msgspec.Struct, forbid_unknown_fields=True):
    table: str
    sys_id: str
    values: dict[str, str]


class _Column(msgspec.Struct, forbid_unknown_fields=True):
    table: str
    column: str


class _Group(msgspec.Struct, forbid_unknown_fields=True):
    id: str
    name: str


class _Connection(msgspec.Struct, forbid_unknown_fields=True):
    name: str
    alias: _Alias
    site: str | None
    grant: rec.Grant
    scopes: list[str]
    records: list[_Record]
    by_hand: list[_Column]
    groups: list[_Group]
    notes: list[str]


class _File(msgspec.Struct, forbid_unknown_fields=True):
    format: str
    instance: str | None
    parent_alias: _Parent
    load_order: list[str]
    connections: list[_Connection]


def read_plan(path: str | Path) -> rec.Plan:
    """Return the plan of a hand-over's folder, or of the ``records.json`` in it.

    Raises
    ------
    NotFound
        There is no such file.
    InputError
        It is no plan, or names a table, a column or a value that a hand-over does not have.
    """
    source = Path(path).expanduser()
    if source.is_dir():
        source /= "records.json"
    try:
        with source.open("rb") as file:
            data = file.read(_MOST_BYTES)
    except FileNotFoundError:
        raise NotFound(f"There is no plan {source}.", hint="Make one: spokekit handover plan --out FOLDER.") from None
    except OSError as error:
        raise InputError(f"{source} cannot be read: {error.strerror or error}.", field="plan") from None
    try:
        found = json.loads(data)
        text = json.dumps(found, ensure_ascii=False)
        # Half a character, which JSON can spell, and NUL are in no text that can be sent or stored.
        text.encode()
        if _NUL.search(text):
            raise ValueError("a character that is none")
        said = msgspec.convert(found, _File)
    except (ValueError, RecursionError) as error:
        why = f": {error}" if isinstance(error, msgspec.ValidationError) else ""
        raise _no_plan(source, f"It is not the records.json of a hand-over{why}.") from None
    if said.format != FORMAT or said.parent_alias.id != PARENT_ALIAS_ID or not said.connections:
        raise _no_plan(source, "It has another form, or was written by another version of spokekit.")
    parts = tuple(_part(source, one) for one in said.connections)
    return rec.Plan(parts, check_instance(said.instance or ""), check_parent(said.parent_alias.sys_id or ""))


def _part(source: Path, said: _Connection) -> rec.Part:
    for record in said.records:
        if record.table not in rec.LOAD_ORDER or not rec.SYS_ID.fullmatch(record.sys_id):
            raise _no_plan(source, f"It names a record of {record.table} that a hand-over does not have.")
        for column in record.values:
            if is_secret(column) or column not in rec.COLUMNS[record.table]:
                raise _no_plan(source, f"It names the column {column} of {record.table}, which is never handed over.")
        if lacking := [column for column in rec.REQUIRED[record.table] if not record.values.get(column)]:
            raise _no_plan(source, f"A record of {record.table} has no {lacking[0]}.")
    _whole(source, said.records)
    return rec.Part(
        connection=said.name,
        alias_id=said.alias.id,
        label=said.alias.label,
        child=said.alias.child,
        grant=said.grant,
        site=said.site or "",
        scopes=tuple(said.scopes),
        records=tuple(rec.Record(one.table, one.sys_id, one.values) for one in said.records),
        groups=tuple(rec.Group(one.id, one.name) for one in said.groups),
        by_hand=tuple((one.table, one.column) for one in said.by_hand),
        notes=tuple(said.notes),
    )


def _whole(source: Path, records: list[_Record]) -> None:
    """Raise `InputError` unless each record is there once, and names only what is there."""
    tables = {record.sys_id: record.table for record in records}
    if len(tables) < len(records):
        raise _no_plan(source, "It has the same record twice.")
    for record in records:
        for column, value in record.values.items():
            target = rec.REFERENCES.get((record.table, column))
            # An alias may be the spoke's own, which is on the instance.
            if target not in (None, rec.ALIAS) and tables.get(value) != target:
                raise _no_plan(source, f"A record of {record.table} names a record of {target} that it does not have.")


def _no_plan(source: Path, why: str) -> InputError:
    return InputError(
        f"{source} cannot be used as a plan. {why}",
        field="plan",
        likely="It was edited, or is another file.",
        hint="Make the plan again: spokekit handover plan --out FOLDER.",
    )
