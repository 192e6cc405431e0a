"""A browser for the practice site's consent page, where nobody is there to click."""

from __future__ import annotations

import re
from collections.abc import Callable
from html import unescape
from typing import Literal
from urllib.parse import urlsplit

from spokekit._http import client
from spokekit._secret import Secret
from spokekit.errors import ConsentError


def play_browser(
    address: Secret,
    decision: Literal["accept", "cancel"] = "accept",
    *,
    site: str | None = None,
    paste: Callable[[Secret], None] | None = None,
) -> int:
    """Open the consent page of a practice site, press a button, and follow the redirect back; returns its status.

    Where nothing listens for the redirect, ``paste`` gets its address instead, as from a person who copies it from the
    address bar of the page that did not load; the status is then 0.

    Raises `ConsentError` when the page shows an error and sends nobody back.
    """
    with client(address.reveal(), follow_redirects=False, timeout=60) as browser:
        page = browser.get(address.reveal())
        # The Jupyter server's start page leads to the consent page.
        while page.status_code in (302, 303, 307) and "code=" not in page.headers["location"]:
            if "error=" in urlsplit(page.headers["location"]).query:
                break
            page = browser.get(page.headers["location"])
        if not page.is_redirect:
            number = re.search(r'name="request" value="([^"]+)"', page.text)
            if number is None:
                words = re.search(r"</h1>\s*<p>([^<]*)", page.text)
                raise ConsentError(unescape(words[1]) if words else "The consent page shows an error.")
            first = re.search(r'<option value="([^"]*)"', page.text)
            chosen = site if site is not None else unescape(first[1]) if first else ""
            form = {"request": unescape(number[1]), "decision": decision, "site": chosen}
            page = browser.post(str(page.url), data=form)
        target = page.headers.get("location")
        if target is None:
            raise ConsentError("The practice site did not send the browser back.")
        if paste is not None:
            paste(Secret(target))
            return 0
        return int(browser.get(target).status_code)
