"""The practice site's consent page and console for a browser that cannot come to them: passed on, and nothing else.

A general proxy (jupyter-server-proxy) would do it too. It would have to be installed and switched on beside spokekit,
opens every port of the machine, and sends the browser's own Host and Origin on, which the practice site refuses for
good reasons. Here the request is made anew: the Jupyter server has asked who it is and where the form comes from, and
the practice site sees a program of this machine, as it does from the kernel.
"""

from __future__ import annotations

from contextlib import closing, suppress
from typing import Any
from urllib.parse import urlencode, urlsplit

from jupyter_core.utils import ensure_async
from jupyter_server.auth.decorator import allow_unauthenticated
from tornado.httpclient import HTTPError, HTTPRequest, HTTPResponse
from tornado.simple_httpclient import SimpleAsyncHTTPClient

from spokekit.oauth.jupyter_mailbox import KEY_HEADER, is_named, key_of
from spokekit.server_extension.handlers import QuietHandler

MARK = "X-Spokekit-Practice"
_FORM = '<form method="post">'
_SECONDS = 20.0
_SCRIPT_SUM = "'sha256-FF7jLE2URsIk6wENSCGoTea56Kp7c2jLkpCZiFa/98g='"

# Another program may have the port by now, and this is the origin of the person's notebooks: whatever it is that
# answers, no script of it runs here but the one that the practice site's pages have, known by its sum. There is no
# form-action: a browser would hold the way back to the app against it.
_HEADERS = {
    "Content-Type": "text/html; charset=utf-8",
    "Content-Security-Policy": f"default-src 'none'; style-src 'unsafe-inline'; script-src {_SCRIPT_SUM}; "
    "base-uri 'none'; frame-ancestors 'none'",
    "X-Frame-Options": "DENY",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
    # Without a referrer a browser sends no origin with a form, which the Jupyter server asks for.
    "Referrer-Policy": "same-origin",
}


class PracticePages(QuietHandler):
    """One page of a practice site on this machine, for the person who is signed in to this Jupyter server.

    Who is not gets a page instead of the way over the login page, which would write the state down.
    """

    def initialize(self, **kwargs: Any) -> None:
        super().initialize(**kwargs)
        # What shows that the form comes from a page of this server is looked for among the arguments.
        self.request.arguments = {"_xsrf": self.request.body_arguments.get("_xsrf", [])}

    def write_error(self, status_code: int, **more: Any) -> None:
        if status_code == 403:
            self._not_yours()
        else:
            super().write_error(status_code, **more)

    @allow_unauthenticated
    async def get(self, port: str, page: str) -> None:
        """Show the page."""
        await self._pass_on(port, page)

    @allow_unauthenticated
    async def post(self, port: str, page: str) -> None:
        """Send the page's form; the Jupyter server has checked that it is one of its own."""
        form = [(k, v) for k, values in self.request.body_arguments.items() if k != "_xsrf" for v in values]
        await self._pass_on(port, page, urlencode(form))

    def _not_yours(self) -> None:
        self.page(
            403,
            "refused",
            "The practice site is open to whoever is signed in to this Jupyter server.",
            "Load JupyterLab again in this browser, and open the page from the notebook.",
        )

    async def _pass_on(self, port: str, page: str, form: str | None = None) -> None:
        # Who may not run code here is no learner here.
        if not self.current_user or not await ensure_async(
            self.authorizer.is_authorized(self, self.current_user, "execute", "kernels")
        ):
            self._not_yours()
            return
        if not is_named(int(port)):
            self.page(404, "refused", "No notebook here has named this practice site today.", "Open it from there.")
            return
        found = await self._fetch(f"http://127.0.0.1:{port}/{page}", form)
        if found is None or MARK not in found.headers:
            self.page(502, "refused", "The practice site does not answer any more.", "Run the notebook's cells again.")
            return
        self._show(found)

    async def _fetch(self, address: str, form: str | None) -> HTTPResponse | None:
        headers = {"Content-Type": "application/x-www-form-urlencoded"} if form is not None else {}
        if key := key_of(int(urlsplit(address).port or 0)):
            headers[KEY_HEADER] = key
        # The practice site looks at it as well.
        if "Sec-Fetch-Site" in self.request.headers and form is not None:
            headers["Sec-Fetch-Site"] = self.request.headers["Sec-Fetch-Site"]
        request = HTTPRequest(
            f"{address}?{self.query}" if self.query else address,
            method="GET" if form is None else "POST",
            body=form,
            headers=headers,
            follow_redirects=False,
            connect_timeout=_SECONDS,
            request_timeout=_SECONDS,
        )
        # Not the one that a hub may have chosen for the whole process, which may go over a proxy.
        with suppress(OSError, HTTPError), closing(SimpleAsyncHTTPClient(force_instance=True)) as client:
            return await client.fetch(request, raise_error=False)
        return None

    def _show(self, found: HTTPResponse) -> None:
        for name, value in _HEADERS.items():
            self.set_header(name, value)
        target = found.headers.get("Location", "")
        if found.code in (302, 303) and urlsplit(target).scheme in ("http", "https"):
            self.set_status(found.code)
            self.set_header("Location", target)
            self.finish()
            return
        text = found.body.decode("utf-8", "replace")
        self.set_status(found.code)
        self.finish(text.replace(_FORM, f"{_FORM}{self.xsrf_form_html()}"))
