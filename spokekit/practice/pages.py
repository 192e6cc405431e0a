"""Pages of the practice site that a person sees: consent, refusal, and the practice developer console."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from html import escape
from pathlib import Path

from spokekit.practice._wire import HTML, Answer, encoded
from spokekit.practice.apps import App
from spokekit.practice.oauth import Pending
from spokekit.practice.world import World

#: What each scope lets an app do, in the words of the consent page.
SCOPE_WORDS: Mapping[str, str] = {
    "read:confluence-groups": "See the groups of the site and who is in them",
    "write:confluence-groups": "Create and remove groups, and change who is in them",
    "read:confluence-user": "See people: names, pictures and, where they are visible, e-mail addresses",
    "search:confluence": "Search content and spaces",
    "read:page:confluence": "Read pages",
    "read:me": "See your own profile",
    "read:account": "See your account",
    "read:group:confluence": "See groups and their members",
    "write:group:confluence": "Create and remove groups, and change who is in them",
    "read:user:confluence": "See people",
    "read:content-details:confluence": "See details of content and of people",
    "read:content.metadata:confluence": "See facts about content, such as its authors",
    "read:space:confluence": "See spaces and who may do what in them",
    "read:space.permission:confluence": "See roles in spaces",
    "read:configuration:confluence": "See how the site is set up",
    "offline_access": "Keep this access until you take it back",
    "ace:confluence": "ace:confluence (Atlassian publishes no meaning for this scope)",
}

# By this a Jupyter server that passes the pages on knows that it has not come to another program's port.
MARK = ("x-spokekit-practice", "page")

_STYLE = (Path(__file__).parent / "pages.css").read_text(encoding="utf-8")


def _page(title: str, body: str, *, status: int = 200, wide: bool = False) -> Answer:
    text = (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{_STYLE}</style></head>"
        f"<body><main{' class=wide' if wide else ''}>{body}</main></body></html>"
    )
    headers = [
        ("cache-control", "no-store"),
        ("referrer-policy", "no-referrer"),
        ("x-frame-options", "DENY"),
        ("content-security-policy", "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'"),
        MARK,
    ]
    return Answer(status, encoded(text), HTML, headers, points=0)


_PRACTICE = '<p class="note">This is a practice site. Nothing here reaches Atlassian.</p>'


def consent_page(number: str, pending: Pending, person: str, *, one_site: bool) -> Answer:
    """Ask the person: which app, what it may do, on which site, Accept or Cancel."""
    words = "".join(f"<li>{escape(SCOPE_WORDS.get(scope, scope))}</li>" for scope in pending.scopes)
    options = [(world.cloud_id, f"{world.site_name} ({world.site_host})") for world in pending.sites]
    if len(options) > 1 and not one_site:
        options.insert(0, ("", f"All {len(options)} sites"))
    choices = "".join(f'<option value="{escape(value)}">{escape(text)}</option>' for value, text in options)
    ids = "".join(f"<li><code>{escape(scope)}</code></li>" for scope in pending.scopes)
    return _page(
        f"{pending.app.name} asks for access",
        f"""{_PRACTICE}
<h1>{escape(pending.app.name)} asks for access to your account</h1>
<p class="soft">Signed in as {escape(person)}</p>
<form method="post">
<input type="hidden" name="request" value="{escape(number)}">
<label for="site">Use the app on</label><select id="site" name="site">{choices}</select>
<h2>It would be able to</h2><ul>{words}</ul>
<details><summary>Scopes as the app asked for them</summary><ul>{ids}</ul></details>
<p class="soft">Whatever you choose, you go back to <code>{escape(pending.redirect_uri)}</code></p>
<div class="row"><button class="main" name="decision" value="accept">Accept</button>
<button name="decision" value="cancel">Cancel</button></div></form>""",
    )


def refusal_page(error: str, description: str, status: int) -> Answer:
    """Tell the person that the app cannot go on; the app hears nothing."""
    title = "Something went wrong" if error == "invalid_scope" else "Hmm... We're having trouble logging you in."
    mend = "Check the app's client id and callback URL"
    if error == "invalid_scope":
        mend = "Enable the scopes on the app, or leave them out of the connection"
    elif error == "access_denied":
        mend = "Ask an administrator of the site"
    return _page(
        title,
        f"""{_PRACTICE}
<h1>{escape(title)}</h1>
<p>{escape(description)}</p><p class="soft">Error: <code id="error">{escape(error)}</code></p>
<p class="soft">You were not sent back to the app. {escape(mend)}, and start again.</p>""",
        status=status,
    )


def console_page(
    apps: Iterable[App],
    worlds: Iterable[World],
    *,
    saved: str = "",
    problem: str = "",
    typed: tuple[str, str] = ("", ""),
) -> Answer:
    """Show the apps as a small developer console whose callback URLs can be changed.

    ``typed`` is a client id and what somebody typed for it that could not be saved: it is shown again.
    """
    blocks = []
    for number, app in enumerate(apps):
        scopes = "".join(
            f"<li><code>{escape(s)}</code> <span class=soft>{escape(SCOPE_WORDS.get(s, ''))}</span></li>"
            for s in app.scopes
        )
        uris = typed[1] if problem and typed[0] == app.client_id else "\n".join(app.redirect_uris)
        blocks.append(
            f"""<section><h2>{escape(app.name)}</h2>
<dl><dt>Client ID</dt><dd><code>{escape(app.client_id)}</code></dd></dl>
<details><summary>Show the secret</summary><code>{escape(app.client_secret)}</code></details>
<form method="post"><input type="hidden" name="client_id" value="{escape(app.client_id)}">
<label for="uris{number}">Callback URLs, one a line</label>
<textarea id="uris{number}" name="redirect_uris" spellcheck="false">{escape(uris)}</textarea>
<div class="row"><button class="main">Save changes</button></div></form>
<details><summary>Permissions: {len(app.scopes)} scopes are enabled</summary><ul>{scopes}</ul></details></section>"""
        )
    sites = "".join(
        f"<li>{escape(w.site_name)} <span class=soft>{escape(w.site_host)}, cloud id</span> "
        f"<code>{escape(w.cloud_id)}</code></li>"
        for w in worlds
    )
    told = f'<p class="note" role="status">{escape(saved or problem)}</p>' if saved or problem else ""
    return _page(
        "Practice developer console",
        f"""{_PRACTICE}<h1>Practice developer console</h1>{told}
<p>Your OAuth 2.0 (3LO) apps. Copy the client id and the secret from here; a callback URL has to match the redirect URI
of the connection character for character, the port too.</p>{"".join(blocks)}
<section><h2>Sites</h2><ul>{sites}</ul></section>""",
        wide=True,
        status=400 if problem else 200,
    )
