"""The notebooks as they are committed: clean, valid, and leading from one to the next."""

from __future__ import annotations

import ast
import builtins
import json
import re
from pathlib import Path
from typing import Any

import nbformat
import pytest

from spokekit.widgets._cells import cell_that_makes
from tests.notebooks.conftest import CHAPTERS, NOTEBOOKS, ONE_PAGE

NAMES = [path.name for path in NOTEBOOKS]


def _cells(path: Path, kind: str) -> list[Any]:
    return [cell for cell in json.loads(path.read_text(encoding="utf-8"))["cells"] if cell["cell_type"] == kind]


def _text(cell: Any) -> str:
    return "".join(cell["source"])


def test_all_nine_are_here() -> None:
    assert NAMES == [
        "00-start-here.ipynb",
        "01-create-the-oauth-app.ipynb",
        "02-configure-the-connection.ipynb",
        "03-get-the-oauth-token.ipynb",
        "04-add-confluence-groups.ipynb",
        "05-audit-group-access.ipynb",
        "06-manage-members.ipynb",
        "07-review-access.ipynb",
        "08-hand-over.ipynb",
    ]


@pytest.mark.parametrize("path", [*NOTEBOOKS, *CHAPTERS, ONE_PAGE], ids=lambda path: path.stem)
def test_committed_without_traces_of_a_run(path: Path) -> None:
    notebook = nbformat.read(path, as_version=nbformat.NO_CONVERT)
    nbformat.validate(notebook)
    assert notebook.nbformat == 4
    assert notebook.nbformat_minor >= 5
    assert "widgets" not in notebook.metadata
    assert notebook.metadata.kernelspec.name == "python3"
    identities = [cell.id for cell in notebook.cells]
    assert len(set(identities)) == len(identities)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            assert cell.execution_count is None
            assert cell.outputs == []
        assert not set(cell.metadata) & {"execution", "ExecuteTime", "collapsed", "scrolled"}


@pytest.mark.parametrize("path", [*NOTEBOOKS, *CHAPTERS, ONE_PAGE], ids=lambda path: path.stem)
def test_links_lead_somewhere_and_to_the_neighbours(path: Path) -> None:
    text = "\n".join(_text(cell) for cell in _cells(path, "markdown"))
    targets = re.findall(r"\]\(([^)\s]+)\)", text)
    local = [target for target in targets if not target.startswith(("http://", "https://", "#"))]
    assert not [target for target in local if not (path.parent / target.split("#")[0]).exists()]
    if path == ONE_PAGE:
        return
    way = CHAPTERS if path in CHAPTERS else NOTEBOOKS
    place = way.index(path)
    # The lessons begin where everything does.
    before = way[place - 1].name if place else "../00-start-here.ipynb" if way is CHAPTERS else None
    assert before is None or before in local
    if place < len(way) - 1:
        assert way[place + 1].name in local


@pytest.mark.parametrize("path", [*NOTEBOOKS, *CHAPTERS], ids=lambda path: path.stem)
def test_opens_with_where_you_are_and_code_stays_short(path: Path) -> None:
    assert _text(_cells(path, "markdown")[0]).startswith("# ")
    code = [_text(cell) for cell in _cells(path, "code")]
    assert "Guide(" in code[0], "the first cell says where you are and what is done"
    assert not [text for text in code if len(text.splitlines()) > 25], "longer code belongs into the package"
    assert not [text for text in code if re.search(r"/(tmp|home|root|Users)/|localhost:\d|127\.0\.0\.1:\d", text)]


# Every other cell is folded: a reader needs what it shows, not how.
ASKING = "an auditor copies it, changes the question or the columns, and asks again"
FRAMES = "the way from the component to pandas, to be gone on with"
OPEN = {
    ("04-add-confluence-groups", "1495abd3"): FRAMES,
    ("04-add-confluence-groups", "f468346d"): FRAMES,
    **{
        ("05-audit-group-access", f"e5a100{number}"): ASKING
        for number in ("09", "11", "12", "14", "15", "16", "27", "31", "38")
    },
    ("05-audit-group-access", "e5a10029"): "a question of one's own begins as a copy of it",
    ("06-manage-members", "f6a10009"): "the same without a component, to be copied into a script",
    ("06-manage-members", "f6a10013"): FRAMES,
    ("06-manage-members", "f6a10014"): FRAMES,
    ("07-review-access", "a7000006"): FRAMES,
    ("08-hand-over", "b8000006"): "the plan's records, to be looked at and gone on with",
}


def test_only_what_a_reader_may_want_to_change_stands_open() -> None:
    found = {
        (path.stem, cell["id"])
        for path in (*NOTEBOOKS, *CHAPTERS, ONE_PAGE)
        for cell in _cells(path, "code")
        if not cell["metadata"].get("jupyter", {}).get("source_hidden")
    }
    assert found == set(OPEN)
    for path in (*NOTEBOOKS, *CHAPTERS, ONE_PAGE):
        for cell in _cells(path, "code"):
            assert set(cell["metadata"]) <= {"jupyter"}, "no cell is there for unattended runs alone"
            for word in ("rehears", "unattended", ".play(", ".needs(", ".place(", ".settled("):
                after = _text(cell).partition(word)[2]
                # What is placed gets nothing that says how a person would be played.
                allowed = word == ".place(" and re.match(r"\w+\((draft=Guide\.of\(2\)\.draft\(\)|walk)?\)", after)
                assert not after or allowed, _text(cell)
            # The first line is all that JupyterLab shows of a folded cell.
            assert _text(cell).startswith("# ") is bool(cell["metadata"]), _text(cell)
    first = "".join(_text(cell) for cell in _cells(NOTEBOOKS[0], "markdown"))
    assert "unfolds it" in first and "cells" in first and "Shift+Enter" in first and "▶" in first


@pytest.mark.parametrize("path", [*NOTEBOOKS, *CHAPTERS, ONE_PAGE], ids=lambda path: path.stem)
def test_each_cell_can_be_the_first_that_runs(path: Path) -> None:
    """Its names come from spokekit, or from the cell that says so when it has not run: never a bare NameError."""
    for cell in _cells(path, "code"):
        tree = ast.parse(_text(cell))
        first = [node for node in tree.body if not isinstance(node, ast.Import | ast.ImportFrom)]
        imports = [node for node in tree.body[: tree.body.index(first[0])] if isinstance(node, ast.ImportFrom)]
        assert any(node.module in ("spokekit.notebook", "spokekit.widgets") for node in imports), _text(cell)
        made = {name.id for name in ast.walk(tree) if isinstance(name, ast.Name) and isinstance(name.ctx, ast.Store)}
        made |= {alias.asname or alias.name for node in imports for alias in node.names}
        made |= {
            alias.asname or alias.name for node in tree.body if isinstance(node, ast.Import) for alias in node.names
        }
        made |= {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
        used = {name.id for name in ast.walk(tree) if isinstance(name, ast.Name)} - made - set(dir(builtins))
        for name in used - {"display"}:
            assert cell_that_makes(name, path, but_not=_text(cell)), f"{name} comes from nowhere"
