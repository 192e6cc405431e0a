"""What ``spokekit lab`` adds to its JupyterLab, as a server extension of this one command.

The first notebook's kernel starts with the server and has the components loaded when the page comes, so that the first
cell answers at once. The server's own words about its address give way to one sentence, and the page is opened without
the token of its address on a command line.
"""

from __future__ import annotations

import atexit
import logging
from typing import Any

from jupyter_server.utils import url_path_join
from tornado.httputil import url_concat

from spokekit._browse import PrivateBrowser
from spokekit._notebook_copies import FIRST
from spokekit.cli._output import say

# What notebook 00 imports; it runs before anybody can have typed anything, and leaves no name behind.
_LOADED = "import spokekit.widgets.guide as _loaded; del _loaded"

# Whether the command opens the page in a browser.
opens_page = False


def _jupyter_server_extension_points() -> list[dict[str, str]]:
    return [{"module": __name__}]


def _load_jupyter_server_extension(server_app: Any) -> None:
    server_app.log.addFilter(_Quiet(server_app))
    # Jupyter's own file with the token can be read by others where its folder can.
    server_app.no_browser_open_file = True
    server_app.io_loop.add_callback(_show_page, server_app)
    server_app.io_loop.add_callback(_start_first_kernel, server_app)


class _Quiet(logging.Filter):
    """Leave out what the server says of its address, in five lines and two forms, and of its end."""

    def __init__(self, server_app: Any) -> None:
        super().__init__()
        self._server = server_app

    def filter(self, record: logging.LogRecord) -> bool:
        if record.levelno < logging.CRITICAL:
            return True
        words = record.getMessage()
        # Somebody pressed Ctrl-C or shut it down, and knows.
        return self._server.public_url not in words and "received signal" not in words


def _show_page(server_app: Any) -> None:
    """Say where JupyterLab is in one sentence, and open it."""
    opens = "Your browser opens now. If it does not, open this address in it:"
    say(f"\n{opens if opens_page else 'Open this address in a browser:'}\n\n    {server_app.public_url}\n")
    if opens_page:
        address = url_path_join(server_app.connection_url, server_app.default_url.removeprefix(server_app.base_url))
        if server_app.identity_provider.token:
            address = url_concat(address, {"token": server_app.identity_provider.token})
        browser = PrivateBrowser(say, server_app.browser)
        atexit.register(browser.close)
        browser.open(address)


async def _start_first_kernel(server_app: Any) -> None:
    # A kernel that cannot start is told by the page, which tries again when the notebook opens.
    try:
        session = await server_app.session_manager.create_session(
            path=FIRST, name=FIRST, type="notebook", kernel_name="python3"
        )
        client = server_app.kernel_manager.get_kernel(session["kernel"]["id"]).client()
        client.start_channels(iopub=False, stdin=False, hb=False, control=False)
        client.execute(_LOADED, silent=True, store_history=False)
        try:
            # A channel that is dropped with something to send would stop the whole server until it is sent.
            await client.get_shell_msg(timeout=60)
        finally:
            client.stop_channels()
    except Exception as error:  # noqa: BLE001 - whatever it is, the lab goes on without
        server_app.log.info("The first kernel could not be started ahead: %s", error)
