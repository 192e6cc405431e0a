"""The connection form, as ServiceNow's, with what it leaves out: the app's client id, secret and callback URL."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

import ipywidgets as ipw
import traitlets as tr

from spokekit._foreign import markup
from spokekit._ids import BLANK
from spokekit._secret import Secret
from spokekit._words import counted
from spokekit._workspace import workspace as of_this_process
from spokekit.connections.connection import ConnectionDraft, check_client_secret
from spokekit.connections.scopes import (
    GRANTS,
    SERVICE_ACCOUNT,
    parse_scopes,
    proposed_scopes,
    scope,
    without_unpublished,
)
from spokekit.errors import InputError, SpokekitError
from spokekit.widgets._browser import CopyButton, SecretField
from spokekit.widgets._form_words import SERVICE_ACCOUNT_NOTE, how_scopes_differ, what_scopes_permit
from spokekit.widgets.base import Component, Task
from spokekit.widgets.controls import Fold, area, bullets, check, dropdown, hide, html, row, sentence, show, text, write
from spokekit.widgets.token_button import TokenButton

if TYPE_CHECKING:
    from spokekit._workspace import Workspace
    from spokekit.connections.connection import Connection

Mode = Literal["configure", "edit", "add"]

_PLAIN = ("url", "client_id", "redirect_uri", "auth_url")


class ConnectionForm(Component):
    """Fill in a connection, then **Save and Get OAuth Token**.

    The path without a widget: ``workspace().connections.save(ConnectionDraft(...))``,
    ``workspace().tokens.set_client_secret(connection, Secret(...))`` and `spokekit.oauth.grant.get_token`, or
    ``spokekit connections add`` and ``spokekit token get``.

    Parameters
    ----------
    connection:
        Name of a saved connection to edit. Without it, the default alias: edited when it is configured already.
    alias:
        Id of an alias to configure.
    add:
        True for **Add Connection**: a new child alias together with its connection.
    draft:
        What stands in the fields of a new connection at the start.
    workspace:
        Without it, this process's.

    Attributes
    ----------
    connection:
        The saved connection, or None.
    saved:
        How often the form was saved.
    token_status:
        How the token stands after the last attempt, or None.
    """

    commands = ("spokekit connections add", "spokekit connections edit")
    connection = tr.Any(None, allow_none=True)
    saved = tr.Int(0)
    token_status = tr.Any(None, allow_none=True)

    def __init__(
        self,
        connection: str | None = None,
        *,
        alias: str | None = None,
        add: bool = False,
        draft: ConnectionDraft | None = None,
        workspace: Workspace | None = None,
        **options: Any,
    ) -> None:
        self._workspace = workspace = workspace or of_this_process()
        self._draft, self._previous, found = _start(workspace, connection, alias, add, draft)
        self._mode: Mode = "add" if add else "edit" if found else "configure"
        titles = {"configure": "Configure the connection", "edit": "Edit the connection", "add": "Add a connection"}
        super().__init__(titles[self._mode], **options)
        self.connection = found
        self.fields: dict[str, ipw.Widget] = {}
        self.field_errors: dict[str, ipw.HTML] = {}
        if found is not None:
            self.mark_kind(workspace, found.connection_id)
        self._build()
        key = self._draft.connection_id or self._draft.alias_id or self._mode
        self.remember(key, **self.fields)
        for name, field in self.fields.items():
            self.on_change(field, partial(self._changed, name))
        # What was said of the fields when they were saved or refused, and of no others.
        self._entered_secrets = 0
        self._answer_of = self.belongs_to(
            "answer",
            {
                **{field.description: field for field in self.fields.values()},
                "OAuth client secret": lambda: self._entered_secrets,
            },
            again="Press Save.",
        )
        self._show_grant()
        self._show_scopes()
        for name in ("url", "auth_url"):
            # No error yet in a form that was only opened, but a warning about the host at once.
            self._show_field_error(name, None)

    # --- building ------------------------------------------------------------------------------------------------
    def _build(self) -> None:
        draft = self._draft
        scopes = draft.scopes if isinstance(draft.scopes, str) else ", ".join(draft.scopes or ())
        self.fields = {
            "name": text("Name", draft.name),
            "url": text("Connection URL", draft.url),
            "scopes": area("Scopes", scopes, rows=4),
            "grant": dropdown("Token by", [(words, kind) for kind, words in GRANTS.items()], value=draft.grant),
            "read_only": check("Read-only: refuse every change through this connection", draft.read_only),
            "client_id": text("OAuth client ID", draft.client_id, placeholder="from the app's Settings page"),
            "redirect_uri": text("OAuth redirect URL", draft.redirect_uri),
            "auth_url": text("Authorization URL", draft.auth_url),
            "pkce": check("Use PKCE (Atlassian does not document it for its apps)", draft.pkce),
        }
        has_secret = self.connection is not None and self._workspace.tokens.has_client_secret(self.connection)
        self.secret = SecretField(
            "OAuth client secret",
            is_set=has_secret,
            set_words="kept sealed, not shown" if has_secret else "entered, not shown",
        )
        self.secret.on_entered(self.guarded(self._secret_entered))
        self.copy = CopyButton(self.fields["redirect_uri"].value, description="Copy the redirect URL")
        self.scope_notes = html("", "sk-under-field")
        self.leave_out = self.button("Leave out ace:confluence", self._leave_out)
        self.restore = self.button("Restore the saved scopes", self._restore)
        self.restore_note = html("", "sk-under-field")
        self.scope_buttons = row(self.leave_out, self.restore, css="sk-under-field")
        self.save_and_get = self.button("Save and Get OAuth Token", partial(self.save, get_token=True), kind="primary")
        self.only_save = self.button("Save", self.save, tooltip="Save without asking for a token")
        self.token = TokenButton(workspace=self._workspace, connection=self.connection, embedded=True)
        self.token.observe(self.guarded(self._token_changed), "token_status")
        for name in (*self.fields, "client_secret"):
            self.field_errors[name] = html("", "sk-field-error sk-under-field")
        hide(*self.field_errors.values())
        for name in ("pkce", "read_only"):
            self.fields[name].add_class("sk-under-field")
        self.grant_note = html("", "sk-under-field")
        self.advanced = Fold(
            "Advanced", self._with_error("auth_url"), self._with_error("pkce"), self.token.way, self.token.reason
        )
        self.site = html(self._site_words(), "sk-under-field")
        self.redirect = ipw.VBox([self._with_error("redirect_uri"), row(self.copy, css="sk-under-field")])
        self.body = [
            self._with_error("name"),
            self._with_error("url"),
            self._with_error("grant"),
            self.grant_note,
            self._with_error("read_only"),
            self._with_error("scopes"),
            self.restore_note,
            self.scope_notes,
            self.scope_buttons,
            self._with_error("client_id"),
            self.secret,
            self.field_errors["client_secret"],
            self.redirect,
            self.site,
            self.advanced,
            row(self.save_and_get, self.only_save, css="sk-actions"),
            self.token,
        ]
        # The saving may be over when the consent begins: a second press would start it twice.
        for working in (self, self.token):
            self.on_change(working, lambda _: self._allow(), "busy")

    def _with_error(self, name: str) -> ipw.VBox:
        return ipw.VBox([self.fields[name], self.field_errors[name]])

    def _site_words(self) -> str:
        saved: Connection | None = self.connection
        if saved is None or not saved.cloud_id:
            return ""
        name = saved.site_name or "the site named in the URL"
        return f"<p>Site: <strong>{markup(name)}</strong> <code>{markup(saved.cloud_id)}</code></p>"

    # --- what gets the token, and what it may do -----------------------------------------------------------------
    def _show_grant(self) -> None:
        service = self.fields["grant"].value == SERVICE_ACCOUNT
        write(self.grant_note, SERVICE_ACCOUNT_NOTE if service else "")
        where = "from the service account's credential" if service else "from the app's Settings page"
        self.fields["client_id"].placeholder = where
        # Nothing comes back to a callback, and there is no code that a challenge could prove.
        show(self.redirect, self.fields["pkce"], self.token.way, self.token.reason, when=not service)

    def _kind_chosen(self) -> None:
        """Propose the scopes of this kind, unless somebody has written others."""
        self._show_grant()
        proposals = {", ".join(proposed_scopes(kind, read_only=mark)) for kind in GRANTS for mark in (False, True)}
        if self.fields["scopes"].value in proposals:
            kind, mark = self.fields["grant"].value, self.fields["read_only"].value
            self.fields["scopes"].value = ", ".join(proposed_scopes(kind, read_only=mark))

    # --- scopes --------------------------------------------------------------------------------------------------
    def _show_scopes(self) -> None:
        draft = self.draft()
        try:
            known = [scope(name) for name in parse_scopes(self.fields["scopes"].value)]
        except InputError:
            known = []
        write(self.scope_notes, bullets(draft.scope_notes()) + (what_scopes_permit(known) if known else ""))
        leaves_out = any(s.id == "ace:confluence" for s in known)
        differs = bool(self._previous) and tuple(s.id for s in known) != self._previous
        show(self.leave_out, when=leaves_out)
        show(self.restore, when=differs)
        show(self.scope_buttons, when=leaves_out or differs)
        usual = draft.grant != SERVICE_ACCOUNT and not draft.read_only
        write(self.restore_note, how_scopes_differ(self._previous, known, usual=usual) if differs else "")

    def _leave_out(self) -> None:
        self.fields["scopes"].value = ", ".join(without_unpublished(parse_scopes(self.fields["scopes"].value)))

    def _restore(self) -> None:
        self.fields["scopes"].value = ", ".join(self._previous)

    # --- checking ------------------------------------------------------------------------------------------------
    def draft(self) -> ConnectionDraft:
        """Return what stands in the fields at this moment, right or wrong."""
        return replace(self._draft, **{name: field.value for name, field in self.fields.items()})

    def _changed(self, name: str, value: Any) -> None:
        if name in _PLAIN and value != value.strip(BLANK):
            # No such value has a blank at its ends; what is saved stands in the field, and is what the button copies.
            self.fields[name].value = value.strip(BLANK)
            return
        if name in ("grant", "read_only"):
            self._kind_chosen()
        if name in ("scopes", "grant", "read_only"):
            self._show_scopes()
        if name == "redirect_uri":
            self.copy.text = self.fields[name].value
        self._show_field_error(name, self.draft().validate().get(name))

    def _secret_entered(self) -> None:
        self._show_field_error("client_secret", None)
        self._entered_secrets += 1
        self._answer_of.see()

    def _show_field_error(self, name: str, error: InputError | None) -> None:
        warning = self.draft().host_notes().get(name, "") if error is None else ""
        shown = f"<p>✕ {sentence(str(error))}</p>" if error is not None else f"<p>⚠ {sentence(warning)}</p>"
        write(self.field_errors[name], shown if error is not None or warning else "")

    def _check_secret(self) -> InputError | None:
        entered = self.secret.peek()
        if entered is None:
            if self.secret.is_set:
                return None
            return InputError(
                "The client secret is missing.",
                field="client_secret",
                hint="Copy it from where the credential was made: it is shown once."
                if self.fields["grant"].value == SERVICE_ACCOUNT
                else "Copy it from the app's Settings page.",
            )
        try:
            check_client_secret(entered.reveal())
        except InputError as error:
            return error.with_traceback(None)
        return None

    def check(self) -> dict[str, InputError]:
        """Show what is wrong beside each field and return it by field name."""
        wrong = self.draft().validate()
        secret = self._check_secret()
        if secret is not None:
            wrong["client_secret"] = secret
        for name in self.field_errors:
            self._show_field_error(name, wrong.get(name))
        if {"auth_url", "pkce"} & set(wrong):
            # A reason that nobody sees is none.
            self.advanced.shown = True
        return wrong

    # --- saving --------------------------------------------------------------------------------------------------
    def save(self, *, get_token: bool = False) -> None:
        """Save what stands in the form, in the background; with ``get_token`` go on to the consent."""
        wrong = self.check()
        inputs = self._answer_of.inputs()
        if wrong:
            count = len(wrong)
            words = f"{counted(count, 'field needs', 'fields need')} another look; the reason stands beside "
            words += f"{'it' if count == 1 else 'each'}. Nothing was saved."
            self._answer_of.made(wrong, inputs, words, "error")
            return
        draft = self.draft()

        def work(_task: Task) -> Connection:
            services = self._workspace
            # The old client secret belongs to the old app: the store forgets it with a changed client id.
            keeps = self.secret.is_set
            if self._mode == "add" and draft.connection_id is None:
                saved = services.connections.add_child(draft)
            else:
                saved = services.connections.save(draft)
            entered = self.secret.take(keeps=True)
            if entered is not None:
                services.tokens.set_client_secret(saved, entered)
            elif keeps and not services.tokens.has_client_secret(saved):
                self.secret.put(None)
                raise InputError(
                    "Saved, but the client secret was forgotten: it belonged to the former client ID.",
                    field="client_secret",
                    hint="Enter the secret that belongs to this client ID.",
                )
            return saved

        def done(saved: Connection) -> None:
            self._saved(saved)
            if get_token:
                # From here on the status line of the token is the one to read.
                self._answer_of.forget()
                self.say("")
                self.token.get(open_page=True)
            else:
                status = self._workspace.tokens.status(saved)
                words = f"The connection “{saved.name}” is saved. {status.words}"
                self._answer_of.made(saved, inputs, words, "warning" if status.attention else "ok")

        self.run(work, words="Saving", done=done, failed=self._failed)

    def _token_changed(self, change: dict[str, Any]) -> None:
        self.connection = self.token.connection
        self.site.value = self._site_words()
        self.token_status = change["new"]

    def _saved(self, saved: Connection) -> None:
        self._draft = replace(self.draft(), connection_id=saved.connection_id, alias_id=saved.alias_id)
        self._previous = saved.scopes
        self.connection = self.token.connection = saved
        self.mark_kind(self._workspace, saved.connection_id)
        self.secret.set_words = "kept sealed, not shown"
        self.forget()
        self._show_scopes()
        self.site.value = self._site_words()
        self.saved += 1

    def _failed(self, error: BaseException) -> bool:
        field = getattr(error, "field", None)
        if isinstance(error, InputError) and field in self.field_errors:
            self._show_field_error(field, error)
        return False

    def _allow(self) -> None:
        self.save_and_get.disabled = self.only_save.disabled = self.busy or self.token.busy

    def settled(self, timeout: float | None = 60.0) -> None:
        """Wait for the saving and for the token."""
        super().settled(timeout)
        self.token.settled(timeout)

    def rehearse(self, site: dict[str, Any] | None = None, *, get_token: bool = True) -> None:
        """Do what a person does: fill in what the practice site says of itself, save, and consent."""
        from spokekit.widgets import rehearsal

        told = site or rehearsal.practice()
        if told is None:
            raise SpokekitError(
                "A person is played on a practice site only.", hint="Start one with: spokekit practice."
            )
        for name in ("url", "auth_url", "client_id"):
            self.fields[name].value = told[name]
        self.fields["redirect_uri"].value = told["redirect_uris"][0]
        self.secret.put(Secret(told["client_secret"]))
        self.save(get_token=get_token)
        if get_token:
            rehearsal.consent(self.token, lambda: self.busy or self.token.busy)
        self.settled()
        if self.status_kind == "error":
            raise SpokekitError(self.status)


def _start(
    services: Workspace, name: str | None, alias: str | None, add: bool, draft: ConnectionDraft | None
) -> tuple[ConnectionDraft, tuple[str, ...], Connection | None]:
    """Return the draft to begin with, the saved scopes and the saved connection."""
    connections = services.connections
    if add:
        return draft or ConnectionDraft(name=connections.propose_name()), (), None
    for line in connections.rows():
        saved = line.connection
        if name is not None:
            wanted = saved is not None and name in (saved.name, saved.connection_id)
        elif alias is not None:
            wanted = line.alias.alias_id == alias
        else:
            wanted = line.is_default
        if not wanted:
            continue
        if saved is not None:
            found, scopes = connections.edit_draft(saved.connection_id)
            proposed = proposed_scopes(saved.grant, read_only=saved.read_only)
            return found, scopes if scopes != proposed else (), saved
        return replace(draft or ConnectionDraft(), alias_id=line.alias.alias_id), (), None
    # An unknown name is an error that lists the known ones.
    connections.get(name or alias)
    return draft or ConnectionDraft(), (), None
