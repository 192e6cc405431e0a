"""The folder of a hand-over: all artefacts of a plan, written whole or not at all."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

from spokekit._foreign import encodable, in_json
from spokekit._frames import guard_formula, write_rows
from spokekit._home import write_folder
from spokekit._refused import told_as
from spokekit.connections._tables import PARENT_ALIAS_ID
from spokekit.errors import InputError
from spokekit.handover import checklist, fluent, unload
from spokekit.handover import records as rec

FORMAT = "spokekit-hand-over-1"
GROUP_COLUMNS = ("group_name", "group_id", "alias_id")


def schema() -> str:
    """Return the JSON schema of ``records.json``."""
    return (Path(__file__).parent / "records.schema.json").read_text(encoding="utf-8")


def as_json(plan: rec.Plan) -> dict[str, Any]:
    """Return the plan as ``records.json`` holds it."""
    return {
        "format": FORMAT,
        "instance": plan.instance or None,
        "parent_alias": {"id": PARENT_ALIAS_ID, "sys_id": plan.parent_sys_id or None},
        "load_order": list(rec.LOAD_ORDER),
        "connections": [_part(part) for part in plan.parts],
    }


def _part(part: rec.Part) -> dict[str, Any]:
    return {
        "name": part.connection,
        "alias": {"id": part.alias_id, "label": part.label, "child": part.child},
        "site": part.site or None,
        "grant": part.grant,
        "scopes": list(part.scopes),
        "records": [
            {"table": record.table, "sys_id": record.sys_id, "values": dict(record.values)} for record in part.records
        ],
        "by_hand": [{"table": table, "column": column} for table, column in part.by_hand],
        "groups": [{"id": group.group_id, "name": group.name} for group in part.groups],
        "notes": list(part.notes),
    }


def files(plan: rec.Plan) -> dict[str, bytes]:
    """Return all artefacts by their path in the folder."""
    groups = io.StringIO()
    rows = [(group.name, group.group_id, part.alias_id) for part in plan.parts for group in part.groups]
    write_rows(groups, [GROUP_COLUMNS, *([guard_formula(encodable(cell)) for cell in row] for row in rows)])
    return {
        "checklist.md": encodable(checklist.text(plan)).encode(),
        "records.json": (in_json(json.dumps(as_json(plan), indent=2)) + "\n").encode(),
        "records.schema.json": schema().encode(),
        "groups.csv": groups.getvalue().encode(),
        **{f"unload/{name}": data for name, data in unload.files(plan).items()},
        **{f"fluent/{name}": data for name, data in fluent.files(plan).items()},
    }


def write(plan: rec.Plan, folder: Path | str) -> Path:
    """Write the artefacts into `folder`, which is made; raises `InputError` where it is not empty or cannot be."""
    target = Path(folder).expanduser().absolute()
    with told_as(InputError, f"{target} cannot be written", field="out", hint="Choose another folder."):
        if target.exists() and (not target.is_dir() or any(target.iterdir())):
            raise InputError(
                f"{target} is there already and is not an empty folder.",
                field="out",
                hint="Name a new folder: what somebody may have begun to work through is not written over.",
            )
        target.parent.mkdir(parents=True, exist_ok=True)
        # What is in it is sent on: it is for others to read, too.
        write_folder(target, files(plan), mode=0o666)
    return target
