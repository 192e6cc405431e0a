"""The list of connections, the check, the guide and its rehearsal."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import ipywidgets as ipw
import pytest

from spokekit._secret import Secret
from spokekit.connections.connection import ConnectionDraft
from spokekit.errors import ConsentCancelled, ConsentNeeded, NotConfigured, SpokekitError
from spokekit.widgets import (
    AppSheet,
    CheckPanel,
    ConnectionForm,
    ConnectionsPanel,
    Guide,
    MembershipEditor,
    OnePage,
    TokenButton,
    WalkPanel,
)
from spokekit.widgets._explain import ON_ONE_PAGE, explain
from spokekit.widgets.steps import needs
from tests.conftest import connect

if TYPE_CHECKING:
    from spokekit._workspace import Workspace
    from spokekit.practice import PracticeSite


def press(panel: ConnectionsPanel, row: int, words: str) -> None:
    buttons = {b.description: b for b in every(panel._list.children[row], ipw.Button)}
    assert words in buttons, f"the row offers {sorted(buttons)}"
    buttons[words].click()


def every(widget: ipw.Widget, kind: type) -> list[Any]:
    found = [widget] if isinstance(widget, kind) else []
    return found + [w for child in getattr(widget, "children", ()) for w in every(child, kind)]


def words_of(widget: ipw.Widget) -> str:
    return " ".join(w.value for w in every(widget, ipw.HTML) if w.layout.display != "none")


def test_the_default_row_is_there_from_the_start(workspace: Workspace) -> None:
    panel = ConnectionsPanel(workspace=workspace)
    assert len(panel.rows) == 1
    said = words_of(panel._list)
    assert "Confluence Cloud" in said
    assert "sn_conflunce_spoke.Confluence_Cloud" in said
    assert "Not configured" in said
    assert "default" in said
    press(panel, 0, "View Details")
    assert "Alias ID" in words_of(panel._list)
    press(panel, 0, "Hide Details")
    press(panel, 0, "Configure")
    assert isinstance(panel.opened, ConnectionForm)


def test_configure_in_the_panel_changes_its_row(workspace: Workspace, told: dict[str, Any]) -> None:
    panel = ConnectionsPanel(workspace=workspace)
    press(panel, 0, "Configure")
    panel.opened.rehearse(told)
    assert "Token valid until" in words_of(panel._list)
    panel.close_opened()
    press(panel, 0, "Check the connection")
    panel.opened.check()
    panel.opened.settled()
    assert "All is well" in panel.opened.status and panel.opened.status_kind == "good"


def test_a_row_without_a_token_offers_it(workspace: Workspace, site: PracticeSite) -> None:
    saved = connect(workspace, site)
    workspace.tokens.forget(saved)
    panel = ConnectionsPanel(workspace=workspace)
    press(panel, 0, "Get OAuth Token")
    assert panel.opened.connection == workspace.connection()


def test_a_token_of_nobody_who_is_known_is_not_said_to_be_of_nobody(connected: Workspace) -> None:
    panel = ConnectionsPanel(workspace=connected)
    assert "<dt>Signed in as</dt><dd>not known</dd>" in panel._details(panel.rows[0])
    connected.tokens.forget(connected.connection())
    panel.refresh()
    assert "<dt>Signed in as</dt><dd>nobody yet</dd>" in panel._details(panel.rows[0])


def test_add_connection_and_remove_it_after_a_question(connected: Workspace) -> None:
    panel = ConnectionsPanel(workspace=connected)
    panel.add.click()
    form = panel.opened
    form.fields["name"].value = "Berlin & Co"
    form.fields["client_id"].value = "a1b2c3d4e5f6g7h8i9j0"
    form.secret.put(Secret("a-secret-of-the-app"))
    form.only_save.click()
    form.settled()
    assert [line.alias.is_default for line in panel.rows] == [True, False]
    assert "Berlin &amp; Co" in words_of(panel._list)
    panel.close_opened()
    press(panel, 1, "Remove")
    press(panel, 1, "No, keep it")
    assert len(panel.rows) == 2
    press(panel, 1, "Remove")
    press(panel, 1, "Yes, remove it")
    assert len(panel.rows) == 1
    assert "was removed" in panel.status
    assert connected.tokens.status(connected.connection()).state == "valid"


def test_what_leaves_the_panel_takes_no_consent(connected: Workspace, site: PracticeSite, told: dict[str, Any]) -> None:
    panel = ConnectionsPanel(workspace=connected)
    connected.connections.edit(connected.connection().connection_id, redirect_uri=told["redirect_uris"][0])
    token = panel.open_token(connected.connection())
    token.get()
    panel.open_check(connected.connection())
    with pytest.raises(ConsentCancelled):
        token.settled(10)
    assert not token.waiting


def test_the_check_says_what_is_missing(connected: Workspace, site: PracticeSite) -> None:
    check = CheckPanel(workspace=connected)
    check.start.click()
    check.settled()
    assert set(check.value["kind"]) >= {"connection", "scope"}
    assert "Northwind Practice" in check._behind.value and not check.fold.shown
    order = [w for w in check.body if w in (check.outcome, check._place, check.fold)]
    assert order == [check.outcome, check._place, check.fold], "the verdict first, then what can be done"
    assert "What you can do" in check._place.value and "Scopes" in check._behind.value
    assert "Scopes" not in check._place.value
    # All is well, and nothing was done.
    assert (
        check.status
        == "“Confluence Cloud Spoke Connection”: All is well, nothing to mend. Not asked for: Audit spaces."
    )
    assert "✓" in check._status_html.value and "Done." not in check._status_html.value
    scopes = check._behind.value
    assert scopes.index("ace:confluence") > scopes.index("read:confluence-groups"), "what cannot be tested is last"
    connected.tokens.save_grant(connected.connection(), site.issue_token(scopes=["read:confluence-user"]))
    check.start.click()
    check.settled()
    assert check.status_kind == "warning"
    assert "✕ missing" in check._place.value
    assert check._place.value.index("To mend first") < check._place.value.index("What you can do")
    assert "things to mend" in check.status and "does not work for: " in check.status
    assert set(site.writes).isdisjoint(site.world.frames()["groups"]["group_id"])


def test_a_check_follows_what_a_component_is_about(connected: Workspace, site: PracticeSite) -> None:
    first = connected.connection()
    second = connected.connections.add_child(ConnectionDraft(name="Second", client_id=site.client_id))
    token = TokenButton(first, workspace=connected)
    check = CheckPanel(workspace=connected).follow(token)
    check.check()
    check.settled()
    assert check._answer_of.current
    token.connection = second
    assert not check._answer_of.current and "made for other inputs" in check.status
    check.check()
    check.settled()
    assert "“Second”" in check.status and check.status_kind == "warning"
    token.connection = first
    assert not check._answer_of.current


def test_an_open_check_in_the_panel_is_greyed_with_its_connection(connected: Workspace) -> None:
    panel = ConnectionsPanel(workspace=connected)
    press(panel, 0, "Check the connection")
    check = panel.opened
    check.check()
    check.settled()
    assert check._answer_of.current
    connected.connections.edit(connected.connection().connection_id, name="Renamed elsewhere")
    panel.reload.click()
    assert not check._answer_of.current and "sk-stale" in check._place._dom_classes


def test_the_sheet_shows_the_callback_and_where_each_scope_is(
    workspace: Workspace, site: PracticeSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    sheet = AppSheet()
    said = words_of(sheet)
    assert sheet.redirect_uri == "http://localhost:8751/callback"
    assert "Create, remove and update user groups" in said
    assert "User identity API" in said
    assert "asked for with the consent" in said
    monkeypatch.setenv("SPOKEKIT_PRACTICE", json.dumps(site.describe()))
    said = words_of(AppSheet(Guide(1, workspace=workspace)))
    assert f"{site.url}console" in said
    assert site.client_secret not in said


def test_the_guide_tells_what_is_done_and_what_comes_next(connected: Workspace) -> None:
    guide = Guide(step=3, workspace=connected)
    assert guide.done == (1, 2, 3)
    assert guide.site is None
    assert "Your own site" in guide._line.value
    assert guide.draft() == ConnectionDraft()
    # The path of the database is in the fold.
    assert str(connected.store.describe()) in guide._details.value and "sqlite" not in guide._line.value
    assert not guide.more.shown
    assert "href='04-add-confluence-groups.ipynb'" in guide._line.value and "Next: 4 Groups →" in guide._line.value
    assert "<li aria-current='step' title='Get the OAuth token (done)'>" in guide._line.value
    with connected.spoke() as spoke:
        groups = spoke.look_up_groups()
    connected.registry().add([groups["group_id"][0]], groups=groups)
    guide.again.click()
    assert guide.done == (1, 2, 3, 4)
    assert "1 group is registered" in guide._details.value
    assert "Next: 5 Audit →" in guide._line.value, "a step that is done already is passed"


def test_the_steps_of_audit_and_members_are_done_too(connected: Workspace, site: PracticeSite) -> None:
    groups = site.world.frames(tables=("groups",))["groups"]
    connected.registry().add(list(groups.loc[groups["name"] == "marketing", "group_id"]), groups=groups)
    guide = Guide(step=5, workspace=connected)
    assert guide.done == (1, 2, 3, 4) and "Next:" not in guide._line.value, "this step is not done yet"
    walk = guide.place(WalkPanel(workspace=connected))
    assert walk.foot == ()
    walk.rehearse(groups="registered")
    assert guide.done == (1, 2, 3, 4, 5) and "a complete snapshot" in guide._details.value
    assert "Next: 6 Members →" in guide._line.value
    (foot,) = walk.foot
    assert "Next: 6 Members →" in foot.value and foot in walk.children
    six = Guide(step=6, workspace=connected)
    editor = six.place(MembershipEditor(workspace=connected))
    assert 6 not in six.done
    editor.rehearse()
    assert six.done == (1, 2, 3, 4, 5, 6) and "changes were applied 2 times" in six._details.value
    assert "Next: 7 Review →" in six._line.value and "Next: 7 Review →" in editor.foot[0].value


@pytest.mark.parametrize("step", [0, 1])
def test_a_step_that_is_only_read_leads_on_at_once(workspace: Workspace, step: int) -> None:
    guide = Guide(step=step, workspace=workspace)
    assert guide.done == () and f"Next: {step + 1} " in guide._line.value


def test_a_cell_that_comes_too_early_stops_in_one_line(workspace: Workspace) -> None:
    with pytest.raises(NotConfigured) as caught:
        needs(workspace, 3)
    (line,) = caught.value._render_traceback_()  # type: ignore[attr-defined]
    assert line.startswith("Not yet: “Get the OAuth token” comes first.")


def test_attended_a_component_is_placed_and_left_alone(workspace: Workspace) -> None:
    form = ConnectionForm(workspace=workspace)
    assert Guide(step=2, workspace=workspace).place(form) is form
    assert workspace.connections.list() == ()


def test_what_is_done_in_a_component_is_seen_by_the_guide_that_is_shown(
    workspace: Workspace, told: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SPOKEKIT_PRACTICE", json.dumps(told))
    first = Guide(step=2, workspace=workspace)
    form = first.place(ConnectionForm(workspace=workspace))
    again = Guide(step=2, workspace=workspace)
    assert Guide.of(2) is again
    form.rehearse(told)
    assert again.done == (1, 2, 3) and first.done == ()
    assert "Next: 4 Groups →" in again._line.value and "Next: 4 Groups →" in form.foot[0].value


def test_unattended_it_catches_up_and_never_touches_a_real_connection(
    workspace: Workspace, told: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SPOKEKIT_UNATTENDED", "1")
    monkeypatch.setenv("SPOKEKIT_PRACTICE", json.dumps(told))
    guide = Guide(step=5, workspace=workspace)
    assert guide.done == (1, 2, 3, 4)
    saved = workspace.connection()
    workspace.connections.edit(
        saved.connection_id, url="https://api.atlassian.com/", auth_url="https://auth.atlassian.com/"
    )
    guide = Guide(step=5, workspace=workspace)
    assert "leads to a real site" in guide.status
    assert workspace.connection().url == "https://api.atlassian.com/"


@pytest.mark.parametrize("component", [ConnectionForm, TokenButton])
def test_a_rehearsal_on_binder_pastes_what_no_listener_could_take(
    workspace: Workspace,
    site: PracticeSite,
    told: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
    component: type[ConnectionForm | TokenButton],
) -> None:
    monkeypatch.setenv("BINDER_LAUNCH_HOST", "https://mybinder.org/")
    workspace.tokens.forget(connect(workspace, site, redirect_uri=told["redirect_uris"][0]))
    monkeypatch.setenv("SPOKEKIT_PRACTICE", json.dumps(told))
    made = component(workspace=workspace)
    made.rehearse()
    assert made.token_status.state == "valid"


def test_pages_that_the_browser_does_not_reach_are_told(
    workspace: Workspace, told: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SPOKEKIT_PRACTICE", json.dumps(told))
    only = "only in a browser on the machine where"
    guide = Guide(1, workspace=workspace)
    assert only not in words_of(guide) + words_of(AppSheet(guide))
    monkeypatch.setenv("JUPYTERHUB_USER", "ann")
    guide = Guide(1, workspace=workspace)
    assert only in words_of(guide)
    assert only in words_of(AppSheet(guide))


def test_pages_that_come_through_the_jupyter_server_are_linked(
    workspace: Workspace, site: PracticeSite, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("JUPYTER_RUNTIME_DIR", str(tmp_path))
    monkeypatch.setenv("JPY_PARENT_PID", "7")
    (tmp_path / "spokekit-oauth").mkdir()
    (tmp_path / "spokekit-oauth" / "server-7.json").write_text("{}")
    (tmp_path / "jpserver-7.json").write_text('{"url": "http://localhost:8888/user/ann/", "base_url": "/user/ann/"}')
    monkeypatch.setenv("SPOKEKIT_PRACTICE", json.dumps(site.describe()))
    passed_on = f"href='/user/ann/spokekit/practice/{site.port}/console'"
    guide = Guide(1, workspace=workspace)
    assert f"href='{site.url}console?open=" in words_of(guide) and passed_on not in words_of(AppSheet(guide))
    monkeypatch.setenv("JUPYTERHUB_SERVICE_PREFIX", "/user/ann/")
    guide = Guide(1, workspace=workspace)
    said = words_of(AppSheet(guide))
    assert passed_on in words_of(guide) and passed_on in said
    assert "href='/user/ann/spokekit/oauth/start'" in said
    assert "only in a browser on the machine" not in words_of(guide) + said
    # Where the hub tells the server's address and the practice app knows it, nothing is to be pasted.
    own = "https://hub.example/user/ann/spokekit/oauth/callback"
    monkeypatch.setenv("JUPYTERHUB_PUBLIC_URL", "https://hub.example/user/ann/")
    assert guide.draft().redirect_uri == site.redirect_uris[0]
    site.allow_redirect(own)
    monkeypatch.setenv("SPOKEKIT_PRACTICE", json.dumps(site.describe()))
    guide = Guide(1, workspace=workspace)
    assert guide.draft().redirect_uri == own
    assert "nothing is to be copied" in words_of(AppSheet(guide))
    # On the person's own site it is the same way, and no address without its host stands anywhere.
    monkeypatch.delenv("SPOKEKIT_PRACTICE")
    guide = Guide(1, workspace=workspace)
    assert guide.draft().redirect_uri == own and "oauth/start" not in words_of(AppSheet(guide))
    monkeypatch.delenv("JUPYTERHUB_PUBLIC_URL")
    said = words_of(AppSheet(Guide(1, workspace=workspace)))
    assert "href='/user/ann/spokekit/oauth/start'" in said and said.count("oauth/start") == 1


def test_a_visitor_of_voila_is_led_to_the_one_page(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "one-page" not in words_of(Guide(4, workspace=workspace))
    monkeypatch.setenv("SERVER_SOFTWARE", "voila/0.5.13")
    guide = Guide(4, workspace=workspace)
    assert "href='one-page.ipynb'" in words_of(guide)
    # How it is shown is seen on the real program (tests/browser/test_voila.py).
    with pytest.raises(NotConfigured, match=r"comes first. The page one-page.ipynb has"):
        needs(workspace, 3)
    assert TokenButton(workspace=workspace).status.endswith(ON_ONE_PAGE)
    assert explain(ConsentNeeded("x", hint="Press Save, or run: spokekit token get."))[2] == "Press Save."
    # Where the owner keeps the records, each page knows what was done on the others.
    monkeypatch.setenv("SPOKEKIT_VAULT", "file")
    assert "run: spokekit connections add" in TokenButton(workspace=workspace).status
    assert "one-page" not in words_of(Guide(4, workspace=workspace))


def test_on_one_page_each_part_waits_for_the_one_before(
    workspace: Workspace, told: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SPOKEKIT_PRACTICE", json.dumps(told))
    page = OnePage(workspace=workspace)
    assert page.picker is None
    page.form.rehearse(told, get_token=False)
    assert page.guide.done == (1, 2)
    assert page.picker is None, "without a token there are no groups to choose from"
    page.rehearse()
    assert page.guide.done == (1, 2, 3, 4, 5)
    assert page.walk is not None and page.walk.value.completeness["complete"]
    assert page.editor is not None
    assert page.editor.members is not None
    parts = len(page.body)
    page.picker.rehearse(names=("confluence-admins",))
    assert len(page.body) == parts, "a part is made once"
    assert [words for words, _ in page.editor.group.options] == ["confluence-admins", "confluence-users"]
    page.editor.settled()
    assert len(page.editor.members), "the members of the group that came first are read again"


@pytest.mark.parametrize("said", ["no json", "[]", '{"port": 1}'])
def test_a_wrong_practice_variable_is_told(workspace: Workspace, monkeypatch: pytest.MonkeyPatch, said: str) -> None:
    monkeypatch.setenv("SPOKEKIT_PRACTICE", said)
    assert "SPOKEKIT_PRACTICE" in Guide(workspace=workspace).status


def test_there_is_no_step_99(workspace: Workspace) -> None:
    with pytest.raises(SpokekitError, match="no step 99"):
        Guide(99, workspace=workspace)
