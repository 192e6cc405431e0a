"""The page that the browser shows after the callback: calm, escaped, kept nowhere."""

from __future__ import annotations

import secrets
from typing import Literal

from spokekit._foreign import markup

Kind = Literal["done", "declined", "refused", "info"]

_TITLES: dict[Kind, str] = {
    "done": "Received",
    "declined": "Not authorised",
    "refused": "Not accepted",
    "info": "Callback URL",
}

_STYLE = """
:root{color-scheme:light dark}
body{font:16px/1.5 system-ui,sans-serif;margin:0;display:grid;place-items:center;min-height:100vh;
background:#f7f8f9;color:#172b4d}
.product{margin:0 0 1rem;font-weight:600;letter-spacing:.01em;color:#44546f}
main{max-width:34rem;margin:1rem;padding:2rem 2.25rem;background:#fff;border:1px solid #dcdfe4;border-radius:8px}
h1{font-size:1.35rem;margin:0 0 .5rem}p{margin:.5rem 0 0}code{word-break:break-all;font-size:.9em;user-select:all}
@media(prefers-color-scheme:dark){body{background:#161a1d;color:#dee4ea}main{background:#22272b;border-color:#454f59}
.product{color:#9fadbc}}
"""

# Takes code and state out of the address bar, so that neither history nor a shared screen shows them. A page that says
# "not accepted" leaves them there: the person may have to paste the address where it is waited for.
_SCRIPT = "history.replaceState(null,'',location.pathname);"


def answer_page(kind: Kind, *sentences: str, address: str | None = None) -> tuple[str, dict[str, str]]:
    """Return the page and its headers. `sentences` are plain text; `address` is shown to be copied.

    The page names spokekit, since the person comes from pages of Atlassian's and may have many tabs open.
    """
    nonce = secrets.token_urlsafe(16)
    title = markup(_TITLES[kind])
    words = "".join(f"<p>{markup(sentence)}</p>" for sentence in sentences)
    if address is not None:
        words += f"<p><code>{markup(address)}</code></p>"
    page = (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{title} - spokekit</title>'
        '<meta name="viewport" content="width=device-width"><link rel="icon" href="data:,">'
        f'<style nonce="{nonce}">{_STYLE}</style></head><body><main><p class="product">spokekit</p>'
        f'<div role="status"><h1>{title}</h1>{words}</div></main>'
        f'<script nonce="{nonce}">{"" if kind == "refused" else _SCRIPT}</script></body></html>'
    )
    policy = (
        f"default-src 'none'; style-src 'nonce-{nonce}'; script-src 'nonce-{nonce}'; img-src data:; "
        "frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
    )
    return page, {
        "Content-Type": "text/html; charset=utf-8",
        "Cache-Control": "no-store",
        "Referrer-Policy": "no-referrer",
        "X-Content-Type-Options": "nosniff",
        "Content-Security-Policy": policy,
    }
