"""Import XML, as an instance does it: no rule runs, ids stay, broken references stay, passwords do not survive."""

from __future__ import annotations

import hashlib
from xml.parsers import expat

from spokekit.errors import InputError
from spokekit.practice.instance.switches import InstanceSwitches
from spokekit.practice.instance.tables import OWN, Database, Row, columns, new_id

_MOST = 2_000_000


def import_xml(data: Database, switches: InstanceSwitches, text: str | bytes) -> list[tuple[str, str]]:
    """Import one file and return (table, sys_id) of what was written; raises `InputError` for what is no unload."""
    written = []
    for table, values in _records(text):
        if table not in OWN or table in switches.hidden_tables or table in ("sys_dictionary", "sys_db_object"):
            raise InputError(f"The practice instance has no table {table!r}.", field="xml")
        known = columns(table)
        row = {name: value for name, value in values.items() if name in known}
        for name in row:
            if known[name].kind == "password2" and row[name]:
                # Encrypted again with another key: what was typed is not there any more.
                row[name] = hashlib.sha256(row[name].encode()).hexdigest()
        if switches.import_checks_names and table == "http_connection":
            taken = {one.get("name"): sys_id for sys_id, one in data.rows[table].items()}
            if taken.get(row.get("name"), row.get("sys_id")) != row.get("sys_id"):
                raise InputError("A connection of that name is there already.", field="xml")
        sys_id = row.pop("sys_id", "") or new_id()
        data.put(table, row, sys_id)
        written.append((table, sys_id))
    return written


def _records(text: str | bytes) -> list[tuple[str, Row]]:
    body = text.encode() if isinstance(text, str) else text
    if len(body) > _MOST:
        raise InputError("This file is too large for an import.", field="xml")
    found: list[tuple[str, Row]] = []
    path: list[str] = []
    parser = expat.ParserCreate()
    parser.buffer_text = True

    def start(name: str, _: dict[str, str]) -> None:
        path.append(name)
        if len(path) == 2:
            found.append((name, {}))
        elif len(path) == 3:
            found[-1][1][name] = ""

    def end(_: str) -> None:
        path.pop()

    def data(words: str) -> None:
        if len(path) == 3:
            found[-1][1][path[-1]] += words

    def declared(*_: object) -> None:
        raise InputError("A document type is not taken.", field="xml")

    parser.StartElementHandler, parser.EndElementHandler = start, end
    parser.CharacterDataHandler, parser.StartDoctypeDeclHandler = data, declared
    try:
        parser.Parse(body, True)
    except expat.ExpatError as error:
        raise InputError(f"This is not XML: line {error.lineno}.", field="xml") from None
    if not found:
        raise InputError("This file holds no record.", field="xml")
    return found
