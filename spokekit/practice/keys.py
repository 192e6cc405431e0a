"""Who may steer a practice site or see its secrets: whoever has its key, and browsers let in by a link made with it.

The key is made when the site starts and told in the site's JSON line, so only processes of the person who started it
have it (a pipe, an environment, a 0600 file). A program sends it in the header ``X-Practice-Key``. A browser comes by a
link whose query says ``open=TIME.NONCE.SUM``: *TIME* is POSIX seconds, *NONCE* any letters and digits, *SUM* the
hexadecimal HMAC-SHA-256 of ``TIME.NONCE`` under the key. Such a link opens once, for twelve hours from its time; the
browser gets a cookie that admits it to the pages, and to nothing else, until the site stops.
"""

from __future__ import annotations

import hmac
import secrets
import time
from collections.abc import Mapping
from hashlib import sha256
from http.cookies import CookieError, SimpleCookie

HEADER = "x-practice-key"
TICKET = "open"
LINK_SECONDS = 43_200
_LONGEST = 200


class Keys:
    """The key of one practice site, the links made with it, and the browsers that came by one.

    Parameters
    ----------
    key:
        The key; a new one when empty.
    """

    def __init__(self, key: str = "") -> None:
        self.key = key or secrets.token_urlsafe(32)
        self._used: dict[str, float] = {}
        self._browsers: set[str] = set()

    def ticket(self) -> str:
        """Return a new value for ``open=`` in the query of a page's address."""
        body = f"{int(time.time())}.{secrets.token_hex(8)}"
        return f"{body}.{self._sum(body)}"

    def _sum(self, body: str) -> str:
        return hmac.new(self.key.encode(), body.encode("utf-8", "surrogatepass"), sha256).hexdigest()

    def has_key(self, headers: Mapping[str, str]) -> bool:
        """Whether a request has the key in its header."""
        return same(headers.get(HEADER, ""), self.key)

    def admits(self, headers: Mapping[str, str], port: int) -> bool:
        """Whether a request may see the pages: it has the key, or the cookie of a browser that came by a link."""
        if self.has_key(headers):
            return True
        try:
            cookie = SimpleCookie(headers.get("cookie", "")).get(_cookie_name(port))
        except CookieError:
            return False
        return cookie is not None and any(same(cookie.value, one) for one in self._browsers)

    def open(self, ticket: str, port: int) -> str:
        """Return the ``Set-Cookie`` for a browser that comes by a link; empty when the link is wrong, old or used."""
        body, _, told = ticket[:_LONGEST].rpartition(".")
        at, now = body.partition(".")[0], time.time()
        if not same(told, self._sum(body)) or not (at.isascii() and at.isdigit()):
            return ""
        if not -60 <= now - int(at) <= LINK_SECONDS or body in self._used:
            return ""
        self._used = {one: when for one, when in self._used.items() if now - when <= LINK_SECONDS}
        self._used[body] = now
        browser = secrets.token_urlsafe(32)
        self._browsers.add(browser)
        # Not strict: the link stands in a page of another origin, Jupyter's. Forms from there are refused by origin.
        return f"{_cookie_name(port)}={browser}; Path=/; HttpOnly; SameSite=Lax; Max-Age={LINK_SECONDS}"


def _cookie_name(port: int) -> str:
    # A browser keeps one jar for all ports of a host.
    return f"spokekit-practice-{port}"


def same(one: str, other: str) -> bool:
    """Compare two secrets in constant time; an empty one is nobody's."""
    # What a stranger sends may hold anything that JSON can, half a surrogate pair included.
    first, second = one.encode("utf-8", "surrogatepass"), other.encode("utf-8", "surrogatepass")
    return bool(second) and hmac.compare_digest(first, second)
