"""Where this process runs, as far as it decides how the redirect can come back and what may be written down."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from spokekit._home import on_binder, under_voila
from spokekit._surroundings import LOOPBACK_NAMES

CALLBACK_PATH = "spokekit/oauth/callback"


@dataclass(frozen=True)
class JupyterServer:
    """The Jupyter server that started this kernel: its address, and whether spokekit's extension is on in it."""

    pid: int
    url: str
    base_url: str
    extension: bool
    allows_remote: bool = False

    @property
    def on_this_machine(self) -> bool:
        """Whether it listens on the loopback interface only, and behind no proxy, so that the browser runs here too."""
        return (urlsplit(self.url).hostname or "") in LOOPBACK_NAMES and not self.allows_remote


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
    try:
        told = json.loads((handover_folder() / f"server-{parent}.json").read_bytes())
    except (OSError, ValueError):
        return JupyterServer(int(parent), url, base_url, False)
    remote = isinstance(told, dict) and told.get("allow_remote_access") is True
    return JupyterServer(int(parent), url, base_url, True, remote)


def extended_server(environ: Mapping[str, str] | None = None) -> JupyterServer | None:
    """Return the Jupyter server that started this kernel if spokekit's extension is on in it, else None."""
    server = this_server(environ)
    return server if server is not None and server.extension else None


def browser_is_elsewhere(environ: Mapping[str, str] | None = None) -> str | None:
    """Return why the browser is probably on another machine, or None."""
    environ = os.environ if environ is None else environ
    if on_binder(environ):
        return "This runs on Binder"
    if environ.get("JUPYTERHUB_SERVICE_PREFIX") or environ.get("JUPYTERHUB_USER"):
        return "This runs on a JupyterHub"
    if environ.get("CODESPACES"):
        return "This runs in a codespace"
    if environ.get("COLAB_RELEASE_TAG") or environ.get("DATABRICKS_RUNTIME_VERSION"):
        return "This runs in a hosted notebook"
    if under_voila(environ) and this_server(environ) is None:
        return "This runs under Voilà, whose visitors may sit anywhere"
    if environ.get("SSH_CONNECTION") or environ.get("SSH_CLIENT"):
        return "This runs over SSH" + (" from VS Code" if environ.get("VSCODE_PID") else "")
    if environ.get("VSCODE_AGENT_FOLDER") or environ.get("REMOTE_CONTAINERS"):
        return "This runs in a remote window of VS Code"
    server = this_server(environ)
    if server is not None and not server.on_this_machine:
        return "The Jupyter server is open to other machines, and the browser may be on one of them"
    return None


def where_to_go_back(environ: Mapping[str, str] | None = None) -> str:
    """Return the tab or window in which the person pressed or typed, in words for a page that sends them back."""
    environ = os.environ if environ is None else environ
    if under_voila(environ):
        return "the browser tab from which you came"
    # Jupyter tells a kernel which notebook it was started for; a console's session has a name without this ending.
    notebook = Path(environ.get("JPY_SESSION_NAME", "")).name
    if notebook.endswith(".ipynb"):
        return f"the browser tab of Jupyter with {notebook}"
    return "the browser tab of Jupyter" if environ.get("JPY_PARENT_PID") else "the terminal"
