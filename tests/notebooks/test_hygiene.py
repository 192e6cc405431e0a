"""The notebooks as they are committed: clean, valid, and leading from one to the next."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import nbformat
import pytest

from tests.notebooks.conftest import NOTEBOOKS, ONE_PAGE

NAMES = [path.name for path in NOTEBOOKS]


def _cells(path: Path, kind: str) -> list[Any]:
    return [cell for cell in json.loads(path.read_text(encoding="utf-8"))["cells"] if cell["cell_type"] == kind]


def _text(cell: Any) -> str:
    return "".join(cell["source"])


def test_all_seven_are_here() -> None:
    assert NAMES == [
        "00-start-here.ipynb",
        "01-create-the-oauth-app.ipynb",
        "02-configure-the-connection.ipynb",
        "03-get-the-oauth-token.ipynb",
        "04-add-confluence-groups.ipynb",
        "05-audit-group-access.ipynb",
        "06-manage-members.ipynb",
    ]


@pytest.mark.parametrize("path", [*NOTEBOOKS, ONE_PAGE], ids=lambda path: path.stem)
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


@pytest.mark.parametrize("path", [*NOTEBOOKS, ONE_PAGE], ids=lambda path: path.stem)
def test_links_lead_somewhere_and_to_the_neighbours(path: Path) -> None:
    text = "\n".join(_text(cell) for cell in _cells(path, "markdown"))
    targets = re.findall(r"\]\(([^)\s]+)\)", text)
    local = [target for target in targets if not target.startswith(("http://", "https://", "#"))]
    assert not [target for target in local if not (path.parent / target.split("#")[0]).exists()]
    if path == ONE_PAGE:
        return
    place = NAMES.index(path.name)
    if place:
        assert NAMES[place - 1] in local
    if place < len(NAMES) - 1:
        assert NAMES[place + 1] in local


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_opens_with_where_you_are_and_code_stays_short(path: Path) -> None:
    assert _text(_cells(path, "markdown")[0]).startswith("# ")
    code = [_text(cell) for cell in _cells(path, "code")]
    assert "Guide(" in "\n".join(code[:2]), "the first cells say where you are and what is done"
    assert not [text for text in code if len(text.splitlines()) > 25], "longer code belongs into the package"
    assert not [text for text in code if re.search(r"/(tmp|home|root|Users)/|localhost:\d|127\.0\.0\.1:\d", text)]
