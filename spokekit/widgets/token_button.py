"""Get OAuth Token: consent in the browser, and a component that changes by itself when the answer has arrived."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

import ipywidgets as ipw
import traitlets as tr

from spokekit._foreign import markup
from spokekit._secret import Secret
from spokekit._words import clock
from spokekit._workspace import workspace as of_this_process
from spokekit.errors import ConsentError, SiteChoiceNeeded
from spokekit.oauth.practice import forget_unknown
from spokekit.widgets._browser import ConsentLink, CopyButton, SecretField
from spokekit.widgets._form_words import before_forgetting
from spokekit.widgets.base import Component, Task, page_may_be_closed
from spokekit.widgets.controls import Fold, Kind, choices, dropdown, hide, html, note, paragraph, row, show

if TYPE_CHECKING:
    from spokekit._workspace import Workspace
    from spokekit.connections.connection import Connection
    from spokekit.oauth.callbacks import Receiver
    from spokekit.oauth.endpoint import Site
    from spokekit.oauth.status import TokenStatus

_WAYS = (
    ("automatic", ""),
    ("a listener on this computer", "loopback"),
    ("this Jupyter server", "extension"),
    ("paste the address myself", "paste"),
)


class _Question:
    """A question to the person in front of the component, and the answer."""

    def __init__(self) -> None:
        self.answered = threading.Event()
        self.take = False

    def wait(self, task: Task) -> bool:
        """Wait for the answer; False when the work is cancelled before."""
        while not self.answered.wait(0.2):
            if task.cancelled.is_set():
                return False
        return True


class TokenButton(Component):
    """Ask for consent and keep the token that comes back.

    The path without a widget: `spokekit.oauth.grant.get_token`, or ``spokekit token get``.

    Parameters
    ----------
    connection:
        A saved connection or its name; without it, the default alias's.
    workspace:
        Without it, this process's.
    embedded:
        True inside another component that has the button itself.

    Attributes
    ----------
    token_status:
        The `TokenStatus` after the last attempt, or as it stood at the start.
    waiting:
        True while the consent page is open.
    """

    commands = ("spokekit token get",)
    token_status = tr.Any(None, allow_none=True)
    waiting = tr.Bool(False)
    connection = tr.Any(None, allow_none=True)

    def __init__(
        self,
        connection: Connection | str | None = None,
        *,
        workspace: Workspace | None = None,
        embedded: bool = False,
        **options: Any,
    ) -> None:
        super().__init__("" if embedded else "Get the OAuth token", **options)
        self._workspace = workspace or of_this_process()
        self._embedded = embedded
        self._address: Secret | None = None
        self._receiver: Receiver | None = None
        self._site_asked: _Question | None = None
        self._account_asked: _Question | None = None
        self._sites_of = ""
        self._build()
        self.observe(self.guarded(lambda _: self._show_connection()), "connection")
        if not embedded:
            self.guarded(lambda: self._take_connection(connection))()
        else:
            self.connection = connection
            self._show_connection()

    def _take_connection(self, connection: Connection | str | None) -> None:
        if connection is None or isinstance(connection, str):
            connection = self._workspace.connection(connection)
        self.connection = connection

    def _build(self) -> None:
        self.way = dropdown("The answer comes by", list(_WAYS))
        self.reason = html("", "sk-under-field")
        self.copy = CopyButton(description="Copy")
        self.redirect = html("", "sk-under-field")
        self.start = self.button("Get OAuth Token", lambda: self.get(open_page=True), kind="primary")
        self.link = ConsentLink()
        self.until = html("", "sk-note")
        self.pasted = SecretField("Address", masked=False, set_words="received")
        paste_help = note(
            "If the page after the consent does not load, that is expected in some places. Copy its whole address from "
            "the address bar, paste it here and press Enter. It is read once and kept nowhere."
        )
        self.paste_fold = Fold("Did the page not come back? Paste its address", paste_help, self.pasted)
        self.sites = dropdown("Site", [])
        self.use_site = self.button("Use this site", self._use_site, kind="primary")
        self.find_sites = self.button("Choose the site", self.look_up_sites)
        self.forget_it = self.button("Forget the token", self._ask_forget, kind="quiet")
        self._sure = row()
        self._waiting_box = ipw.VBox([row(self.link), self.until, self.paste_fold])
        self._waiting_box.add_class("sk-waiting")
        self._site_box = ipw.VBox(
            [note("The token reaches several sites. Which one is this connection for?"), self.sites, self.use_site]
        )
        self.account_question = html("", "sk-note")
        self.take_account = self.button("Take the new token", lambda: self.answer(take=True))
        self.keep_account = self.button("Keep the one there is", lambda: self.answer(take=False), kind="primary")
        self._account_box = ipw.VBox([self.account_question, row(self.keep_account, self.take_account)])
        self._redirect_row = row(self.redirect, self.copy)
        # There is nothing to copy before there is a connection.
        hide(self._waiting_box, self._site_box, self._account_box, self._redirect_row)
        hide(self.find_sites, self.forget_it, self._sure)
        # An embedding form has the button itself, and shows the way among its own fields.
        self._start_row = row(self.start, self.forget_it, css="sk-actions")
        own = [self._redirect_row, self.way, self.reason, self._start_row, self._sure]
        questions = [self._account_box, self._site_box]
        self.body = [*([] if self._embedded else own), self.find_sites, self._waiting_box, *questions]
        self.on_change(self.way, lambda _: self._show_connection())
        self.pasted.on_entered(self.guarded(self._deliver))
        self.disable_while_busy(self.start, self.way, self.find_sites, self.forget_it)

    # --- showing -------------------------------------------------------------------------------------------------
    def _show_connection(self) -> None:
        connection: Connection | None = self.connection
        if connection is None:
            self.reason.value = ""
            return
        uri = connection.redirect_uri
        self.copy.text = uri
        # Nothing comes back for a service account.
        show(self._redirect_row, self.way, self.reason, when=not connection.is_service_account)
        self.redirect.value = f"<p>Redirect URL, to be registered exactly so: <code>{markup(uri)}</code></p>"
        self.reason.value = paragraph(self._choose(connection)[1])
        self.mark_kind(self._workspace, connection.connection_id)
        if not self.busy:
            if self._sites_of != connection.connection_id:
                # The question was about another connection's consent.
                hide(self._site_box)
            forget_unknown(self._workspace.connections, self._workspace.tokens, only=connection)
            status = self._workspace.tokens.status(connection)
            self.token_status = status
            self._offer_sites(status)
            self._offer_account(status)
            if not self._embedded:
                self._say_status(status)

    def _say_status(self, status: TokenStatus, well: Kind = "good") -> None:
        usable = status.state in ("valid", "expired")
        self.say(status.words, "warning" if status.attention else well if usable else "plain")

    def _choose(self, connection: Connection) -> tuple[Receiver, str]:
        from spokekit.oauth.receivers import choose_receiver, make_receiver

        if not self.way.value:
            return choose_receiver(connection.redirect_uri)
        reasons = {
            "loopback": "A listener on this computer; it needs a browser on this computer too.",
            "extension": "The Jupyter server takes the redirect; the redirect URL has to be its own address.",
            "paste": "The page after the consent will not load; that is expected: you paste its address.",
        }
        return make_receiver(self.way.value, connection.redirect_uri), reasons[self.way.value]

    # --- getting it ----------------------------------------------------------------------------------------------
    @property
    def address(self) -> Secret | None:
        """The address of the consent page while an attempt waits; it holds the state, so it is a secret."""
        return self._address

    @property
    def pastes(self) -> bool:
        """True while an attempt waits for an address that is pasted: nothing listens for the redirect."""
        return self._receiver is not None and self._receiver.name == "paste"

    def get(self, *, open_page: bool = False, timeout: float = 600.0) -> None:
        """Start an attempt in the background; with ``open_page`` the consent page opens in a new tab."""
        from spokekit.oauth.grant import get_token
        from spokekit.oauth.jupyter_mailbox import for_the_browser

        if self.runner.running:
            return
        if self.connection is None:
            self._take_connection(None)
        connection = self._workspace.connection(self.connection.connection_id)
        receiver, _reason = self._choose(connection)
        self._receiver = receiver
        self.token_status = None
        hide(self._sure)

        def show_address(address: str) -> None:
            self._address = Secret(address)
            self.until.value = paragraph(self._waiting_words(timeout))
            self.paste_fold.shown = self.pastes
            show(self._waiting_box)
            hide(self._start_row)
            self.link.show(Secret(for_the_browser(address)), open_it=open_page)
            self.waiting = True

        def work(task: Task) -> TokenStatus:
            return get_token(
                self._workspace,
                connection,
                receiver=receiver,
                show_address=show_address,
                choose_site=lambda sites: self._ask_site(sites, task),
                confirm_account=lambda question: self._ask_account(question, task),
                timeout=timeout,
                cancel=task.cancelled,
                tell=task.progress,
            )

        self.run(
            work,
            words="Asking for a token" if connection.is_service_account else "Asking for consent",
            done=self._done,
            failed=self._failed,
        )

    def _waiting_words(self, timeout: float) -> str:
        ends = clock(datetime.now().astimezone() + timedelta(seconds=timeout))
        words = f"Waiting until {ends} for you to accept on the consent page. "
        if self.pastes:
            words += "Copy the whole address of the page that comes then into the field below; then you may close it."
            return words
        words += "This component changes by itself when you have; then you may close the consent page."
        return f"{words} You may close this page too while you wait." if page_may_be_closed() else words

    def _ended(self) -> None:
        self._address = self._receiver = None
        self.link.hide()
        self.pasted.put(None)
        hide(self._waiting_box, self._site_box, self._account_box)
        show(self._start_row)
        self.waiting = False

    def _done(self, status: TokenStatus) -> None:
        self._ended()
        self.connection = self._workspace.connection(self.connection.connection_id)
        self._say_status(status, "ok")
        self._offer_sites(status)
        self.token_status = status

    def _failed(self, error: BaseException) -> bool:
        self._ended()
        self.token_status = self._workspace.tokens.status(self.connection)
        self._offer_account(self.token_status)
        if isinstance(error, SiteChoiceNeeded):
            # The token is saved: the choice alone is missing, and can be made without another consent.
            self._offer(error.sites)
        return False

    def _deliver(self) -> None:
        text, receiver = self.pasted.take(), self._receiver
        if text is None or receiver is None:
            return
        try:
            receiver.deliver(text.reveal())
        except ConsentError as error:
            # The attempt goes on: a wrong paste is not the end of it.
            self.show_error(error)

    # --- forgetting it -------------------------------------------------------------------------------------------
    def _ask_forget(self) -> None:
        connection: Connection = self.connection
        self.ask_first(
            self._sure, before_forgetting(connection), "Yes, forget it", partial(self.forget_token, connection)
        )

    def forget_token(self, connection: Connection | None = None) -> None:
        """Forget the token here, as ``spokekit token forget`` does; the question was asked before."""
        if self.runner.running:
            return
        about: Connection = connection or self.connection
        self._workspace.tokens.forget(about)
        self._show_connection()
        self.say(f"The token of “{about.name}” is forgotten here; the client secret is kept.", "ok")

    # --- another account ---------------------------------------------------------------------------------------------
    def _offer_account(self, status: TokenStatus) -> None:
        from spokekit.oauth.grant import account_question

        kept = self._workspace.tokens.pending.waiting(self.connection) if status.waits else None
        hide(self._account_box)
        if kept is not None:
            self._show_account(account_question(self._workspace, self.connection, kept))

    def _show_account(self, question: str) -> None:
        self.account_question.value = paragraph(question)
        show(self._account_box)

    def _ask_account(self, question: str, task: Task) -> bool | None:
        asked = self._account_asked = _Question()
        hide(self._waiting_box)
        self._show_account(question)
        self.say("The consent is given, by another account than before. Is that one meant?", "asking")
        try:
            return asked.take if asked.wait(task) else None
        finally:
            self._account_asked = None
            hide(self._account_box)

    def answer(self, *, take: bool) -> None:
        """Say whether the account that consented is meant, as the two buttons do: take its token, or keep the old."""
        from spokekit.oauth.grant import take_waiting

        if self._account_asked is not None:
            self._account_asked.take = take
            self._account_asked.answered.set()
            return
        if self.runner.running:
            return
        connection = self._workspace.connection(self.connection.connection_id)

        def work(task: Task) -> TokenStatus:
            taken = take_waiting(
                self._workspace,
                connection,
                confirm_account=lambda _question: take,
                choose_site=lambda sites: self._ask_site(sites, task),
                tell=task.progress,
            )
            # Somebody else has answered meanwhile.
            return taken or self._workspace.tokens.status(connection)

        self.run(work, words="Taking the token" if take else "Dropping the token", done=self._done, failed=self._failed)

    # --- several sites -------------------------------------------------------------------------------------------
    def _offer_sites(self, status: TokenStatus) -> None:
        show(self.forget_it, when=status.state in ("valid", "expired", "consent_needed"))
        # A question that is still open was about the token before.
        hide(self._sure)
        show(self.find_sites, when=status.needs_site)

    def look_up_sites(self) -> None:
        """Offer the sites that the saved token reaches; no new consent is needed."""
        from spokekit.oauth.grant import reachable_sites

        if self.runner.running:
            return
        connection = self._workspace.connection(self.connection.connection_id)
        self.run(
            lambda task: reachable_sites(self._workspace, connection),
            words="Looking up the sites of the token",
            done=self._offer_found,
        )

    def _offer_found(self, sites: Sequence[Site]) -> None:
        self._offer((s.cloud_id, s.name, s.url) for s in sites)
        self.say("Choose the site." if sites else "The token reaches no site with Confluence.", "plain")

    def _offer(self, sites: Iterable[tuple[str, str, str]]) -> None:
        self._sites_of = self.connection.connection_id
        self.sites.options = choices((f"{one[1]} ({one[2]})", one) for one in sites)
        self.sites.index = None
        show(self._site_box)

    def _ask_site(self, sites: Sequence[Site], task: Task) -> str | None:
        asked = self._site_asked = _Question()
        hide(self._waiting_box)
        self._offer((s.cloud_id, s.name, s.url) for s in sites)
        given = "The token is there" if self.connection.is_service_account else "The consent is given"
        self.say(f"{given}. Choose the site.", "asking")
        try:
            return str(self.sites.value[0]) if asked.wait(task) else None
        finally:
            self._site_asked = None

    def choose_site(self, cloud_id: str) -> None:
        """Choose a site by its cloud id, as the list and its button do."""
        self.sites.value = next(value for _, value in self.sites.options if value[0] == cloud_id)
        self._use_site()

    def _use_site(self) -> None:
        if self.sites.value is None:
            self.say("Choose one of the sites in the list first.", "asking" if self.busy else "plain")
            return
        if self._site_asked is not None:
            self._site_asked.answered.set()
            return
        connection_id = self.connection.connection_id
        self.connection = self._workspace.connections.set_site(connection_id, *self.sites.value)
        hide(self._site_box)
        status = self._workspace.tokens.status(self.connection)
        self._offer_sites(status)
        self._say_status(status, "ok")
        self.token_status = status

    def rehearse(self) -> None:
        """Do what a person does: get the token, and consent."""
        from spokekit.widgets.rehearsal import consent

        self.get()
        consent(self, lambda: self.busy)
        self.settled()
