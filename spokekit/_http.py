"""What every request of ours shares, whoever sends it: the client, why nobody could be reached, and foreign text.

A client is made here and nowhere else: with the proxies and certificates of this computer, and never a proxy for a
loopback address. Why a connection did not come about is told apart by cause, each with a next step of its own.
"""

from __future__ import annotations

import codecs
import errno
import json
import re
import socket
import ssl
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from spokekit._secret import scrub
from spokekit._surroundings import Proxy, is_loopback, proxy_for, tls, trusted
from spokekit._words import clock
from spokekit.errors import SetupError, TransportError

if TYPE_CHECKING:
    from collections.abc import Iterator

    import httpx2

# Control characters, direction marks and what has no width: a terminal obeys them, and they turn a sentence round.
_UNSEEN = re.compile(r"[\x00-\x1f\x7f-\x9f\u00ad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\s]+")
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
    """Return foreign text in one line, without control and direction signs, shortened, and without secrets."""
    words = _UNSEEN.sub(" ", scrub(str(text).encode("utf-8", "replace").decode())).strip()
    return words if len(words) <= most else words[: most - 1] + "…"


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


def _ways(addresses: tuple[str, ...], transport: type[Any], limits: Any) -> dict[str, Any]:
    """Return what a client takes so that each of `addresses` is reached as this computer's settings say."""
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
    return {"verify": context, "mounts": mounts}


def client(*addresses: str, transport: httpx2.BaseTransport | None = None, **options: Any) -> httpx2.Client:
    """Return a client that reaches `addresses` through the proxies, and with the certificates, of this computer.

    Raises `SetupError` where a setting of this computer cannot be used.
    """
    import httpx2

    ways = (
        {"transport": transport}
        if transport is not None
        else _ways(addresses, httpx2.HTTPTransport, options.get("limits"))
    )
    return httpx2.Client(trust_env=False, **ways, **options)


def async_client(
    *addresses: str, transport: httpx2.AsyncBaseTransport | None = None, **options: Any
) -> httpx2.AsyncClient:
    """Do the same as `client`, for the I/O thread."""
    import httpx2

    ways = (
        {"transport": transport}
        if transport is not None
        else _ways(addresses, httpx2.AsyncHTTPTransport, options.get("limits"))
    )
    return httpx2.AsyncClient(trust_env=False, **ways, **options)


# -- why nobody was reached --------------------------------------------------------------------------------------------


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    """Give an exception and all that stand behind it, those of a group too."""
    seen: set[int] = set()
    waiting = [error]
    while waiting:
        one = waiting.pop(0)
        if one is None or id(one) in seen:
            continue
        seen.add(id(one))
        yield one
        waiting += [one.__cause__, one.__context__, *getattr(one, "exceptions", ())]


# OpenSSL's numbers of what is wrong with a certificate (x509_vfy.h).
_NOT_YET, _EXPIRED, _OTHER_NAME, _OTHER_ADDRESS = 9, 10, 62, 64


def unreachable(error: BaseException, address: str, endpoint: str) -> TransportError | None:
    """Return why no connection to `address` came about, by cause; None where the exception is of another kind.

    ``lasting`` is set where trying again would end the same.
    """
    import httpx2

    parts = urlsplit(address)
    host, where = parts.hostname or "", parts.netloc.rpartition("@")[2]
    try:
        proxy = None if is_loopback(host) else proxy_for(address)
    except SetupError:
        proxy = None
    more: dict[str, Any] = {"endpoint": endpoint}
    causes = list(_causes(error))
    refused = next((one for one in causes if type(one).__name__ == "ProxyError"), None)
    if refused is not None:
        return _proxy_refused(str(refused), proxy or Proxy("//this-network", "HTTPS_PROXY"), where, more)
    # An end in the middle of the handshake says nothing about certificates.
    cut = (ssl.SSLWantReadError, ssl.SSLEOFError, ssl.SSLZeroReturnError, ssl.SSLSyscallError)
    wrong = next((one for one in causes if isinstance(one, ssl.SSLError) and not isinstance(one, cut)), None)
    if wrong is not None:
        return _not_trusted(wrong, host, where, more)
    through = f"The proxy {proxy.place}, named in {proxy.variable}," if proxy else ""
    if any(isinstance(one, socket.gaierror) for one in causes):
        return TransportError(
            f"{through} cannot be found: its name does not resolve."
            if through
            else f"The name {host} does not resolve to an address.",
            likely="The name is mistyped, or this computer has no network, no DNS or needs its company's VPN.",
            hint=f"Correct {proxy.variable}, or take it away."
            if proxy
            else "Check the network (VPN?) and the connection's URLs, then try again.",
            **more,
        )
    if any(isinstance(one, ConnectionRefusedError) for one in causes):
        if not through and is_loopback(host):
            return TransportError(
                f"Nobody listens at {where}.",
                likely="The practice site is not running, or runs on another port.",
                hint="Start it again (spokekit practice), or correct the connection URL.",
                **more,
            )
        return TransportError(
            f"{through} is not listening." if through else f"Nobody listens at {where}.",
            likely="The proxy was moved or is off." if through else "The port or the host in the address is wrong.",
            hint=f"Correct {proxy.variable}, or take it away where no proxy is needed."
            if proxy
            else "Check the connection's URLs, then try again.",
            **more,
        )
    if any(isinstance(one, OSError) and one.errno in _NO_WAY for one in causes):
        return TransportError(
            f"There is no way from this computer to {proxy.place if proxy else where}.",
            likely="The network is off, or a firewall forbids it.",
            hint="Connect to the network (VPN?), then try again.",
            **more,
        )
    if any(isinstance(one, httpx2.ConnectTimeout) for one in causes):
        return TransportError(
            f"{through or where} does not answer: no connection in time.",
            likely="A firewall swallows it: many companies let the way out be through their proxy only.",
            hint="Check the network, and whether HTTPS_PROXY has to be set, then try again.",
            **more,
        )
    if any(isinstance(one, (ConnectionResetError, BrokenPipeError, *cut)) for one in causes):
        return TransportError(
            f"The connection to {where} was reset{f' by the proxy {proxy.place}' if proxy else ''}.",
            likely="A firewall or a proxy between does not let it through, or the service restarts.",
            hint="Try again; if it stays, ask whoever runs the network.",
            **more,
        )
    if not any(isinstance(one, httpx2.ConnectError | httpx2.ProxyError) for one in causes):
        return None
    here = not through and is_loopback(host)
    return TransportError(
        f"{through or f'{parts.scheme}://{where}'} does not answer.",
        likely="The practice site is not running, or runs on another port."
        if here
        else "There is no network, a proxy or firewall stands between, or the address is wrong.",
        hint="Start it again (spokekit practice), or correct the connection URL."
        if here
        else "Check the network and the connection's URLs, then try again.",
        **more,
    )


