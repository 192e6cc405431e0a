"""The plan as a project for the ServiceNow SDK: for review, and for teams that install from source control."""

from __future__ import annotations

import json

from spokekit.handover import records as rec

SCOPE = "x_spokekit_hand"


def files(plan: rec.Plan) -> dict[str, bytes]:
    """Return the files of the project by their path in it."""
    package = {
        "name": "spokekit-hand-over",
        "version": "1.0.0",
        "private": True,
        "description": "Records for ServiceNow's Confluence Cloud spoke, without any secret.",
        "scripts": {"build": "now-sdk build", "deploy": "now-sdk install"},
        "devDependencies": {"@servicenow/sdk": "^4.9.0"},
    }
    config = {"scope": SCOPE, "scopeId": rec.sys_id("sys_app", SCOPE), "name": "spokekit hand-over"}
    rows = "\n".join(_record(record) for record in plan.records())
    source = f"import '@servicenow/sdk/global'\nimport {{ Record }} from '@servicenow/sdk/core'\n\n{rows}"
    return {
        "package.json": _json(package),
        "now.config.json": _json(config),
        "src/fluent/hand-over.now.ts": source.encode(),
    }


def _json(value: object) -> bytes:
    return (json.dumps(value, indent=2) + "\n").encode()


def _record(record: rec.Record) -> str:
    # JSON with escapes for all that is not ASCII is a string of TypeScript too, and ends at its own quotation mark.
    lines = [f"        {name}: {_value(name, record.values[name])}," for name in sorted(record.values)]
    return (
        f"Record({{\n    $id: Now.ID[{json.dumps(record.sys_id)}],\n    table: {json.dumps(record.table)},\n"
        "    data: {\n" + "\n".join(lines) + "\n    },\n})\n"
    )


def _value(column: str, value: str) -> str:
    return value if column in rec.BOOLEANS and value in ("true", "false") else json.dumps(value)
