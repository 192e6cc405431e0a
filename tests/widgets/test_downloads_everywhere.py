"""What a panel shows can be taken away where it stands, in human words, and only while it is current."""

from __future__ import annotations

import csv
import io
from typing import TYPE_CHECKING, Any

import pytest

from spokekit.cli._output import emit
from spokekit.widgets import CheckPanel, FindingsPanel, MembershipEditor, WalkPanel
from spokekit.widgets.base import forget_typed

if TYPE_CHECKING:
    from spokekit._workspace import Workspace
    from spokekit.practice import PracticeSite
    from spokekit.widgets._downloads import Downloads
    from spokekit.widgets.base import Component


def taken(component: Component, downloads: Downloads, kind: str, monkeypatch: pytest.MonkeyPatch) -> tuple[str, bytes]:
    """Press the button and return name and content of what goes to the page."""
    found: list[Any] = []
    monkeypatch.setattr(downloads.buttons[kind], "give", lambda *given: found.append(given))
    downloads.buttons[kind].click()
    component.settled()
    assert component.status_kind == "ok" and found[0][0] in component.status
    return found[0][0], found[0][2]


def rows(content: bytes) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(content.decode("utf-8-sig"))))


def offered(downloads: Downloads) -> bool:
    return downloads.row.layout.display == "" and not any(made.disabled for made in downloads.buttons.values())


def test_a_check_is_taken_away_while_it_is_that_of_the_connection(
    connected: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    panel = CheckPanel(workspace=connected)
    assert not offered(panel._downloads)
    panel.check()
    panel.settled()
    name, content = taken(panel, panel._downloads, "csv", monkeypatch)
    assert name == "check-of-the-connection.csv"
    assert [row["check"] for row in rows(content)] == list(panel.value["check"])
    assert taken(panel, panel._downloads, "html", monkeypatch)[1].count(b"<tr>") > len(panel.value)
    saved = connected.connection()
    connected.connections.edit(saved.connection_id, name="Another name")
    panel.see()
    assert not offered(panel._downloads) and panel._downloads.row.layout.display == ""


def test_findings_have_words_for_codes_and_are_taken_away(
    connected: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    walk = WalkPanel(workspace=connected)
    walk.rehearse(groups="all")
    panel = FindingsPanel(walk)
    assert not offered(panel._downloads)
    panel.rehearse(question="groups-without-members")
    labels = [label for label, _ in panel.marks.options]
    assert labels == ["project-phoenix · administrators · group"]
    name, content = taken(panel, panel._downloads, "csv", monkeypatch)
    assert name == "findings-groups-without-members.csv"
    assert [(row["state"], row["group_name"]) for row in rows(content)] == [("new", "project-phoenix")]
    assert taken(panel, panel._downloads, "xlsx", monkeypatch)[1].startswith(b"PK")
    panel.question.value = "group-sizes"
    assert not offered(panel._downloads)


def test_preview_and_result_are_taken_away_each_for_itself(
    connected: Workspace, site: PracticeSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    forget_typed()
    groups = site.world.frames(tables=("groups",))["groups"]
    connected.registry().add(list(groups.loc[groups["name"] == "marketing", "group_id"]), groups=groups)
    editor = MembershipEditor(workspace=connected, pace=1000)
    editor.settled()
    before, after = editor._preview_downloads, editor._result_downloads
    assert not offered(before) and not offered(after)
    editor.settled()
    chosen = list(editor.members["account_id"][:2])
    editor.mark(chosen)
    editor.make_preview()
    editor.settled()
    name, content = taken(editor, before, "csv", monkeypatch)
    assert name == "preview-of-changes.csv" and not site.writes
    assert {(row["account_id"], row["status"]) for row in rows(content)} == {(one, "planned") for one in chosen}
    editor.confirm.value = editor.preview.confirmation
    assert not editor.apply_button.disabled, "taking a preview away is no change of it"
    editor.filter.value = ""
    editor.mark(chosen[:1])
    assert not offered(before)
    editor.mark(chosen)
    assert offered(before)
    editor.apply()
    editor.settled()
    assert not offered(before)
    name, content = taken(editor, after, "csv", monkeypatch)
    assert name.startswith("result-") and [row["status"] for row in rows(content)] == ["done", "done"]
    assert b"Result of an apply" in taken(editor, after, "html", monkeypatch)[1]


def test_a_table_of_the_command_line_has_words_too(capsys: pytest.CaptureFixture[str]) -> None:
    group = {"name": "EXTERNAL", "managed_by": "EXTERNAL", "usage_type": "USERBASE_GROUP"}
    emit([group])
    line = capsys.readouterr().out.splitlines()[-1].split("  ")
    assert [cell.strip() for cell in line if cell] == ["EXTERNAL", "identity provider", "group"]
    emit([group | {"principal_type": "access-class"}])
    assert "class of people" in capsys.readouterr().out
    emit([group], "csv")
    assert "EXTERNAL,EXTERNAL,USERBASE_GROUP" in capsys.readouterr().out, "a program reads what the site said"
