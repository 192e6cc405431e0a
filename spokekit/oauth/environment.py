"""Where this process runs, as far as it decides how the redirect can come back and what may be written down."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "::1", "[::1]"})
CALLBACK_PATH = "spokekit/oauth/callback"


@dataclass(frozen=True)
class JupyterServer:
    """The Jupyter server that started this kernel: its address, and whether spokekit's extension is on in it."""

    pid: int
    url: str
    base_url: str
    extension: bool

    @property
    def on_this_machine(self) -> bool:
        """Whether it listens on the loopback interface only, so that the browser runs here too."""
        return (urlsplit(self.url).hostname or "") in LOOPBACK_NAMES


def handover_folder() -> Path:
    """Return the folder in which the Jupyter server hands a callback to a kernel."""
    from jupyter_core.paths import jupyter_runtime_dir

    return Path(jupyter_runtime_dir()) / "spokekit-oauth"


def this_server(environ: Mapping[str, str] | None = None) -> JupyterServer | None:
    """Return the Jupyter server that started this kernel, or None in a script or a terminal."""
    environ = os.environ if environ is None else environ
    parent = environ.get("JPY_PARENT_PID", "")
    if not parent.isdigit():
        return None
    try:
        about = json.loads((handover_folder().parent / f"jpserver-{parent}.json").read_text("utf-8"))
        url, base_url = str(about["url"]), str(about["base_url"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
    marker = handover_folder() / f"server-{parent}.json"
    return JupyterServer(int(parent), url, base_url, marker.exists())
