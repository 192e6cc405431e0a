"""What ``spokekit lab`` adds to its JupyterLab, as a server extension of this one command.

The first notebook's kernel starts with the server and has the components loaded when the page comes, so that the first
cell answers at once. The server's own words about its address give way to one sentence.
"""

from __future__ import annotations

import logging
from typing import Any

from spokekit.cli._notebooks import FIRST
from spokekit.cli._output import say

# What notebook 00 imports; it runs before anybody can have typed anything, and leaves no name behind.
_LOADED = "import spokekit.widgets.guide as _loaded; del _loaded"


def _jupyter_server_extension_points() -> list[dict[str, str]]:
    return [{"module": __name__}]


def _load_jupyter_server_extension(server_app: Any) -> None:
    server_app.log.addFilter(_OneSentence(server_app))
    server_app.io_loop.add_callback(_start_first_kernel, server_app)


class _OneSentence(logging.Filter):
    """Say where JupyterLab is in our words, once, where the server would say it in five lines and two forms."""

    def __init__(self, server_app: Any) -> None:
        super().__init__()
        self._server = server_app

    def filter(self, record: logging.LogRecord) -> bool:
        if record.levelno < logging.CRITICAL:
            return True
        words = record.getMessage()
        if self._server.public_url in words:
            say(f"\n{self._opens()}\n\n    {self._server.public_url}\n")
            return False
        # Somebody pressed Ctrl-C or shut it down, and knows.
        return "received signal" not in words

    def _opens(self) -> str:
        if self._server.open_browser:
            return "Your browser opens now. If it does not, open this address in it:"
        return "Open this address in a browser:"


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
