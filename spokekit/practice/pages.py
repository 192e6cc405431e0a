"""Pages of the practice site that a person sees: consent, refusal, and the practice developer console."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from html import escape

from spokekit.practice._wire import HTML, Answer
from spokekit.practice.oauth import App, Pending
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

_STYLE = """
:root { color-scheme: light dark; --ink:#1d2433; --soft:#5a6579; --page:#f3f5f8; --card:#fff; --line:#d5dbe5;
  --main:#0b57c2; --on-main:#fff; --mark:#fff4d6; --on-mark:#533f03; }
@media (prefers-color-scheme: dark) { :root { --ink:#e4e8ef; --soft:#a3adbd; --page:#14181f; --card:#1e242e;
  --line:#39424f; --main:#7fb2ff; --on-main:#0c1421; --mark:#3b3113; --on-mark:#ffe3a3; } }
* { box-sizing:border-box }
body { margin:0; background:var(--page); color:var(--ink); font:16px/1.5 system-ui,sans-serif }
main { max-width:34rem; margin:2.5rem auto; padding:2rem; background:var(--card); border:1px solid var(--line); border-radius:10px }
main.wide { max-width:52rem }
h1 { font-size:1.35rem; line-height:1.3; margin:.2rem 0 1rem } h2 { font-size:1.05rem; margin:1.6rem 0 .4rem }
p,li { overflow-wrap:anywhere } ul { padding-left:1.2rem; margin:.4rem 0 1rem } li { margin:.25rem 0 }
.soft { color:var(--soft) } .note { background:var(--mark); color:var(--on-mark); padding:.5rem .8rem; border-radius:6px; margin:0 0 1rem }
label { display:block; font-weight:600; margin:.8rem 0 .3rem }
select,input[type=text],textarea { width:100%; padding:.5rem .6rem; font:inherit; color:inherit; background:var(--page);
  border:1px solid var(--line); border-radius:6px }
textarea { font-family:ui-monospace,monospace; font-size:.9rem; min-height:5rem }
.row { display:flex; gap:.7rem; margin-top:1.4rem }
button { font:inherit; padding:.5rem 1.3rem; border-radius:6px; border:1px solid var(--line); background:transparent; color:inherit; cursor:pointer }
button.main { background:var(--main); border-color:var(--main); color:var(--on-main); font-weight:600 }
button:focus-visible,select:focus-visible,input:focus-visible,textarea:focus-visible { outline:3px solid var(--main); outline-offset:2px }
code { font-family:ui-monospace,monospace; font-size:.9em } dt { font-weight:600; margin-top:.6rem } dd { margin:0; overflow-wrap:anywhere }
section { border-top:1px solid var(--line); margin-top:1.6rem; padding-top:.4rem }
details summary { cursor:pointer; padding:.2rem 0 }
"""


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
    ]
    return Answer(status, text.encode(), HTML, headers, points=0)


_PRACTICE = '<p class="note">This is a practice site on your own machine. Nothing here reaches Atlassian.</p>'


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
    return _page(
        "Hmm... We're having trouble logging you in.",
        f"""{_PRACTICE}
<h1>Hmm... We're having trouble logging you in.</h1>
<p>{escape(description)}</p><p class="soft">Error: <code id="error">{escape(error)}</code></p>
<p class="soft">You were not sent back to the app. Check its client id and callback URL, and start again.</p>""",
        status=status,
    )


def console_page(apps: Iterable[App], worlds: Iterable[World], *, saved: str = "", problem: str = "") -> Answer:
    """Show the apps as a small developer console whose callback URLs can be changed."""
    blocks = []
    for number, app in enumerate(apps):
        scopes = "".join(
            f"<li><code>{escape(s)}</code> <span class=soft>{escape(SCOPE_WORDS.get(s, ''))}</span></li>"
            for s in app.scopes
        )
        blocks.append(
            f"""<section><h2>{escape(app.name)}</h2>
<dl><dt>Client ID</dt><dd><code>{escape(app.client_id)}</code></dd></dl>
<details><summary>Show the secret</summary><code>{escape(app.client_secret)}</code></details>
<form method="post"><input type="hidden" name="client_id" value="{escape(app.client_id)}">
<label for="uris{number}">Callback URLs, one a line</label>
<textarea id="uris{number}" name="redirect_uris" spellcheck="false">{escape(chr(10).join(app.redirect_uris))}</textarea>
<div class="row"><button class="main">Save changes</button></div></form>
<details><summary>Permissions: {len(app.scopes)} scopes are enabled</summary><ul>{scopes}</ul></details></section>"""
        )
    sites = "".join(
        f"<li>{escape(w.site_name)} <span class=soft>{escape(w.site_host)}, cloud id</span> <code>{escape(w.cloud_id)}</code></li>"
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
