"""The head of each notebook: where you are, what is done already, and where the next step is."""

from __future__ import annotations

import os
import threading
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Any

import traitlets as tr

from spokekit._home import nothing_kept, under_voila
from spokekit._secret import Secret
from spokekit.connections.connection import ConnectionDraft
from spokekit.errors import Conflict, NotConfigured, NotFound, SpokekitError
from spokekit.widgets import rehearsal
from spokekit.widgets.base import Component, button, html, row

if TYPE_CHECKING:
    from spokekit.connections.connection import Connection
    from spokekit.workspace import Workspace


@dataclass(frozen=True)
class Step:
    """One step of the way, and the notebook that it is in."""

    number: int
    title: str
    notebook: str


STEPS = (
    Step(0, "Start here", "00-start-here.ipynb"),
    Step(1, "Create the OAuth app", "01-create-the-oauth-app.ipynb"),
    Step(2, "Configure the connection", "02-configure-the-connection.ipynb"),
    Step(3, "Get the OAuth token", "03-get-the-oauth-token.ipynb"),
    Step(4, "Add Confluence groups", "04-add-confluence-groups.ipynb"),
    Step(5, "Audit group access", "05-audit-group-access.ipynb"),
    Step(6, "Manage members", "06-manage-members.ipynb"),
)
ONE_PAGE = "one-page.ipynb"


class Guide(Component):
    """Show where the person is and what is done; in an unattended run, do the steps before.

    Parameters
    ----------
    step:
        The number of the notebook.
    connection:
        Name of the connection; without it, the default alias's.
    workspace:
        Without it, this process's.

    Attributes
    ----------
    done:
        Numbers of the steps that are done.
    unattended:
        True when ``SPOKEKIT_UNATTENDED`` says that nobody is there to click.
    site:
        What the practice site says of itself (url, client_id, …), or None on the person's own site.

    Example
    -------
    >>> guide = Guide(step=2)
    >>> form = ConnectionForm(draft=guide.draft())
    >>> guide.rehearse(form)
    """

    done = tr.Tuple(())

    def __init__(
        self, step: int = 0, *, connection: str | None = None, workspace: Workspace | None = None, **options: Any
    ) -> None:
        here = next((s for s in STEPS if s.number == step), None)
        if here is None:
            raise SpokekitError(f"There is no step {step}.", hint=f"Steps go from 0 to {STEPS[-1].number}.")
        super().__init__("Where you are", **options)
        if workspace is None:
            from spokekit.workspace import workspace as of_this_process

            workspace = of_this_process()
        self.workspace: Workspace = workspace
        self.step = here
        self._name = connection
        self.unattended = rehearsal.unattended()
        self.site: dict[str, Any] | None = None
        self._place = html("")
        self._where = html("", "sk-note")
        self.again = button("Look again", kind="quiet", tooltip="Read the state of the steps again")
        self.pointer = html("", "sk-note")
        self.body = [self._place, self._where, self.pointer, row(self.again)]
        self.on_click(self.again, self.refresh)
        self.guarded(self._begin)()

    def _begin(self) -> None:
        self.site = rehearsal.practice()
        if self.unattended and self.site is not None:
            catch_up(self.workspace, self.site, before=self.step.number, name=self._name)
        self.refresh()

    # --- state ---------------------------------------------------------------------------------------------------
    @property
    def connection(self) -> Connection | None:
        """The saved connection, or None as long as there is none."""
        try:
            return self.workspace.connection(self._name)
        except (NotConfigured, NotFound):
            return None

    @property
    def ready(self) -> bool:
        """True when a token and a site are there, so that Confluence can be asked."""
        return 3 in self._state()

    def _state(self) -> dict[int, str]:
        saved = self.connection
        state = {0: self._site_words()}
        if saved is None:
            return state
        tokens = self.workspace.tokens
        if saved.client_id and tokens.has_client_secret(saved):
            state[1] = "client ID and secret are here"
            state[2] = f"“{saved.name}”"
        status = tokens.status(saved)
        if status.state in ("valid", "expired") and saved.cloud_id:
            who = f", signed in as {saved.account_name}" if saved.account_name else ""
            state[3] = f"{saved.site_name or saved.cloud_id}{who}"
            count = len(self.workspace.registry(self._name).ids())
            if count:
                state[4] = f"{count:,} {'group is' if count == 1 else 'groups are'} registered"
        return state

    def _site_words(self) -> str:
        return "on the practice site" if self.site is not None else "on your own site"

    def _pages_words(self) -> str:
        from spokekit.oauth.environment import browser_is_elsewhere
        from spokekit.oauth.passage import for_the_browser

        if self.site is None:
            return ""
        console = f"{self.site['url']}console"
        seen = for_the_browser(console)
        if seen == console and browser_is_elsewhere():
            return " The practice site's own pages open only in a browser on the machine where this runs."
        link = f"<a href='{escape(seen, quote=True)}' target='_blank' rel='noopener'>practice developer console</a>"
        words = f" The client ID and the secret are in the {link}." if self.step.number <= 3 else ""
        if self.unattended:
            words += " The cells play the person; you can press every button yourself as well."
        return words

    def refresh(self) -> None:
        """Read the state of the steps again and show it."""
        state = self._state()
        lines = []
        for step in STEPS:
            done = step.number in state and step.number != 0
            title = escape(step.title)
            told = ["✓ done"] if done else []
            if step is self.step:
                title = f"<strong>{title}</strong>"
                told.insert(0, "<strong>you are here</strong>")
            if step.number in state:
                told.append(escape(state[step.number]))
            lines.append(f"<li>{' · '.join([title, *told])}</li>")
        self._place.value = f"<ol class='sk-list' start='0'>{''.join(lines)}</ol>"
        where = f"{self._site_words()[0].upper()}{self._site_words()[1:]}"
        self._where.value = f"<p>{where}. Records: {escape(self.workspace.store.describe())}.{self._pages_words()}</p>"
        if under_voila(os.environ) and nothing_kept(os.environ):
            self.pointer.value = (
                "<p>Every page of Voilà starts with nothing and forgets all of it: what you do here is not known in "
                f"the next notebook. <a href='{ONE_PAGE}'>Go the whole way on one page</a>.</p>"
            )
        self.done = tuple(sorted(number for number in state if number))

    def draft(self) -> ConnectionDraft:
        """Return what the connection form proposes: Atlassian's addresses, or the practice site's."""
        from spokekit.oauth.environment import this_server
        from spokekit.oauth.receivers import own_callback, propose_redirect_uri

        if self.site is None:
            return ConnectionDraft(redirect_uri=propose_redirect_uri()[0])
        known: list[str] = self.site["redirect_uris"]
        own, server = own_callback(), this_server()
        redirect = own if own in known and server is not None and server.extension else known[0]
        return ConnectionDraft(url=self.site["url"], auth_url=self.site["auth_url"], redirect_uri=redirect)

    def needs(self, step: int) -> None:
        """Stop here, in one line instead of a traceback, as long as `step` is not done.

        A person may press Run All before anything was clicked; the cells below then have nothing to show.
        """
        self.refresh()
        if step in self.done:
            return
        title = next(s.title for s in STEPS if s.number == step)
        way = "Do it in its component above or in its notebook, then run this cell."
        if under_voila(os.environ):
            way = f"The page {ONE_PAGE} has all steps, each when it is due."
        words = f"Not yet: “{title}” comes first. {way}"
        if under_voila(os.environ):
            # Voilà takes the words out of an error, whoever wrote them.
            print(words)  # noqa: T201
        error = NotConfigured(words)
        # IPython asks the exception itself how to be shown.
        error._render_traceback_ = lambda: [words]  # type: ignore[attr-defined]
        raise error

    # --- unattended runs -----------------------------------------------------------------------------------------
    def rehearse(self, component: Component, **how: Any) -> Words:
        """In an unattended run, do what a person would do with `component`; otherwise say that it waits for you."""
        self.follow(component)
        if self.unattended and self.site is not None:
            rehearsal.rehearse(component, self.site, **how)
            self.refresh()
            return Words(f"Rehearsed: {component.status or 'done'}")
        # A visitor of Voilà sees no cells.
        return Words(
            f"Over to you: use the component above{'' if under_voila(os.environ) else ', then run the cells below'}."
        )

    def follow(self, component: Component) -> None:
        """Look again whenever something was done in `component`."""
        names = [n for n in ("saved", "token_status", "accepted") if component.has_trait(n)]
        component.observe(self.guarded(lambda _: self.refresh()), names or ["busy"])


