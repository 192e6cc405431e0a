"""The practice instance's page: its records, and the import of an XML file."""

from __future__ import annotations

from html import escape

from spokekit.practice.exchange import Answer
from spokekit.practice.instance.tables import SHOWN, Column, Database, Row, columns
from spokekit.practice.pages.consent import page

NOTE = '<p class="note">This is a practice instance. Nothing here reaches ServiceNow.</p>'
_OF = "oauth_entity_profile"
_SYSTEM = ("sys_id", "sys_created_on", "sys_updated_on", "sys_scope")


def records(data: Database, *, told: str = "", problem: str = "", above: str = "") -> Answer:
    """Show the records of every table that a hand-over writes, and the forms for what is done by hand."""
    sections = "".join(_table(data, table) for table in SHOWN)
    said = f'<p class="note" role="status">{escape(told or problem)}</p>' if told or problem else ""
    return page(
        "Records of the practice instance",
        f"""{NOTE}{above}<h1>Records of the practice instance</h1>{said}
<section><h2>Import XML</h2><p class="soft">As on an instance: no business rule runs, and password fields do not
survive.</p><form method="post"><label for="xml">Content of a file from <code>unload/</code></label>
<textarea id="xml" name="xml"></textarea><div class="row"><button class="main">Import</button></div></form></section>
{sections}""",
        wide=True,
    )


def _table(data: Database, table: str) -> str:
    rows = list(data.rows[table].values())
    head = f"<section><h2>{escape(table)}</h2>"
    if not rows:
        return f"{head}<p>No records.</p></section>"
    known = columns(table)
    return head + "".join(_record(data, table, known, row) for row in rows) + "</section>"


def _record(data: Database, table: str, known: dict[str, Column], row: Row) -> str:
    lines = []
    for name, column in known.items():
        value = row.get(name, "")
        if name in _SYSTEM or not value:
            continue
        shown = "(not shown)" if column.kind == "password2" else value
        if column.reference:
            shown = data.display(column.reference, value) or f"{value} (there is no such record)"
        lines.append(f"<dt>{escape(name)}</dt><dd>{escape(shown)}</dd>")
    title = escape(row.get("name") or row["sys_id"])
    return (
        f"<details><summary>{title}</summary><dl><dt>sys_id</dt><dd>{row['sys_id']}</dd>{''.join(lines)}</dl>"
        f"{_by_hand(data, table, row)}</details>"
    )


def _by_hand(data: Database, table: str, row: Row) -> str:
    """Return the form for what only a person does on an instance, and no hand-over."""
    key, name = escape(row["sys_id"]), escape(row.get("name") or row["sys_id"])
    if table == "oauth_entity":
        return (
            f'<form method="post"><input type="hidden" name="registry" value="{key}">'
            f'<label for="secret-{key}">Client secret of {name}</label>'
            f'<input type="password" id="secret-{key}" name="secret" autocomplete="off">'
            f'<div class="row"><button>Save the client secret</button></div></form>'
        )
    if table == "oauth_2_0_credentials":
        got = [one["token_received"] for one in data.rows["oauth_credential"].values() if one.get("of") == row.get(_OF)]
        there = f"A token came at {escape(max(got))} UTC." if got else "There is no token."
        return (
            f"<p>{there}</p>"
            f'<form method="post"><input type="hidden" name="credential" value="{key}">'
            f'<div class="row"><button aria-label="Get OAuth Token: {name}">Get OAuth Token</button></div></form>'
        )
    return ""
