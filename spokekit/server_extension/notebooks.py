"""``{base_url}spokekit/notebooks`` makes the person's copies of the notebooks, or renews them, and opens the first one.

Fit for a hub's default URL: people find no notebooks on their own server there, since nobody has run ``spokekit lab``.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

from jupyter_server.base.handlers import JupyterHandler
from jupyter_server.utils import url_escape, url_path_join
from tornado import web

from spokekit._notebook_copies import FIRST, FOLDER, Copied, copy_notebooks
from spokekit.errors import SpokekitError

NOTEBOOKS_PATH = "spokekit/notebooks"

# Where each application shows a notebook; without one, the file itself is what can be given.
_SHOWN_BY = {"jupyterlab": "doc/tree", "notebook": "notebooks"}


def _copy(root: str) -> Copied:
    return copy_notebooks(Path(root).expanduser() / FOLDER, named_by="the server's root folder")


class NotebooksHandler(JupyterHandler):
    """Copies the notebooks into the server's folder, as ``spokekit lab`` does, and leads to the first one."""

    @web.authenticated
    async def get(self) -> None:
        try:
            copied = await asyncio.to_thread(_copy, self.settings["server_root_dir"])
        except SpokekitError as error:
            raise web.HTTPError(500, str(error)) from None
        for sentence in copied.words():
            self.log.info("spokekit, %s: %s", FOLDER, sentence)
        there = self.serverapp.extension_manager.extension_apps if self.serverapp is not None else {}
        shown = next((place for name, place in _SHOWN_BY.items() if name in there), "files")
        self.redirect(url_path_join(self.base_url, shown, FOLDER, url_escape(FIRST)))
