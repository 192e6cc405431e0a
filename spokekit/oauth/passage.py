"""How a person whose browser is elsewhere comes to the practice site's pages: through the Jupyter server.

On a hub, on Binder or on a server far away the practice site listens beside the kernel, where the person's browser
cannot come. The Jupyter server can be reached; spokekit's extension in it passes the practice site's pages on
(`spokekit.server_extension.pages`), on the ports that a kernel of the same user has named here, and on no others. What
programs ask, the token endpoint and the API, goes to the practice site directly as ever.

The practice site opens its console, and lets somebody sign in as another person, only where its key is known. The
extension finds it in the kernel's note, which is private to the user; a browser on this machine comes by a link made
with it, which works once.
"""

from __future__ import annotations

import hmac
import json
import os
import secrets
import time
from collections.abc import Mapping
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from urllib.parse import urlsplit

from spokekit._home import private_folder, write_private
from spokekit._surroundings import LOOPBACK_NAMES
from spokekit.errors import StoreError
from spokekit.oauth.environment import browser_is_elsewhere, handover_folder, this_server

PAGES_PATH = "spokekit/practice"
PAGES = ("authorize", "console", "connected-apps", "happened", "instance")
KEY_HEADER = "X-Practice-Key"
# A port that a practice site has left may be another program's tomorrow.
NAMED_FOR = 86_400.0


def for_the_browser(address: str, environ: Mapping[str, str] | None = None, *, key: str = "") -> str:
    """Return where the person opens `address`, a page that the kernel knows.

    A page of a practice site on this machine becomes a path in the Jupyter server when the browser is elsewhere and
    spokekit's extension is on in that server: the browser knows the host. For a browser on this machine it becomes a
    link that works once. Every other address stays as it is, Atlassian's above all. It is for showing only; it may hold
    a state, and is kept nowhere.

    Parameters
    ----------
    address:
        What the kernel knows the page by.
    environ:
        The environment variables; this process's when left out.
    key:
        The practice site's key; without it, the one in ``SPOKEKIT_PRACTICE`` if that is the site of the address.
    """
    environ = os.environ if environ is None else environ
    try:
        parts = urlsplit(address)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        return address
    page = parts.path.lstrip("/")
    if parts.scheme != "http" or host not in LOOPBACK_NAMES or port is None or page not in PAGES:
        return address
    key = key or _told_key(port, environ)
    server = this_server(environ)
    if server is None or not server.extension or browser_is_elsewhere(environ) is None:
        return _once(address, key) if key else address
    try:
        _name(port, key)
    except (OSError, StoreError):
        # The extension would not know the port: the address itself says more than a page that refuses.
        return address
    query = f"?{parts.query}" if parts.query else ""
    return f"{server.base_url.rstrip('/')}/{PAGES_PATH}/{port}/{page}{query}"


def _told_key(port: int, environ: Mapping[str, str]) -> str:
    with suppress(ValueError, AttributeError):
        told = json.loads(environ.get("SPOKEKIT_PRACTICE") or "{}")
        if urlsplit(str(told.get("url"))).port == port:
            return str(told.get("key") or "")
    return ""


def _once(address: str, key: str) -> str:
    """Return a link that lets the browser in once; the form is told in `spokekit.practice.keys`."""
    body = f"{int(time.time())}.{secrets.token_hex(8)}"
    total = hmac.new(key.encode(), body.encode(), sha256).hexdigest()
    return f"{address}{'&' if urlsplit(address).query else '?'}open={body}.{total}"


def key_of(port: int) -> str:
    """Return the key that a kernel of this user named with the practice site on `port`; empty when it named none."""
    with suppress(OSError, ValueError, AttributeError):
        return str(json.loads(_note(port).read_text(encoding="utf-8")).get("key") or "")
    return ""


def is_named(port: int) -> bool:
    """Tell whether a kernel of this user said within the last day that a practice site is on `port`."""
    try:
        return time.time() - _note(port).stat().st_mtime < NAMED_FOR
    except OSError:
        return False


def _name(port: int, key: str) -> None:
    folder = private_folder(handover_folder())
    for path in folder.glob("practice-*"):
        with suppress(OSError):
            if time.time() - path.stat().st_mtime > NAMED_FOR:
                path.unlink()
    write_private(_note(port), json.dumps({"key": key or key_of(port)}).encode())


def _note(port: int) -> Path:
    return handover_folder() / f"practice-{port}.json"
