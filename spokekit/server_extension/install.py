"""The extension's routes, and the note that tells this server's kernels of them."""

from __future__ import annotations

import atexit
import json
import os
from typing import Any

from jupyter_server.utils import url_path_join

from spokekit._home import private_folder, write_private
from spokekit.oauth import jupyter_mailbox
from spokekit.oauth.environment import CALLBACK_PATH, handover_folder
from spokekit.oauth.jupyter_mailbox import PAGES, PAGES_PATH
from spokekit.server_extension.handlers import CallbackHandler, StartHandler
from spokekit.server_extension.notebooks import NOTEBOOKS_PATH, NotebooksHandler
from spokekit.server_extension.pages import PracticePages


def install(server_app: Any) -> None:
    """Add the routes, and leave a note for the kernels of this server that they are there."""
    base = server_app.web_app.settings["base_url"]
    server_app.web_app.add_handlers(
        ".*$",
        [
            (url_path_join(base, jupyter_mailbox.START_PATH) + "/?", StartHandler),
            (url_path_join(base, CALLBACK_PATH) + "/?", CallbackHandler),
            (url_path_join(base, NOTEBOOKS_PATH) + "/?", NotebooksHandler),
            (url_path_join(base, PAGES_PATH) + rf"/(\d{{1,5}})/({'|'.join(PAGES)})", PracticePages),
        ],
    )
    note = private_folder(handover_folder()) / f"server-{os.getpid()}.json"
    # A server that listens on this machine alone and yet answers to other names stands behind a proxy.
    about = {"allow_remote_access": bool(server_app.allow_remote_access)}
    write_private(note, json.dumps(about).encode())
    atexit.register(note.unlink, missing_ok=True)
    server_app.log.info("spokekit takes OAuth redirects at %s", url_path_join(base, CALLBACK_PATH))
