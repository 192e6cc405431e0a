"""The plan as XML for **Import XML** in a list of an instance: one file for each table, numbered in load order."""

from __future__ import annotations

import re
from collections.abc import Mapping
from xml.sax.saxutils import escape

from spokekit.handover import records as rec

# XML 1.0 holds none of these, escaped or not.
_NOT_IN_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def files(plan: rec.Plan) -> dict[str, bytes]:
    """Return the files by name; a table of which the plan has no record has none."""
    made: dict[str, bytes] = {}
    for number, table in enumerate(rec.LOAD_ORDER, 1):
        rows = [_record(record) for record in plan.records() if record.table == table]
        if rows:
            text = (
                '<?xml version="1.0" encoding="UTF-8"?>\n'
                f'<unload unload_date="{plan.made_from}">\n{"".join(rows)}</unload>\n'
            )
            made[f"{number:02}-{table}.xml"] = text.encode()
    return made


def _record(record: rec.Record) -> str:
    columns: Mapping[str, str] = record.values
    lines = [f"<sys_id>{record.sys_id}</sys_id>"]
    lines += [f"<{name}>{_text(columns[name])}</{name}>" for name in sorted(columns)]
    inside = "".join(f"    {line}\n" for line in lines)
    return f'  <{record.table} action="INSERT_OR_UPDATE">\n{inside}  </{record.table}>\n'


def _text(value: str) -> str:
    kept = _NOT_IN_XML.sub(lambda found: f"\\u{ord(found[0]):04x}", value)
    # A reader turns a plain carriage return into a line end.
    return escape(kept, {"\r": "&#13;"})
