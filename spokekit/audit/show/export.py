"""Answers as files: CSV, Parquet, a workbook, an HTML page. Each is written whole or not at all, for its owner only."""

from __future__ import annotations

import io
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from spokekit import _frames
from spokekit._foreign import encodable, markup
from spokekit._frames import UNKNOWN, guard_formula, human, in_cell, is_number, ordered
from spokekit._home import write_private
from spokekit._refused import told_as
from spokekit._words import counted, moment
from spokekit.errors import InputError, StoreError

if TYPE_CHECKING:
    from spokekit.audit.audit import Audit
    from spokekit.audit.show.picture import Picture

_SHEET_ROWS = 1_048_575
_HTML_ROWS = 1_000


@dataclass(frozen=True)
class About:
    """What stands in front of an export: who made it, when, of which site and moment, and what is missing from it."""

    title: str
    site: str
    taken_at: datetime | None
    made_by: str
    scope: str
    coverage: str
    filters: str = ""

    @classmethod
    def of(cls, audit: Audit, *, title: str, made_by: str, filters: str = "") -> About:
        """Describe an export of `audit`."""
        words = str(audit.completeness.get("words") or "No completeness report.")
        coverage = " ".join(part for part in (words, audit.caution(), *audit.completeness.get("notes", ())) if part)
        return cls(
            title,
            audit.site.name or audit.site.cloud_id,
            audit.taken_at,
            made_by,
            str(audit.scope.get("groups", "")),
            coverage,
            filters,
        )

    def rows(self) -> list[tuple[str, str]]:
        """Return what is to be said as (what, words)."""
        said = [
            ("Title", self.title),
            ("Site", self.site),
            ("Snapshot taken", moment(self.taken_at) if self.taken_at else ""),
            ("Export made", moment(datetime.now(UTC))),
            ("Made by", self.made_by),
            ("Walked", self.scope),
            ("Filters", self.filters or "none"),
            ("Coverage", self.coverage),
        ]
        return [(what, words) for what, words in said if words]


@dataclass(frozen=True)
class Written:
    """Files that were written: where they are, and in a notebook a link to each that lies below it."""

    paths: tuple[Path, ...]

    def __repr__(self) -> str:
        return "\n".join(f"{path} ({_size(path)})" for path in self.paths)

    def _repr_html_(self) -> str:
        lines = []
        for path in self.paths:
            try:
                # JupyterLab takes a link as relative to the notebook, whose folder a kernel starts in.
                below = quote(path.relative_to(Path.cwd().resolve()).as_posix())
                link = f"<a href='{below}' download='{markup(path.name)}'>Download {markup(path.name)}</a>"
            except ValueError:
                link = markup(path.name)
            lines.append(f"<li>{link} · {_size(path)} · <code>{markup(str(path))}</code></li>")
        return f"<ul>{''.join(lines)}</ul>"


def _size(path: Path) -> str:
    size = path.stat().st_size if path.exists() else 0
    return f"{size / 1e6:,.1f} MB" if size >= 1e6 else f"{max(1, round(size / 1e3)):,} kB"


def to_folder(
    frames: Mapping[str, pd.DataFrame],
    about: About,
    pictures: Sequence[Picture] = (),
    *,
    name: str = "audit",
    folder: Path | str = "exports",
) -> Written:
    """Write a workbook and an HTML page into `folder`, which is made when it is not there.

    Parameters
    ----------
    name:
        Of the files, without their endings.
    folder:
        Relative to the notebook, or absolute.

    Raises
    ------
    InputError
        The folder or a file cannot be written.
    """
    target = Path(folder).expanduser().resolve()
    with told_as(InputError, f"{target} cannot be made", hint="Name another folder.", field="folder"):
        target.mkdir(parents=True, exist_ok=True)
    return Written(
        (to_xlsx(frames, target / f"{name}.xlsx", about), to_html(frames, target / f"{name}.html", about, pictures))
    )


def to_csv(frame: pd.DataFrame, path: Path | str) -> Path:
    """Write UTF-8 CSV that no spreadsheet runs as a formula; times in ISO 8601 UTC."""
    return _written(path, csv_bytes(frame))


def csv_bytes(frame: pd.DataFrame) -> bytes:
    """Return what `to_csv` writes."""
    text = plain(frame).map(_guarded).rename(columns=_guarded).to_csv(index=False, lineterminator="\r\n")
    # The mark at the beginning lets Excel see that it is UTF-8.
    return text.encode("utf-8-sig")


