"""Pages of the practice site that a person sees: their frame, the consent and the refusal."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping
from hashlib import sha256
from html import escape
from pathlib import Path

from spokekit.practice.exchange import HTML, Answer, encoded
from spokekit.practice.issued import Pending

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
    "report:personal-data": "Report whose personal data the app keeps",
    "ace:confluence": "ace:confluence (Atlassian publishes no meaning for this scope)",
}

# By this a Jupyter server that passes the pages on knows that it has not come to another program's port.
MARK = ("x-spokekit-practice", "page")

_STYLE = (Path(__file__).parent / "pages.css").read_text(encoding="utf-8")
_SCRIPT = (Path(__file__).parent / "pages.js").read_text(encoding="utf-8")
# The one script that runs in these pages, by its own sum. A Jupyter server that passes them on knows the sum as well.
SCRIPT_SUM = f"'sha256-{b64encode(sha256(_SCRIPT.encode()).digest()).decode()}'"


def page(title: str, body: str, *, status: int = 200, wide: bool = False, copies: bool = False) -> Answer:
    """Return a whole page; `body` is markup in which everything was escaped. With `copies` its copy buttons work."""
    script = f"<script>{_SCRIPT}</script>" if copies else ""
    allowed = f"script-src {SCRIPT_SUM}; " if copies else ""
    text = (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{_STYLE}</style></head>"
        f"<body><main{' class=wide' if wide else ''}>{body}</main>{script}</body></html>"
    )
    headers = [
        ("cache-control", "no-store"),
        ("referrer-policy", "no-referrer"),
        ("x-frame-options", "DENY"),
        (
            "content-security-policy",
            f"default-src 'none'; style-src 'unsafe-inline'; {allowed}base-uri 'none'",
        ),
        MARK,
    ]
    return Answer(status, encoded(text), HTML, headers, points=0)


def closed_page(*, used: bool = False) -> Answer:
    """Tell a browser that did not come by a link of the person who started the site."""
    why = "This link was used before, or is too old." if used else "This address alone does not open it."
    return page(
        "Not open",
        f"""{PRACTICE}<h1>This page opens from the notebook</h1>
<p>{why} The practice site shows its secrets to the person who started it alone, and lets a browser in by a link that
works once.</p><p class="soft">Open it from the notebook: <b>Console</b> in the line of steps, after <b>Look again</b>
there. Without a notebook, take the link that <code>spokekit practice</code> printed, or start it anew.</p>""",
        status=403,
    )


PRACTICE = '<p class="note">This is a practice site. Nothing here reaches Atlassian.</p>'


def consent_page(number: str, pending: Pending, person: str, *, one_site: bool, switch: str = "") -> Answer:
    """Ask the person: which app, what it may do, on which site, Accept or Cancel; with the form for another person."""
    # What only ServiceNow's form knows is not the first thing that a person reads.
    scopes = sorted(pending.scopes, key="ace:confluence".__eq__)
    words = "".join(f"<li>{escape(SCOPE_WORDS.get(scope, scope))}</li>" for scope in scopes)
    options = [(world.cloud_id, f"{world.site_name} ({world.site_host})") for world in pending.sites]
    if len(options) > 1 and not one_site:
        options.insert(0, ("", f"All {len(options)} sites"))
    choices = "".join(f'<option value="{escape(value)}">{escape(text)}</option>' for value, text in options)
    ids = "".join(f"<li><code>{escape(scope)}</code></li>" for scope in scopes)
    return page(
        f"{pending.app.name} asks for access",
        f"""{PRACTICE}
<h1>{escape(pending.app.name)} asks for access to your account</h1>
<p class="soft">Signed in as {escape(person)}</p>
<form method="post">
<input type="hidden" name="request" value="{escape(number)}">
<label for="site">Use the app on</label><select id="site" name="site">{choices}</select>
<h2>It would be able to</h2><ul>{words}</ul>
<details><summary>Scopes as the app asked for them</summary><ul>{ids}</ul></details>
<p class="soft">Whatever you choose, you go back to <code>{escape(pending.redirect_uri)}</code></p>
<div class="row"><button class="main" name="decision" value="accept">Accept</button>
<button name="decision" value="cancel">Cancel</button></div></form>{_not_you(switch)}""",
    )


def _not_you(switch: str) -> str:
    return f"<details><summary>Sign in as somebody else</summary>{switch}</details>" if switch else ""


def refusal_page(error: str, description: str, status: int, *, switch: str = "") -> Answer:
    """Tell the person that the app cannot go on; the app hears nothing."""
    title = "Something went wrong" if error == "invalid_scope" else "Hmm... We're having trouble logging you in."
    console = '<a href="console">practice developer console</a>'
    mend = f"Compare the connection's client ID and redirect URL with the app in the {console}"
    if error == "invalid_scope":
        mend = f"Enable the scopes on the app in the {console}, or leave them out of the connection"
    elif error == "access_denied":
        mend = f"Ask an administrator of the site, or look at the app in the {console}"
    return page(
        title,
        f"""{PRACTICE}
<h1>{escape(title)}</h1>
<p>{escape(description)}</p><p class="soft">Error: <code id="error">{escape(error)}</code></p>
<p class="soft">You were not sent back to the app. {mend}, and start again.</p>{_not_you(switch)}""",
        status=status,
    )
