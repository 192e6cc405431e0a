"""The practice instance's page: its records, and the import of an XML file."""

from __future__ import annotations

from html import escape

from spokekit.practice.exchange import Answer
from spokekit.practice.instance.tables import SHOWN, Column, Database, Row, columns
from spokekit.practice.pages.consent import page

NOTE = '<p class="note">This is a practice instance. Nothing here reaches ServiceNow.</p>'
_SYSTEM = ("sys_id", "sys_created_on", "sys_updated_on", "sys_scope")


def records(data: Database, *, told: str = "", problem: str = "") -> Answer:
    """Show the records of every table that a hand-over writes, and the form for an import."""
    sections = "".join(_table(data, table) for table in SHOWN)
    said = f'<p class="note" role="status">{escape(told or problem)}</p>' if told or problem else ""
    return page(
        "Records of the practice instance",
        f"""{NOTE}<h1>Records of the practice instance</h1>{said}
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
    return head + "".join(_record(data, known, row) for row in rows) + "</section>"


def _record(data: Database, known: dict[str, Column], row: Row) -> str:
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
        f"<details><summary>{title}</summary><dl><dt>sys_id</dt><dd>{row['sys_id']}</dd>{''.join(lines)}</dl></details>"
    )
