"""The list of connections, as ServiceNow's card: the default first, with what may be done on each row."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

import ipywidgets as ipw
import traitlets as tr

from spokekit._foreign import markup
from spokekit._words import counted
from spokekit._workspace import workspace as of_this_process
from spokekit.connections.scopes import GRANTS, published_first
from spokekit.widgets.base import Component
from spokekit.widgets.check_panel import CheckPanel
from spokekit.widgets.connection_form import ConnectionForm
from spokekit.widgets.controls import button, card, hide, html, note, row, sentence, show
from spokekit.widgets.token_button import TokenButton

if TYPE_CHECKING:
    from spokekit._workspace import RowStatus, Workspace
    from spokekit.connections.connection import Connection, ConnectionDraft

C = TypeVar("C", bound=Component)

_SIGNS = {"valid": "✓", "expired": "✓", "consent_needed": "!", "no_token": "!"}


class ConnectionsPanel(Component):
    """All connections with their status in words, and what can be done with each.

    The path without a widget: ``workspace().connections`` (``rows``, ``add``, ``edit``, ``remove``), or
    ``spokekit connections``.

    Parameters
    ----------
    draft:
        What the form of a new connection proposes (`Guide.draft`).
    workspace:
        Without it, this process's.

    Attributes
    ----------
    rows:
        The `RowStatus` of every row that is shown.
    opened:
        What is open below the rows: a form, a token button, a check, or None.
    """

    commands = ("spokekit connections list", "spokekit connections add")
    rows = tr.Tuple(())
    opened = tr.Any(None, allow_none=True)

    def __init__(
        self, *, draft: ConnectionDraft | None = None, workspace: Workspace | None = None, **options: Any
    ) -> None:
        super().__init__("Confluence Cloud", **options)
        self._workspace = workspace or of_this_process()
        self._draft = draft
        self._check: CheckPanel | None = None
        self._list = ipw.VBox()
        self._place = ipw.VBox()
        self.add = self.button("Add Connection", self.open_add)
        self.reload = self.button("Look again", self.refresh, kind="quiet")
        self.summary = note("")
        self.body = [self.summary, self._list, row(self.add, self.reload, css="sk-actions"), self._place]
        self.guarded(self.refresh)()

    def refresh(self) -> None:
        """Read the connections again and show them."""
        self.rows = self._workspace.status()
        if self._check is not None:
            self._check.see()
        count = sum(1 for line in self.rows if line.connection is not None)
        self.summary.value = f"<p>{counted(count, 'connection')}</p>"
        self._list.children = tuple(self._row(line) for line in self.rows)

    def follow(self, component: Component) -> ConnectionsPanel:
        """Look again whenever another component saved something or got a token; returns itself."""
        component.observe(self.guarded(lambda _: self.refresh()), ["saved", "token_status"])
        return self

    def _row(self, line: RowStatus) -> ipw.VBox:
        saved = line.connection
        name = saved.name if saved is not None else line.alias.label
        sign = "!" if line.needs_site or line.waits else _SIGNS.get(line.state, "○")
        default = " · default" if line.alias.is_default else ""
        under = [f"Alias <code>{markup(line.alias.alias_id)}</code>{default}"]
        if saved is not None:
            where = markup(saved.api_base if saved.cloud_id else saved.url)
            under[0] += f"</p><p><code>{where}</code>"
            under.append("service account" if saved.is_service_account else "OAuth 2.0 credential")
            under += ["read-only"] if saved.read_only else []
        head = html(
            f"<p><strong>{markup(name)}</strong></p><p>{sign} {sentence(_capital(line.words))}</p>"
            f"<p>{' · '.join(under)}</p>"
        )
        details, sure = html(self._details(line)), row()
        hide(details, sure)
        view = button("View Details")
        self.on_click(view, partial(_toggle, details, view))
        actions = [self.button(words, action) for words, action in self._actions(line, sure)]
        return card(head, row(view, *actions), sure, details)

    def _actions(self, line: RowStatus, sure: ipw.HBox) -> list[tuple[str, Callable[[], object]]]:
        saved = line.connection
        if saved is None:
            return [("Configure", partial(self.open_form, alias=line.alias.alias_id))]
        actions: list[tuple[str, Callable[[], object]]] = [("Edit", partial(self.open_form, saved.connection_id))]
        if line.needs_consent:
            actions.append(("Get OAuth Token", partial(self.open_token, saved)))
        if line.needs_site:
            actions.append(("Choose the site", partial(self.open_token, saved)))
        if line.state in ("valid", "expired"):
            actions.append(("Check the connection", partial(self.open_check, saved)))
            if not line.needs_site:
                # The words of the row say under which name the answer is given.
                words = "Get OAuth Token" if line.waits else "Renew or forget the token"
                actions.append((words, partial(self.open_token, saved)))
        actions.append(("Remove", partial(self._ask_remove, saved, sure)))
        return actions

    def _details(self, line: RowStatus) -> str:
        saved, alias = line.connection, line.alias
        facts = [("Alias", alias.label), ("Alias ID", alias.alias_id), ("Parent", alias.parent_id or "none")]
        if saved is not None:
            # A token may be there without leave to ask whose it is.
            nobody = "not known" if line.state in ("valid", "expired") else "nobody yet"
            facts += [
                ("Connection URL", saved.url),
                ("Authorization URL", saved.auth_url),
                ("OAuth client ID", saved.client_id),
                ("OAuth redirect URL", saved.redirect_uri),
                ("Token by", GRANTS[saved.grant]),
                ("Read-only", "yes" if saved.read_only else "no"),
                ("Scopes", ", ".join(published_first(saved.scopes))),
                ("Site", f"{saved.site_name or ''} {saved.site_url or ''}".strip() or "not known yet"),
                ("Cloud ID", saved.cloud_id or "not known yet"),
                ("Signed in as", saved.account_name or nobody),
            ]
        facts.append(("Status", _capital(line.words)))
        inside = "".join(f"<dt>{markup(k)}</dt><dd>{sentence(v)}</dd>" for k, v in facts)
        return f"<dl class='sk'>{inside}</dl>"

    # --- what a row opens ----------------------------------------------------------------------------------------
    def _open(self, component: Component) -> None:
        # What is not on the screen any more must not take a consent either.
        self._stop_opened()
        self.opened, self._check = component, None
        self._place.children = (card(component, row(self.button("Close", self.close_opened))),)
        self.say("")

    def close_opened(self) -> None:
        """Close the form, token button or check that is open; work that runs in it is cancelled."""
        self._stop_opened()
        self.opened = self._check = None
        self._place.children = ()
        self.refresh()

    def _stop_opened(self) -> None:
        if isinstance(self.opened, Component):
            self.opened.runner.cancel()
            if isinstance(self.opened, ConnectionForm):
                self.opened.token.runner.cancel()

    def open_form(self, connection: str | None = None, *, alias: str | None = None) -> ConnectionForm:
        """**Edit** a connection or **Configure** an alias."""
        return self._watch(ConnectionForm(connection, alias=alias, draft=self._draft, workspace=self._workspace))

    def open_add(self) -> ConnectionForm:
        """**Add Connection**: a child alias with a connection of its own."""
        draft = self._draft
        if draft is not None:
            draft = replace(draft, name=self._workspace.connections.propose_name())
        return self._watch(ConnectionForm(add=True, draft=draft, workspace=self._workspace))

    def _watch(self, component: C) -> C:
        self.follow(component)
        self._open(component)
        return component

    def open_token(self, connection: Connection) -> TokenButton:
        """**Get OAuth Token** for a saved connection."""
        return self._watch(TokenButton(connection, workspace=self._workspace))

    def open_check(self, connection: Connection) -> CheckPanel:
        """**Check the connection**, scope by scope."""
        made = CheckPanel(connection, workspace=self._workspace)
        self._open(made)
        self._check = made
        return made

    # --- removing ------------------------------------------------------------------------------------------------
    def _ask_remove(self, saved: Connection, sure: ipw.HBox) -> None:
        groups = len(self._workspace.registry(saved.connection_id).ids())
        lost = f" and its {groups} registered groups" if groups else ""
        words = f"Remove “{saved.name}” with its secret and token{lost}? Nothing changes in Confluence."
        self.ask_first(sure, words, "Yes, remove it", partial(self.remove, saved))

    def remove(self, saved: Connection) -> None:
        """Remove a connection and its credential; the question was asked before."""
        self._workspace.connections.remove(saved.connection_id)
        self.close_opened()
        self.say(f"“{saved.name}” was removed. The app at Atlassian and its grant are as they were.", "ok")


def _toggle(details: ipw.HTML, view: ipw.Button) -> None:
    hidden = details.layout.display == "none"
    show(details, when=hidden)
    view.description = "Hide Details" if hidden else "View Details"


def _capital(words: str) -> str:
    return words[:1].upper() + words[1:]
