"""What every request of ours shares, whoever sends it: the client, and foreign text.

A client is made here and nowhere else: with the proxies and certificates of this computer, and never a proxy for a
loopback address. Why a connection did not come about is told in `_unreachable`.
"""

from __future__ import annotations

import codecs
import json
import re
import ssl
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from spokekit._foreign import shown
from spokekit._secret import scrub
from spokekit._surroundings import is_loopback, proxy_for, tls
from spokekit.errors import SetupError

if TYPE_CHECKING:
    import httpx2

# The longest first: the mark of UTF-32 begins with that of UTF-16.
_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)


def without_mark(body: bytes) -> bytes:
    """Return JSON as UTF-8 without a byte order mark, which some proxies write before it; no damage (RFC 8259, 8.1)."""
    for mark, encoding in _MARKS:
        if body.startswith(mark):
            rest = body[len(mark) :]
            return rest if encoding == "utf-8" else rest.decode(encoding, "replace").encode()
    return body


def json_of(body: bytes) -> Any:
    """Return the decoded body, or None when it is no JSON."""
    try:
        return json.loads(without_mark(body))
    except (ValueError, RecursionError):
        return None


def is_web_page(body: bytes) -> bool:
    """Tell whether a body is HTML or XML: from somebody between, where data was asked for."""
    return without_mark(body).lstrip()[:1] == b"<"


def clean(text: object, most: int = 200) -> str:
    """Return foreign text as it is shown (`_foreign.shown`), in one line, shortened, and without secrets."""
    return shown(re.sub(r"[ \t\r\n\f\v\u00a0]+", " ", scrub(str(text))).strip(), most)


def retry_after(headers: Any, now: datetime) -> float | None:
    """Return the seconds of ``Retry-After`` (a number or an HTTP date; first with ``Beta-``), or None without one."""
    for name in ("retry-after", "beta-retry-after"):
        text = (headers.get(name) or "").strip()
        if not text:
            continue
        if re.fullmatch(r"\d{1,9}(\.\d+)?", text):
            return float(text)
        try:
            moment = parsedate_to_datetime(text)
            return max(0.0, (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() - now.timestamp())
        except (TypeError, ValueError, OverflowError):
            continue
    return None


_TAGS = re.compile(rb"(?is)<(script|style)\b.*?</\1\s*>|<[^>]*>")
_TITLE = re.compile(rb"(?is)<(title|h1)[^>]*>(.*?)</\1\s*>")


def page_words(body: bytes) -> str:
    """Return what a web page calls itself, as one short line: its title, else its first words."""
    from html import unescape

    start = body[:20_000]
    found = _TITLE.search(start)
    words = _TAGS.sub(b" ", found[2] if found else start)
    return clean(unescape(words.decode("utf-8", "replace")), 120)


# -- the client --------------------------------------------------------------------------------------------------------


class Trail:
    """How far a request through a proxy got, noted by the HTTP library's trace; the request holds it.

    What it holds is sent to the service only when it is ``through``.
    """

    # One that goes over a connection which is there already tells of no beginning.
    through = True

    def __call__(self, name: str, _about: Any) -> None:
        if name.endswith(".connect_tcp.started"):
            self.through = False
        elif name in ("proxy.start_tls.started", "socks.start_tls.started"):
            # The proxy has let the connection through: encryption up to the service begins.
            self.through = True


class _AsyncTrail(Trail):
    async def __call__(self, name: str, about: Any) -> None:  # type: ignore[override]
        super().__call__(name, about)


def _begin(request: httpx2.Request) -> None:
    request.extensions["trace"] = Trail()


async def _begin_async(request: httpx2.Request) -> None:
    request.extensions["trace"] = _AsyncTrail()


def _ways(addresses: tuple[str, ...], given: Any, transport: type[Any], limits: Any, begin: Any) -> dict[str, Any]:
    """Return what a client takes so that each of `addresses` is reached as this computer's settings say.

    A transport that is `given` reaches all of them.
    """
    if given is not None:
        return {"transport": given}
    if all(address.startswith("http://") and is_loopback(urlsplit(address).hostname) for address in addresses):
        # Nothing is encrypted on the way, so what this computer trusts does not matter.
        return {"verify": ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)}
    import httpx2

    context = tls()
    mounts = {}
    for address in addresses:
        proxy = proxy_for(address)
        if proxy is not None:
            parts = urlsplit(address)
            more = {} if limits is None else {"limits": limits}
            try:
                mounts[f"{parts.scheme}://{parts.netloc}"] = transport(
                    proxy=proxy.address, verify=context, trust_env=False, **more
                )
            except (ValueError, ImportError, OSError, httpx2.InvalidURL):
                raise SetupError(
                    f"{proxy.variable} names a proxy ({proxy.place}) that cannot be used.",
                    setting=proxy.variable,
                    hint="Write it as http://proxy.example.com:3128, with signs of its password percent-encoded.",
                ) from None
    return {"verify": context, "mounts": mounts, **({"event_hooks": {"request": [begin]}} if mounts else {})}


def client(*addresses: str, transport: httpx2.BaseTransport | None = None, **options: Any) -> httpx2.Client:
    """Return a client that reaches `addresses` through the proxies, and with the certificates, of this computer.

    Raises `SetupError` where a setting of this computer cannot be used.
    """
    import httpx2

    ways = _ways(addresses, transport, httpx2.HTTPTransport, options.get("limits"), _begin)
    return httpx2.Client(trust_env=False, **ways, **options)


def async_client(
    *addresses: str, transport: httpx2.AsyncBaseTransport | None = None, **options: Any
) -> httpx2.AsyncClient:
    """Do the same as `client`, for the I/O thread."""
    import httpx2

    ways = _ways(addresses, transport, httpx2.AsyncHTTPTransport, options.get("limits"), _begin_async)
    return httpx2.AsyncClient(trust_env=False, **ways, **options)
