"""The handlers for the redirect. None lets the query reach a log: it holds the code and the state."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from jupyter_server.auth.decorator import allow_unauthenticated
from jupyter_server.base.handlers import JupyterHandler
from jupyter_server.utils import url_path_join

from spokekit._secret import Secret
from spokekit._surroundings import LOOPBACK_NAMES
from spokekit.errors import SpokekitError
from spokekit.oauth import jupyter_mailbox
from spokekit.oauth.callbacks import Callback, from_query, verdict
from spokekit.oauth.environment import CALLBACK_PATH
from spokekit.oauth.page import Kind, answer_page


class QuietHandler(JupyterHandler):
    """Takes the query off the request before anything can log it, even when the handler fails."""

    def initialize(self, **kwargs: Any) -> None:
        super().initialize(**kwargs)
        self.query = self.request.query
        self.request.uri = self.request.path
        self.request.query = ""
        self.request.arguments = {}
        self.request.query_arguments = {}
        self.request.headers.pop("Referer", None)

    def page(self, status: int, kind: Kind, *sentences: str, address: str | None = None) -> None:
        page, headers = answer_page(kind, *sentences, address=address)
        self.set_status(status)
        for name, value in headers.items():
            self.set_header(name, value)
        self.finish(page)

    def _log(self) -> None:
        # JupyterHub's log tells where a redirect leads. The answer is on its way by now.
        self.clear_header("Location")
        super()._log()

    def write_error(self, status_code: int, **_: Any) -> None:
        self.page(status_code, "refused", "Something went wrong in the Jupyter server.", "Start the attempt anew.")

    def _seen_address(self) -> str:
        """Return the callback's address as the browser that asks would reach it."""
        path = url_path_join(self.base_url, CALLBACK_PATH)
        return f"{self.request.protocol}://{self.request.host}{path}"


class StartHandler(QuietHandler):
    """Leads to the consent page; without a flow, shows the address to register at the app.

    No sign-in is asked for: whoever has the flow has the state already, and the detour over the login page would write
    it down.
    """

    @allow_unauthenticated
    def get(self) -> None:
        flow = dict(parse_qsl(self.query)).get("flow")
        here = self._seen_address()
        if not flow:
            self.page(200, "info", "To register as the callback URL of the app, exactly:", address=here)
            return
        waiting = jupyter_mailbox.waiting_for(Secret(flow))
        if waiting is None:
            self.page(404, "refused", "Nobody waits for this attempt any more.", "Start anew from the notebook.")
            return
        if not comes_back(waiting.redirect_uri, here):
            self.page(
                409,
                "refused",
                f"The connection's redirect URI is {waiting.redirect_uri}, but this server has another address, so the "
                "consent could not come back here.",
                "Register this one as the callback URL of the app, and put it into the connection:",
                address=here,
            )
            return
        self.set_header("Cache-Control", "no-store")
        self.set_header("Referrer-Policy", "no-referrer")
        self.redirect(_with_state(waiting.authorize_url, flow))


class CallbackHandler(QuietHandler):
    """Takes the callback, once, and hands it to the kernel.

    No sign-in is asked for: the browser may know the server by another name than the one that the redirect names, and
    the detour over the login page would carry the code through its address. The state, of 256 random bits and good
    once, is what lets a callback in.
    """

    @allow_unauthenticated
    def get(self) -> None:
        callback = from_query(self.query)
        if not isinstance(callback, Callback) or callback.state is None:
            self.page(400, "refused", "This is not an answer of the consent page.", "Start anew from the notebook.")
            return
        seen = jupyter_mailbox.was_taken(callback.state)
        waiting = jupyter_mailbox.take(callback.state)
        if waiting is None:
            sentence = "This answer was received before." if seen else "Nobody waits for this answer, or no longer."
            self.page(400, "refused", sentence, "Go back to the notebook; start anew if no token arrived.")
            return
        try:
            jupyter_mailbox.hand_over(callback)
        except SpokekitError as error:
            self.page(500, "refused", error.message)
            return
        kind, sentences = verdict(callback, waiting.place or "the browser tab of Jupyter")
        self.page(200, kind, *sentences)


def comes_back(redirect_uri: str, here: str) -> bool:
    """Tell whether a redirect to `redirect_uri` reaches the server that the browser knows as `here`.

    The names of this computer count as one; behind a proxy the scheme may differ; a hub's ``user-redirect`` address
    leads to the own server.
    """
    sent, seen = urlsplit(redirect_uri), urlsplit(here)

    def place(parts: Any) -> tuple[str, int | None]:
        host = (parts.hostname or "").lower()
        return ("localhost" if host in LOOPBACK_NAMES else host), parts.port

    if place(sent) != place(seen):
        return False
    return sent.path == seen.path or sent.path.endswith(f"/user-redirect/{CALLBACK_PATH}")


def _with_state(address: str, state: str) -> str:
    parts = urlsplit(address)
    query = f"{parts.query}&{urlencode({'state': state})}"
    return urlunsplit(parts._replace(query=query))