def to_parquet(frame: pd.DataFrame, path: Path | str) -> Path:
    """Write Parquet (zstd), types and ``attrs`` as they are."""
    # Attrs may hold what Parquet's metadata cannot; the columns are what matters here.
    bare = frame.copy(deep=False)
    bare.attrs = {}
    sink = io.BytesIO()
    try:
        table = pa.Table.from_pandas(bare, preserve_index=False)
    except UnicodeEncodeError:
        texts = [name for name in bare.columns if bare[name].dtype.kind == "O"]
        table = pa.Table.from_pandas(
            bare.assign(**{name: bare[name].map(_sound) for name in texts}), preserve_index=False
        )
    pq.write_table(table, sink, compression="zstd")
    return _written(path, sink.getvalue())


def _guarded(value: Any) -> Any:
    return guard_formula(_sound(value))


def _sound(value: Any) -> Any:
    return encodable(value) if isinstance(value, str) else value


def to_xlsx(frames: Mapping[str, pd.DataFrame], path: Path | str, about: About) -> Path:
    """Write one workbook: a sheet Summary, then a sheet for each frame (several for one of more than a million rows).

    Every text is a text cell, whatever it begins with; codes are in words, times are this computer's, with the zone.
    What a question cannot know stands in Summary.
    """
    return _written(path, xlsx_bytes(frames, about))


def xlsx_bytes(frames: Mapping[str, pd.DataFrame], about: About) -> bytes:
    """Return what `to_xlsx` writes."""
    from openpyxl import Workbook
    from openpyxl.cell import WriteOnlyCell
    from openpyxl.styles import Alignment, Font
    from openpyxl.utils import get_column_letter

    from spokekit.audit.show.workbook import with_rows

    book = Workbook(write_only=True)
    bold, right = Font(bold=True), Alignment(horizontal="right")
    names = _sheet_names(frames)
    bodies: dict[int, Iterable[tuple[Any, ...]]] = {}

    def cell(sheet: Any, value: Any, font: Any = None) -> Any:
        return in_cell(WriteOnlyCell(sheet), value, font)

    summary = book.create_sheet("Summary")
    summary.column_dimensions["A"].width, summary.column_dimensions["B"].width = 22, 100
    for what, words in about.rows():
        summary.append([cell(summary, what, bold), cell(summary, words)])
    summary.append([])
    summary.append([cell(summary, head, bold) for head in ("Sheet", "Rows, and what they cannot know")])
    for name, frame in frames.items():
        told = f"{len(frame):,} rows. {frame.attrs.get('title', '')} {frame.attrs.get('cannot_know', '')}".strip()
        summary.append([cell(summary, names[name]), cell(summary, told)])
    for name, frame in frames.items():
        whole, numbers = _for_people(frame)
        for part in range(0, max(1, len(whole)), _SHEET_ROWS):
            sheet = book.create_sheet(names[name] if part == 0 else f"{names[name][:26]} {part // _SHEET_ROWS + 1}")
            sheet.freeze_panes = "A2"
            columns = list(whole.columns)
            rows = whole.iloc[part : part + _SHEET_ROWS]
            for number, column in enumerate(columns, 1):
                longest = rows[column].head(200).map(lambda v: len(str(v))).max() if len(rows) else 0
                sheet.column_dimensions[get_column_letter(number)].width = min(60, max(len(column), longest) + 2)
            if columns:
                sheet.auto_filter.ref = f"A1:{get_column_letter(len(columns))}{len(rows) + 1}"
            heads = [cell(sheet, column.replace("_", " "), bold) for column in columns]
            for head, column in zip(heads, columns, strict=True):
                if column in numbers:
                    head.alignment = right
            sheet.append(heads)
            bodies[len(book.worksheets)] = rows.itertuples(index=False, name=None)
    sink = io.BytesIO()
    book.save(sink)
    return with_rows(sink.getvalue(), bodies)


def to_html(
    frames: Mapping[str, pd.DataFrame], path: Path | str, about: About, pictures: Sequence[Picture] = ()
) -> Path:
    """Write one HTML page with nothing from elsewhere: pictures inside, no script, light and dark as the reader has it.

    The first 1,000 rows of a frame are shown; the page says when there are more.
    """
    return _written(path, html_bytes(frames, about, pictures))


def html_bytes(frames: Mapping[str, pd.DataFrame], about: About, pictures: Sequence[Picture] = ()) -> bytes:
    """Return what `to_html` writes."""
    parts = [f"<h1>{markup(about.title)}</h1>", "<table class='about'>"]
    parts += [f"<tr><th scope='row'>{markup(what)}</th><td>{markup(words)}</td></tr>" for what, words in about.rows()]
    parts.append("</table>")
    for picture in pictures:
        light, dark = picture.urls()
        parts.append(
            f"<figure><picture><source media='(prefers-color-scheme: dark)' srcset='{dark}'>"
            f"<img src='{light}' alt='{markup(picture.alt)}'></picture>"
            f"<figcaption>{markup(picture.title)}</figcaption></figure>"
        )
    for name, frame in frames.items():
        parts += _section(name, frame)
    page = _PAGE.format(title=markup(about.title), body="\n".join(parts))
    return page.encode()


