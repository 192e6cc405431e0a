"""Answers are taken away where they stand, belong to their question, and files say where they are."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from spokekit._workspace import Workspace
from spokekit.audit.show import export
from spokekit.errors import InputError
from spokekit.practice import PracticeSite
from spokekit.widgets import GroupTable, QuestionPanel, WalkPanel, _downloads


class Caught:
    """What went to the page."""

    def __init__(self, component: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        self.files: list[tuple[str, str, bytes]] = []
        for button in component._downloads.buttons.values():
            monkeypatch.setattr(button, "give", lambda *given: self.files.append(given))


def test_an_answer_is_downloaded_and_belongs_to_its_question(
    connected: Workspace, site: PracticeSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    walk = WalkPanel(workspace=connected)
    walk.rehearse(groups="all")
    panel = QuestionPanel(walk)
    down = panel._downloads
    assert down.row.layout.display == "none", "there is nothing yet"
    panel.rehearse(question="groups-without-members")
    caught = Caught(panel, monkeypatch)
    assert down.row.layout.display == "" and not down.buttons["csv"].disabled
    assert "Which groups have no members" in panel._place.value or "<caption>" in panel._place.value
    for kind in ("csv", "xlsx", "html"):
        down.buttons[kind].click()
        panel.settled()
    assert [name for name, _, _ in caught.files] == [f"groups-without-members.{kind}" for kind in down.buttons]
    rows = list(csv.DictReader(io.StringIO(caught.files[0][2].decode("utf-8-sig"))))
    assert [row["group_name"] for row in rows] == ["project-phoenix"]
    assert caught.files[1][2].startswith(b"PK") and b"project-phoenix" in caught.files[2][2]
    assert panel.status.startswith("groups-without-members.html went to the downloads") and panel.status_kind == "ok"
    # Under another question nothing of the old answer stands, and nothing of it can be taken away.
    panel.question.value = "group-sizes"
    assert panel._place.layout.display == "none" and down.row.layout.display == "none"
    assert "1 row" not in panel.status
    with pytest.raises(InputError, match="made for other inputs"):
        down.take("csv")
    assert len(caught.files) == 3
    panel.question.value = "groups-without-members"
    assert panel._place.layout.display == "" and down.row.layout.display == ""


def test_a_table_is_downloaded_up_to_a_size(monkeypatch: pytest.MonkeyPatch) -> None:
    table = GroupTable(pd.DataFrame({"name": ["=1+1", "b"]}), title="My groups / all")
    caught = Caught(table, monkeypatch)
    table._downloads.buttons["csv"].click()
    table.settled()
    assert caught.files[0][0] == "My-groups-all.csv" and b"'=1+1" in caught.files[0][2]
    monkeypatch.setattr(_downloads, "MOST_ROWS", {"csv": 1, "xlsx": 1, "html": 1})
    table._downloads.buttons["xlsx"].click()
    assert "2 rows are too many for a download as Excel (at most 1)" in table.status
    monkeypatch.setattr(_downloads, "MOST_ROWS", {"csv": 9, "xlsx": 9, "html": 9})
    monkeypatch.setattr(_downloads, "MOST_BYTES", 3)
    table._downloads.buttons["html"].click()
    with pytest.raises(InputError):
        table.settled()
    assert "more than a page takes at once" in table.status and len(caught.files) == 1
    empty = GroupTable(pd.DataFrame({"name": []}))
    assert empty._downloads.row.layout.display == "none"


def test_what_was_written_says_where_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    about = export.About("T", "", None, "me", "", "")
    assert "Snapshot taken" not in dict(about.rows())
    written = export.to_folder({"a": pd.DataFrame({"x": [1]})}, about, name="of all")
    assert [path.relative_to(tmp_path.resolve()).as_posix() for path in written.paths] == [
        "exports/of all.xlsx",
        "exports/of all.html",
    ]
    assert str(tmp_path.resolve() / "exports" / "of all.xlsx") in repr(written)
    assert "href='exports/of%20all.html'" in written._repr_html_()
    elsewhere = export.to_folder({"a": pd.DataFrame({"x": [1]})}, about, folder=tmp_path.parent / "elsewhere")
    assert "href=" not in elsewhere._repr_html_() and "elsewhere/audit.html" in elsewhere._repr_html_()
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot be made"):
        export.to_folder({}, about, folder="file/below")