@dataclass(frozen=True)
class Words:
    """A sentence as the last line of a cell, shown without quotation marks."""

    words: str

    def __repr__(self) -> str:
        return self.words


def catch_up(workspace: Workspace, site: dict[str, Any], *, before: int, name: str | None = None) -> None:
    """Do the steps before `before` that are not done yet, or were done on a practice site that is gone."""
    if before <= 2:
        return
    draft = ConnectionDraft(
        url=site["url"],
        auth_url=site["auth_url"],
        client_id=site["client_id"],
        redirect_uri=site["redirect_uris"][0],
    )
    try:
        saved = workspace.connection(name)
        if not saved.is_practice:
            raise Conflict(
                f"An unattended run found the connection “{saved.name}”, which leads to a real site, and stopped.",
                hint="Give the run a home of its own with SPOKEKIT_HOME.",
            )
        saved = workspace.connections.edit(
            saved.connection_id, url=draft.url, auth_url=draft.auth_url, redirect_uri=draft.redirect_uri
        )
    except (NotConfigured, NotFound):
        saved = workspace.connections.save(draft)
    if not workspace.tokens.has_client_secret(saved):
        workspace.tokens.set_client_secret(saved, Secret(site["client_secret"]))
    if before <= 3:
        return
    if workspace.tokens.status(saved).state not in ("valid", "expired"):
        _consent(workspace, saved)
    if before > 4 and not workspace.registry(saved.connection_id).ids():
        with workspace.spoke(saved.connection_id) as spoke:
            groups = spoke.look_up_groups()
        registry = workspace.registry(saved.connection_id)
        registry.add(list(groups.loc[groups["access"] != "", "group_id"]), groups=groups)


def _consent(workspace: Workspace, saved: Connection) -> None:
    from spokekit.oauth.grant import get_token

    def browse(address: str) -> None:
        threading.Thread(target=rehearsal.play_browser, args=(Secret(address),), daemon=True).start()

    get_token(workspace, saved, receiver="loopback", show_address=browse, timeout=30)
