"""How a person whose browser is elsewhere comes to the practice site's pages: through the Jupyter server.

On a hub, on Binder or on a server far away the practice site listens beside the kernel, where the person's browser
cannot come. The Jupyter server can be reached; spokekit's extension in it passes the practice site's two pages on
(`spokekit.server_extension.pages`), on the ports that a kernel of the same user has named here, and on no others. What
programs ask, the token endpoint and the API, goes to the practice site directly as ever.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit

from spokekit._home import private_folder, write_private
from spokekit._surroundings import LOOPBACK_NAMES
from spokekit.errors import StoreError
from spokekit.oauth.environment import browser_is_elsewhere, handover_folder, this_server

PAGES_PATH = "spokekit/practice"
PAGES = ("authorize", "console")
# A port that a practice site has left may be another program's tomorrow.
NAMED_FOR = 86_400.0


def for_the_browser(address: str, environ: Mapping[str, str] | None = None) -> str:
    """Return where the person opens `address`, a page that the kernel knows.

    A page of a practice site on this machine becomes a path in the Jupyter server when the browser is elsewhere and
    spokekit's extension is on in that server: the browser knows the host. Every other address stays as it is,
    Atlassian's above all. It is for showing only; it may hold a state, and is kept nowhere.
    """
    try:
        parts = urlsplit(address)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        return address
    page = parts.path.lstrip("/")
    if parts.scheme != "http" or host not in LOOPBACK_NAMES or port is None or page not in PAGES:
        return address
    server = this_server(environ)
    if server is None or not server.extension or browser_is_elsewhere(environ) is None:
        return address
    try:
        _name(port)
    except (OSError, StoreError):
        # The extension would not know the port: the address itself says more than a page that refuses.
        return address
    query = f"?{parts.query}" if parts.query else ""
    return f"{server.base_url.rstrip('/')}/{PAGES_PATH}/{port}/{page}{query}"


def is_named(port: int) -> bool:
    """Tell whether a kernel of this user said within the last day that a practice site is on `port`."""
    try:
        return time.time() - _note(port).stat().st_mtime < NAMED_FOR
    except OSError:
        return False


def _name(port: int) -> None:
    folder = private_folder(handover_folder())
    for path in folder.glob("practice-*"):
        with suppress(OSError):
            if time.time() - path.stat().st_mtime > NAMED_FOR:
                path.unlink()
    write_private(_note(port), b"{}")


def _note(port: int) -> Path:
    return handover_folder() / f"practice-{port}.json"
