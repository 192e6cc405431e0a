"""Play the person in an unattended run: real components, real HTTP to a practice site, a real redirect.

With ``SPOKEKIT_UNATTENDED=1`` a notebook's guide has each component that is placed do what somebody would click: its
method ``rehearse``. The notebooks know nothing of it.
"""

from __future__ import annotations

import atexit
import json
import os
import socket
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from spokekit._secret import Secret
from spokekit.connections.connection import ConnectionDraft
from spokekit.errors import Conflict, NotConfigured, NotFound, SpokekitError
from spokekit.oauth.practice import forget_unknown
from spokekit.training.browser import play_browser

if TYPE_CHECKING:
    from spokekit._workspace import Workspace
    from spokekit.connections.connection import Connection
    from spokekit.widgets.token_button import TokenButton

PRACTICE = "SPOKEKIT_PRACTICE"
UNATTENDED = "SPOKEKIT_UNATTENDED"

_embedded: list[Any] = []


def unattended() -> bool:
    """Say whether nobody is there to click."""
    return os.environ.get(UNATTENDED, "").lower() in {"1", "true", "yes"}


def practice() -> dict[str, Any] | None:
    """Return what a practice site says of itself, or None on the person's own site.

    ``SPOKEKIT_PRACTICE`` holds the JSON line of `spokekit practice`. An unattended run without it gets a site of its
    own, which ends with this process.
    """
    said = os.environ.get(PRACTICE, "").strip()
    if said:
        try:
            found = json.loads(said)
        except ValueError:
            found = None
        if not isinstance(found, dict) or "url" not in found:
            raise SpokekitError(
                f"The environment variable {PRACTICE} does not hold what `spokekit practice` prints.",
                hint="Start the notebooks with `spokekit lab`, or take the variable away to work on your own site.",
            )
        return found
    if not unattended():
        return None
    if not _embedded:
        from spokekit.practice import PracticeSite

        site = PracticeSite(redirect_uris=[f"http://localhost:{_free_port()}/callback"]).start()
        atexit.register(site.stop)
        _embedded.append(site)
    return dict(_embedded[0].describe())


def page_link(site: dict[str, Any], page: str, words: str, title: str = "", *, css: str = "") -> tuple[str, bool]:
    """Return a link to a page of the practice site, as markup, and whether the person's browser can come there."""
    from spokekit.oauth.environment import browser_is_elsewhere
    from spokekit.oauth.jupyter_mailbox import for_the_browser
    from spokekit.widgets.controls import outside_link

    address = f"{site['url']}{page}"
    seen = for_the_browser(address, key=str(site.get("key", "")))
    link = outside_link(seen, words, css=css, title=title)
    return link, not (seen.startswith(address) and browser_is_elsewhere())


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def catch_up(workspace: Workspace, site: dict[str, Any], *, before: int, name: str | None = None) -> None:
    """Do the steps before `before` that are not done yet, or were done on a practice site that is gone."""
    if before <= 2:
        return
    told = {name: site[name] for name in ("url", "auth_url", "client_id")} | {"redirect_uri": site["redirect_uris"][0]}
    try:
        saved = workspace.connection(name)
        if not saved.is_practice:
            raise Conflict(
                f"An unattended run found the connection “{saved.name}”, which leads to a real site, and stopped.",
                hint="Give the run a home of its own with SPOKEKIT_HOME.",
            )
        saved = workspace.connections.edit(saved.connection_id, **told)
    except (NotConfigured, NotFound):
        saved = workspace.connections.save(ConnectionDraft(**told))
    # In a home that lasts, secret and token may be those of a site that has ended with the notebook before.
    workspace.tokens.set_client_secret(saved, Secret(site["client_secret"]))
    forget_unknown(workspace.connections, workspace.tokens, site)
    if before <= 3:
        return
    if workspace.tokens.status(saved).state not in ("valid", "expired"):
        _consent_at_once(workspace, saved)
    if before > 4 and not workspace.registry(saved.connection_id).ids():
        with workspace.spoke(saved.connection_id) as spoke:
            groups = spoke.look_up_groups()
        registry = workspace.registry(saved.connection_id)
        registry.add(list(groups.loc[groups["access"] != "", "group_id"]), groups=groups)


def _consent_at_once(workspace: Workspace, saved: Connection) -> None:
    from spokekit.oauth.grant import get_token

    def browse(address: str) -> None:
        threading.Thread(target=play_browser, args=(Secret(address),), daemon=True).start()

    get_token(workspace, saved, receiver="loopback", show_address=browse, timeout=30)


def consent(component: TokenButton, going_on: Callable[[], bool]) -> None:
    """Accept on the consent page that `component` leads to, as soon as its address is there."""
    deadline = time.monotonic() + 20
    while component.address is None and going_on() and time.monotonic() < deadline:
        time.sleep(0.02)
    if component.address is not None:
        play_browser(component.address, paste=component.pasted.put if component.pastes else None)