def _for_people(frame: pd.DataFrame) -> tuple[pd.DataFrame, frozenset[str]]:
    """Return the frame as people read it, numbers as numbers, and the names of its columns of numbers."""
    numbers = frozenset(str(name) for name in frame.columns if is_number(frame[name]))
    made = {}
    for name in ordered(list(frame.columns)):
        values = frame[name].astype(object)
        missing = UNKNOWN if str(name) in numbers else ""
        made[str(name)] = [missing if gone else human(name, v) for v, gone in zip(values, values.isna(), strict=True)]
    return pd.DataFrame(made, dtype=object), numbers


def _section(name: str, frame: pd.DataFrame) -> list[str]:
    table = _frames.shown(frame, most=_HTML_ROWS)
    more = f", the first {_HTML_ROWS:,} are shown" if len(frame) > _HTML_ROWS else ""
    parts = [f"<h2>{markup(str(frame.attrs.get('title') or name))}</h2>", f"<p>{counted(len(frame), 'row')}{more}.</p>"]
    if frame.attrs.get("cannot_know"):
        parts.append(f"<p class='note'>This cannot know: {markup(str(frame.attrs['cannot_know']))}</p>")
    if not len(frame):
        return parts
    return [*parts, f"<div class='wide'><table>{_frames.inside(table)}</table></div>"]


def plain(frame: pd.DataFrame) -> pd.DataFrame:
    """Return `frame` of plain values: text, numbers, bool; times as text, missing ones empty."""
    made = {}
    for column in frame.columns:
        values = frame[column]
        if isinstance(values.dtype, pd.DatetimeTZDtype):
            values = values.dt.strftime("%Y-%m-%dT%H:%M:%SZ")
        bare = values.astype(object)
        made[str(column)] = bare.where(bare.notna(), "")
    return pd.DataFrame(made, dtype=object)


def _sheet_names(frames: Mapping[str, pd.DataFrame]) -> dict[str, str]:
    names: dict[str, str] = {}
    # Excel keeps History for itself.
    taken = {"summary", "history"}
    for name in frames:
        fit = re.sub(r"[\[\]:*?/\\\x00-\x1f]", " ", name).strip(" '")[:28] or "Sheet"
        chosen, number = fit, 2
        while chosen.lower() in taken:
            chosen, number = f"{fit[:26]} {number}", number + 1
        taken.add(chosen.lower())
        names[name] = chosen
    return names


def _written(path: Path | str, data: bytes) -> Path:
    target = Path(path).expanduser()
    if target.is_dir():
        raise InputError(f"{target} is a folder.", hint="Name a file.", field="path")
    if not target.parent.is_dir():
        raise InputError(f"{target} cannot be written: there is no folder {target.parent}.", field="path")
    try:
        write_private(target, data)
    except StoreError as error:
        raise InputError(error.message, hint="Choose another place for it.", field="path") from None
    return target


_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<meta name="color-scheme" content="light dark"><title>{title}</title>
<style>
:root {{ --ink: #1c1f24; --paper: #fff; --line: #d5d9df; --soft: #5b636e; }}
@media (prefers-color-scheme: dark) {{
  :root {{ --ink: #e6e8eb; --paper: #16181c; --line: #3a3f47; --soft: #a3abb6; }}
}}
body {{ font: 15px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper); margin: 2rem auto;
       max-width: 76rem; padding: 0 1rem; }}
h1 {{ font-size: 1.6rem; }} h2 {{ font-size: 1.2rem; margin-top: 2.2rem; }}
table {{ border-collapse: collapse; font-size: 0.9rem; }}
th, td {{ border-bottom: 1px solid var(--line); padding: 0.3rem 0.7rem; text-align: left; vertical-align: top;
         overflow-wrap: anywhere; }}
thead th {{ white-space: nowrap; }} .number {{ text-align: right; font-variant-numeric: tabular-nums; }}
.about th {{ color: var(--soft); font-weight: normal; white-space: nowrap; }}
.wide {{ overflow-x: auto; }} .note {{ color: var(--soft); }}
figure {{ margin: 1.5rem 0; }} img {{ max-width: 100%; height: auto; }} figcaption {{ color: var(--soft); }}
</style></head><body>
{body}
</body></html>
"""
