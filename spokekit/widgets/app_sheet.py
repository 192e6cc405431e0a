"""What to copy into the OAuth app at Atlassian: the callback URL and the scopes, each with its place."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import ipywidgets as ipw
import traitlets as tr

from spokekit._foreign import markup
from spokekit.connections.connection import ConnectionDraft
from spokekit.connections.scopes import DEFAULT_SCOPES, parse_scopes, published_first, scope
from spokekit.oauth.environment import CALLBACK_PATH, browser_is_elsewhere
from spokekit.widgets._browser import CopyButton
from spokekit.widgets.base import Component
from spokekit.widgets.controls import html, html_table, note, outside_link, row
from spokekit.widgets.rehearsal import page_link

if TYPE_CHECKING:
    from spokekit.widgets.guide import Guide

# The labels on the page "Permissions > Confluence API", as ServiceNow's set-up page prints them.
_TICKS = {
    "search:confluence": "Search Confluence content and space summaries",
    "read:confluence-groups": "Read user groups",
    "write:confluence-groups": "Create, remove and update user groups",
    "read:confluence-user": "Read user",
}
_PLACES = {
    "offline_access": "nowhere: it is asked for with the consent",
    "ace:confluence": "nowhere: Atlassian publishes no such scope; leave it out if consent fails",
    "read:me": "User identity API",
    "read:account": "User identity API",
}


class AppSheet(Component):
    """The callback URL and the scopes, ready to copy, with the place of each in the developer console.

    Parameters
    ----------
    guide:
        Its draft gives the callback URL; on a practice site it leads to the practice developer console.
    scopes:
        Scopes to list, as text or as a list; the nine defaults without it.

    Attributes
    ----------
    redirect_uri:
        The callback URL to register, character for character.
    """

    commands = ("spokekit connections add",)
    redirect_uri = tr.Unicode("")

    def __init__(self, guide: Guide | None = None, *, scopes: str | Iterable[str] = DEFAULT_SCOPES, **options: Any):
        super().__init__("What to copy into the app", **options)
        from spokekit.oauth.receivers import choose_receiver, propose_redirect_uri

        draft = guide.draft() if guide is not None else ConnectionDraft(redirect_uri=propose_redirect_uri()[0])
        on_practice = guide is not None and guide.site is not None
        self.redirect_uri = draft.redirect_uri
        body = [
            html(f"<p><strong>Callback URL</strong> <code>{markup(draft.redirect_uri)}</code></p>"),
            row(CopyButton(draft.redirect_uri, description="Copy the callback URL")),
        ]
        elsewhere = browser_is_elsewhere()
        if not on_practice:
            body.append(note(propose_redirect_uri()[1]))
        elif elsewhere:
            body.append(note(choose_receiver(draft.redirect_uri)[1]))
        if elsewhere:
            body += _own_callback(draft.redirect_uri)
        self._scopes = names = published_first(parse_scopes(scopes))
        lines = []
        for name in names:
            known = scope(name)
            place = _PLACES.get(name) or ("Confluence API" + (", classic" if known.kind == "classic" else ", granular"))
            lines.append((name, _TICKS.get(name, ""), place, known.permits))
        table = html_table(
            ("scope", "label on the page", "where to enable it", "what it permits"), lines, caption="Scopes"
        )
        body.append(html(table))
        if guide is not None and guide.site is not None:
            link, reached = page_link(guide.site, "console", "Open the practice developer console", css="sk-button")
            body.append(html(f"<p>{link}</p>"))
            if not reached:
                where = f"{guide.site['url']}console"
                body.append(note(f"{where} opens only in a browser on the machine where this notebook runs."))
        self.body = body

    def state_in_words(self) -> list[str]:
        """Name the callback URL and the scopes."""
        return [f"Callback URL: {self.redirect_uri}", f"Scopes: {' '.join(self._scopes)}"]


def _own_callback(redirect_uri: str) -> list[ipw.HTML]:
    """Lead to the address of the person's own Jupyter server, which the browser knows and the kernel may not."""
    from spokekit.oauth.receivers import own_callback_page

    page = own_callback_page()
    if page is None or redirect_uri.endswith(f"/{CALLBACK_PATH}"):
        return []
    link = outside_link(page, "callback URL of this Jupyter server")
    words = f"<p>Or put the {link} into the app and the connection: then nothing is to be pasted.</p>"
    return [html(words, "sk-note")]
