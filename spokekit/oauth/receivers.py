"""Which receiver fits where this runs, with the reason in words."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from urllib.parse import urlsplit

from spokekit._home import on_binder
from spokekit._surroundings import LOOPBACK_NAMES
from spokekit.oauth.callbacks import LoopbackReceiver, PasteReceiver, Receiver, ReceiverName, port_in_use
from spokekit.oauth.environment import CALLBACK_PATH, browser_is_elsewhere, extended_server
from spokekit.oauth.jupyter_mailbox import START_PATH, ExtensionReceiver

LOOPBACK_REDIRECT = "http://localhost:8751/callback"


def make_receiver(name: ReceiverName, redirect_uri: str) -> Receiver:
    """Return the receiver of that name for `redirect_uri`."""
    kinds: tuple[type[Receiver], ...] = (LoopbackReceiver, PasteReceiver, ExtensionReceiver)
    return {kind.name: kind for kind in kinds}[name](redirect_uri)


def choose_receiver(
    redirect_uri: str = LOOPBACK_REDIRECT, *, environ: Mapping[str, str] | None = None
) -> tuple[Receiver, str]:
    """Return the receiver that fits `redirect_uri` and this place, and why, in words.

    Atlassian matches the redirect URI character for character, so the address that is registered at the app decides;
    where nothing can listen on it, the person pastes the address of the page that did not load.
    """
    name, reason = _choice(redirect_uri, os.environ if environ is None else environ)
    return make_receiver(name, redirect_uri), reason


def _choice(redirect_uri: str, environ: Mapping[str, str]) -> tuple[ReceiverName, str]:
    parts = urlsplit(redirect_uri)
    if parts.path.endswith(f"/{CALLBACK_PATH}"):
        if extended_server(environ) is not None:
            return "extension", "The Jupyter server takes the redirect and hands it over; nothing is to be copied."
        return "paste", (
            "The redirect URI leads to a Jupyter server, but spokekit's extension is not running in the one that "
            "started this kernel: paste the address of the page after the consent. (Restarting Jupyter may cure it.)"
        )
    if parts.scheme != "http" or (parts.hostname or "") not in LOOPBACK_NAMES:
        return (
            "paste",
            "The redirect URI does not lead to this computer: paste the address of the page after the consent.",
        )
    elsewhere = browser_is_elsewhere(environ)
    if elsewhere:
        return "paste", (
            f"{elsewhere}, so a redirect to localhost does not reach this program. The page after the consent will not "
            "load; that is expected: paste its address."
        )
    port = parts.port or 80
    if port_in_use(port):
        return "paste", (
            f"Port {port}, to which the redirect leads, is used by another notebook or program. "
            "Close that one and start anew, or paste the address of the page after the consent."
        )
    return "loopback", f"A listener waits on port {port} of this computer; nothing is to be copied."


def propose_redirect_uri(environ: Mapping[str, str] | None = None) -> tuple[str, str]:
    """Return the redirect URI to register at the app from here, and why, in words.

    On a hub that tells its public address it is that of the person's own server. The hub's ``user-redirect`` address
    serves everybody on it and works as well, for an app that several people use; but JupyterHub (6.1) writes what it
    passes on into its own log, the code included, which is used up by then. Where the hub does not tell its address,
    only the browser knows it: the page that `own_callback_page` leads to shows the address to register.
    """
    environ = os.environ if environ is None else environ
    _, reason = _choice(LOOPBACK_REDIRECT, environ)
    if not on_binder(environ) and environ.get("JUPYTERHUB_SERVICE_PREFIX") and extended_server(environ):
        own = own_callback(environ)
        if own:
            return own, "The address of your server on this hub; nothing is to be copied."
        hub = environ.get("JUPYTERHUB_PUBLIC_HUB_URL", "").rstrip("/")
        if hub:
            return f"{hub}/user-redirect/{CALLBACK_PATH}", "One address for everybody on this hub; register it once."
    return LOOPBACK_REDIRECT, reason


def own_callback_page(environ: Mapping[str, str] | None = None) -> str | None:
    """Return the path of a page of this Jupyter server that shows the callback address to register; it has no host.

    The browser puts the host before it, which the kernel may not know. None where spokekit's extension is not on.
    """
    server = extended_server(environ)
    return None if server is None else f"{server.base_url.rstrip('/')}/{START_PATH}"


def callback_known_to(uris: Sequence[str], environ: Mapping[str, str] | None = None) -> str:
    """Return which of the callback URLs that an app of the practice site knows fits here.

    It is that of the person's own server on a hub, where the app knows it and spokekit's extension takes the redirect;
    else the first one.
    """
    own = own_callback_taken(environ)
    return own if own and own in uris else uris[0]


def own_callback_taken(environ: Mapping[str, str] | None = None) -> str | None:
    """Return `own_callback` where spokekit's extension in that server takes the redirect, else None."""
    return own_callback(environ) if extended_server(environ) is not None else None


def own_callback(environ: Mapping[str, str] | None = None) -> str | None:
    """Return the callback address of the person's own server on a hub that tells its public address, or None.

    None too on a hub without encryption: no connection takes such an address.
    """
    environ = os.environ if environ is None else environ
    public = environ.get("JUPYTERHUB_PUBLIC_URL", "").rstrip("/")
    parts = urlsplit(public)
    takes = parts.scheme == "https" or (parts.scheme == "http" and (parts.hostname or "") in LOOPBACK_NAMES)
    return f"{public}/{CALLBACK_PATH}" if takes and environ.get("JUPYTERHUB_SERVICE_PREFIX") else None