_NO_WAY = frozenset({errno.ENETUNREACH, errno.EHOSTUNREACH, errno.ENETDOWN, errno.EACCES, errno.EPERM})


def _proxy_refused(said: str, proxy: Proxy, where: str, more: dict[str, Any]) -> TransportError:
    variable = proxy.variable
    status = re.match(r"\s*(\d{3})", said)
    number = int(status[1]) if status else 0
    if number == 407 or "auth" in said.lower():
        return TransportError(
            f"The proxy {proxy.place} wants a name and a password{f' ({number})' if number else ''}.",
            likely=f"The address in {variable} holds none, or wrong ones.",
            hint=f"Write {variable} as http://NAME:PASSWORD@{proxy.place}, with signs percent-encoded.",
            lasting=True,
            **more,
        )
    if 400 <= number < 500:
        return TransportError(
            f"The proxy {proxy.place} does not let anything through to {where} ({clean(said, 60)}).",
            likely="The company's rules do not know the address.",
            hint=f"Ask whoever runs the proxy to allow {where}, or name another proxy in {variable}.",
            lasting=True,
            **more,
        )
    return TransportError(
        f"The proxy {proxy.place} could not reach {where} ({clean(said, 60)}).",
        likely="The proxy has no way there at the moment, or does not know the name.",
        hint=f"Try again; if it stays, ask whoever runs the proxy, or correct {variable}.",
        **more,
    )


def _not_trusted(wrong: ssl.SSLError, host: str, where: str, more: dict[str, Any]) -> TransportError:
    number = getattr(wrong, "verify_code", None)
    more = {"lasting": True, **more}
    if number in (_EXPIRED, _NOT_YET):
        return TransportError(
            f"The certificate of {host} {'has expired' if number == _EXPIRED else 'is not valid yet'}, by this "
            "computer's clock.",
            likely=f"The clock is wrong (it says {clock(datetime.now(UTC))}, {datetime.now().astimezone():%Y-%m-%d}), "
            "or the certificate really was not renewed.",
            hint="Set date and time of this computer right, then try again.",
            **more,
        )
    if number in (_OTHER_NAME, _OTHER_ADDRESS):
        return TransportError(
            f"The certificate that {where} shows is made out to another name than {host}.",
            likely="The address is mistyped, or somebody else answers for it: a captive portal, a wrong DNS entry.",
            hint="Check the connection's URLs; on a guest network, sign in to it first.",
            **more,
        )
    if isinstance(wrong, ssl.SSLCertVerificationError):
        chosen = trusted()
        here = f"{chosen[0]} ({chosen[1]})" if chosen else "this computer's own list"
        return TransportError(
            f"The certificate of {host} is not signed by anybody whom {here} trusts.",
            likely="A company's proxy or a virus scanner opens encrypted traffic and signs it anew.",
            hint="Ask for the company's root certificate as a PEM file, and name the file in SSL_CERT_FILE.",
            **more,
        )
    reason = str(getattr(wrong, "reason", "") or "")
    if reason in ("WRONG_VERSION_NUMBER", "HTTP_REQUEST", "UNKNOWN_PROTOCOL", "RECORD_LAYER_FAILURE"):
        return TransportError(
            f"{where} does not speak TLS.",
            likely="Something that speaks plain http listens there, or a proxy answers in its place.",
            hint="Check the port in the connection's URLs, and the proxy settings.",
            **more,
        )
    return TransportError(
        f"No encrypted connection to {where} came about ({clean(reason or type(wrong).__name__, 60)}).",
        likely="The two sides have no way of encrypting in common, or something between interferes.",
        hint="Try again from another network; if it stays, ask whoever runs the network.",
        **(more | {"lasting": False}),
    )
