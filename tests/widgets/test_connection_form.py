"""The form: every field's bad input, what is saved, what comes back, what is forgotten."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pytest

from spokekit._secret import Secret
from spokekit.connections.connection import ConnectionDraft
from spokekit.connections.scopes import DEFAULT_SCOPES
from spokekit.errors import ConsentCancelled
from spokekit.training.browser import play_browser
from spokekit.widgets.connection_form import ConnectionForm

if TYPE_CHECKING:
    from spokekit._workspace import Workspace
    from spokekit.practice import PracticeSite


@pytest.fixture
def form(workspace: Workspace) -> ConnectionForm:
    """A form filled in well, without a secret."""
    made = ConnectionForm(workspace=workspace)
    made.fields["client_id"].value = "a1b2c3d4e5f6g7h8i9j0"
    return made


def error_beside(form: ConnectionForm, field: str) -> str:
    line = form.field_errors[field]
    return str(line.value) if line.layout.display != "none" else ""


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("name", "", "empty"),
        ("name", "<b>x</b>", "HTML"),
        ("url", "http://api.atlassian.com/", "http"),
        ("url", "https://acme.atlassian.net/", "atlassian.net"),
        ("url", "https://api.atlassian.com/ex/jira/1", "jira"),
        ("url", "https://api.atlas sian.com/", "space"),
        ("url", "not an address", ""),
        ("scopes", "", "empty"),
        ("scopes", "<script>", "HTML"),
        ("client_id", "", "empty"),
        ("client_id", "with space", "space"),
        ("redirect_uri", "localhost:8751", ""),
        ("redirect_uri", "javascript:alert(1)", ""),
        ("auth_url", "ftp://auth.atlassian.com/", ""),
    ],
)
def test_bad_input_is_told_beside_its_field_and_nothing_is_saved(
    form: ConnectionForm, workspace: Workspace, field: str, value: str, words: str
) -> None:
    form.secret.put(Secret("a-secret-of-the-app"))
    form.fields[field].value = value
    form.save()
    form.settled()
    said = error_beside(form, field)
    assert said.startswith("<p>✕ ")
    assert words.lower() in said.lower()
    assert "<script" not in said
    assert "<b>" not in said
    assert form.advanced.shown == (field == "auth_url")
    assert form.status_kind == "error"
    assert "1 field needs another look" in form.status
    assert workspace.connections.list() == ()
    assert form.fields[field].value == value
    assert form.secret.has_new


@pytest.mark.parametrize("secret", [None, " ", "two words", "line\nbreak"])
def test_a_missing_or_impossible_secret(form: ConnectionForm, workspace: Workspace, secret: str | None) -> None:
    if secret is not None:
        form.secret.put(Secret(secret))
    form.save()
    assert error_beside(form, "client_secret")
    assert workspace.connections.list() == ()


def test_saving_keeps_the_secret_sealed_and_the_next_form_is_for_editing(
    form: ConnectionForm, workspace: Workspace
) -> None:
    form.secret.put(Secret("a-secret-of-the-app"))
    form.only_save.click()
    form.settled()
    assert "is saved" in form.status
    saved = workspace.connection()
    assert form.connection == saved
    assert workspace.tokens.client_secret(saved).reveal() == "a-secret-of-the-app"
    again = ConnectionForm(workspace=workspace)
    assert again.children[1].value == "<h2>Edit the connection</h2>"
    assert again.secret.is_set
    again.fields["name"].value = "Another name"
    again.only_save.click()
    again.settled()
    assert [c.name for c in workspace.connections.list()] == ["Another name"]
    assert workspace.tokens.client_secret(workspace.connection()).reveal() == "a-secret-of-the-app"


def test_a_blank_at_the_end_of_what_is_pasted_is_dropped_where_it_stands(
    form: ConnectionForm, workspace: Workspace
) -> None:
    redirect = form.fields["redirect_uri"].value
    for name, field in form.fields.items():
        if name in ("client_id", "url", "auth_url", "redirect_uri"):
            field.value = f"\u00a0{field.value} \n"
    form.secret.put(Secret("a-secret-of-the-app \r\n"))
    assert (form.fields["redirect_uri"].value, form.copy.text) == (redirect, redirect)
    form.only_save.click()
    form.settled()
    saved = workspace.connection()
    assert (saved.client_id, saved.redirect_uri) == ("a1b2c3d4e5f6g7h8i9j0", redirect)
    assert workspace.tokens.client_secret(saved).reveal() == "a-secret-of-the-app"


def test_another_client_id_asks_for_its_secret(form: ConnectionForm, workspace: Workspace) -> None:
    form.secret.put(Secret("a-secret-of-the-app"))
    form.save()
    form.settled()
    form.fields["client_id"].value = "z9y8x7w6v5u4t3s2r1q0"
    form.save()
    with pytest.raises(Exception, match="belonged to the former client ID"):
        form.settled()
    assert error_beside(form, "client_secret")
    assert not workspace.tokens.has_client_secret(workspace.connection())


def test_edit_resets_the_scopes_and_one_press_restores_them(workspace: Workspace) -> None:
    mine = ("read:confluence-groups", "read:confluence-user", "offline_access")
    saved = workspace.connections.save(ConnectionDraft(client_id="a1b2c3d4e5f6g7h8i9j0", scopes=mine))
    workspace.tokens.set_client_secret(saved, Secret("a-secret-of-the-app"))
    form = ConnectionForm(workspace=workspace)
    assert form.fields["scopes"].value == ", ".join(DEFAULT_SCOPES)
    assert "The saved connection has 3 scopes" in form.restore_note.value
    assert form.restore.layout.display == ""
    form.restore.click()
    assert form.fields["scopes"].value == ", ".join(mine)
    assert form.restore.layout.display == "none"
    form.only_save.click()
    form.settled()
    assert workspace.connection().scopes == mine


def test_the_unpublished_scope_goes_with_one_press(form: ConnectionForm) -> None:
    assert "Atlassian publishes no such scope" in form.scope_notes.value
    form.leave_out.click()
    assert "ace:confluence" not in form.fields["scopes"].value
    assert form.leave_out.layout.display == "none"
    assert form.draft().scopes == ", ".join(DEFAULT_SCOPES[1:])


def test_a_rerun_keeps_what_was_typed_except_the_secret(form: ConnectionForm, workspace: Workspace) -> None:
    form.fields["name"].value = "Half typed"
    form.secret.put(Secret("a-secret-of-the-app"))
    again = ConnectionForm(workspace=workspace)
    assert again.fields["name"].value == "Half typed"
    assert again.fields["client_id"].value == "a1b2c3d4e5f6g7h8i9j0"
    assert not again.secret.is_set


def test_add_connection_makes_a_child_with_its_own_name(form: ConnectionForm, workspace: Workspace) -> None:
    form.secret.put(Secret("a-secret-of-the-app"))
    form.save()
    form.settled()
    child = ConnectionForm(add=True, workspace=workspace)
    assert child.fields["name"].value != form.fields["name"].value
    child.fields["client_id"].value = "a1b2c3d4e5f6g7h8i9j0"
    child.secret.put(Secret("a-secret-of-the-app"))
    child.fields["name"].value = workspace.connection().name
    child.save()
    with pytest.raises(Exception, match="already a connection"):
        child.settled()
    assert child.secret.has_new
    child.fields["name"].value = "Berlin"
    child.save()
    child.settled()
    assert [line.alias.is_default for line in workspace.connections.rows()] == [True, False]


def test_save_and_get_oauth_token(workspace: Workspace, site: PracticeSite, told: dict[str, Any]) -> None:
    form = ConnectionForm(workspace=workspace)
    form.rehearse(told)
    assert form.token_status.state == "valid"
    assert "Connected to Northwind Practice" in form.token.status
    assert workspace.connection().account_name in form.token.status
    assert site.count("exchange") == 1


def test_the_buttons_rest_while_the_consent_page_is_open(workspace: Workspace, told: dict[str, Any]) -> None:
    form = ConnectionForm(workspace=workspace)
    for name in ("url", "auth_url", "client_id"):
        form.fields[name].value = told[name]
    form.fields["redirect_uri"].value = told["redirect_uris"][0]
    form.secret.put(Secret(told["client_secret"]))
    form.save_and_get.click()
    deadline = time.monotonic() + 10
    while not (form.token.waiting and not form.busy):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert form.save_and_get.disabled
    assert form.only_save.disabled
    address = form.token.address
    form.token.get()
    assert form.token.address == address
    form.token._cancel.click()
    with pytest.raises(ConsentCancelled):
        form.settled()
    assert not form.save_and_get.disabled


def test_a_wrong_client_secret_does_not_send_the_person_round_again(workspace: Workspace, told: dict[str, Any]) -> None:
    form = ConnectionForm(workspace=workspace)
    with pytest.raises(Exception, match="client secret"):
        form.rehearse(told | {"client_secret": "another-secret"})
    assert form.token.status_kind == "error"
    assert "secret" in form.token.status
    assert form.save_and_get.disabled is False


def test_the_page_of_the_practice_site_refuses_an_unknown_redirect(site: PracticeSite) -> None:
    address = f"{site.auth_url}authorize?audience=api.atlassian.com&client_id={site.client_id}&response_type=code"
    with pytest.raises(Exception, match="redirect_uri"):
        play_browser(Secret(f"{address}&redirect_uri=http://localhost:1/x&scope=read:me&state=abc&prompt=consent"))


def test_a_host_that_is_nobodys_gets_a_warning_beside_its_field(form: ConnectionForm) -> None:
    line = form.field_errors["url"]
    form.fields["url"].value = "https://api.atlassian.com.evil.example/"
    assert "api.atlassian.com.evil.example is not Atlassian" in line.value
    assert line.layout.display == ""
    form.fields["url"].value = "https://api.atlassian.com/"
    assert line.value == ""


def test_the_sentence_after_saving_fits_the_token(connected: Workspace, site: PracticeSite) -> None:
    form = ConnectionForm(workspace=connected)
    form.save()
    form.settled()
    assert "is saved. Token valid until" in form.status and "no token" not in form.status
    assert form.status_kind == "ok"
    saved = connected.connection()
    connected.tokens.save_grant(saved, site.issue_token(scopes=["read:confluence-user"]))
    form.save()
    form.settled()
    assert "cannot be renewed" in form.status and form.status_kind == "warning"
    connected.tokens.forget(saved)
    form.save()
    form.settled()
    assert "is saved. Configured, without a token." in form.status and form.status_kind == "ok"
