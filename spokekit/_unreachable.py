"""Why nobody was reached, told apart by cause (name, port, way, certificate, proxy), each with its own next step."""

from __future__ import annotations

import errno
import re
import socket
import ssl
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from spokekit._http import Trail, clean
from spokekit._surroundings import Proxy, is_loopback, proxy_for, trusted
from spokekit._words import clock
from spokekit.errors import SetupError, TransportError

if TYPE_CHECKING:
    from collections.abc import Iterator

_NO_WAY = frozenset({errno.ENETUNREACH, errno.EHOSTUNREACH, errno.ENETDOWN, errno.EACCES, errno.EPERM})
# An end in the middle of the handshake says nothing about certificates.
_CUT = (ssl.SSLWantReadError, ssl.SSLEOFError, ssl.SSLZeroReturnError, ssl.SSLSyscallError)
# OpenSSL's numbers of what is wrong with a certificate (x509_vfy.h).
_NOT_YET, _EXPIRED, _OTHER_NAME, _OTHER_ADDRESS = 9, 10, 62, 64
_NO_SIGNER = frozenset({2, 18, 19, 20, 21, 27})
_NO_TLS = frozenset({"WRONG_VERSION_NUMBER", "HTTP_REQUEST", "UNKNOWN_PROTOCOL", "RECORD_LAYER_FAILURE"})
_NO_NAME = "The name is mistyped, or this computer has no network, no DNS or needs its company's VPN."
_PRACTICE_SITE = (
    "The practice site is not running, or runs on another port.",
    "Start it again (spokekit practice), or correct the connection URL.",
)
_WRONG_PLACE = ("The port or the host in the address is wrong.", "Check the connection's URLs, then try again.")
_NO_NETWORK = (
    "There is no network, a proxy or firewall stands between, or the address is wrong.",
    "Check the network and the connection's URLs, then try again.",
)
# Trying again would end the same.
_lasting = partial(TransportError, lasting=True)


def failures() -> tuple[type[Exception], ...]:
    """Return what the HTTP library raises when an exchange fails on the way; some of it comes as it was met."""
    import httpx2

    kinds: tuple[type[Exception], ...] = (httpx2.TransportError, OSError)
    try:
        from socksio import SOCKSError
    except ImportError:
        return kinds
    return (*kinds, SOCKSError)


def never_sent(error: BaseException) -> bool:
    """Tell whether the service cannot have got anything of the request that ended in `error`."""
    import httpx2

    if isinstance(error, httpx2.ConnectError | httpx2.ConnectTimeout | httpx2.ProxyError) or _of_socks(error):
        return True
    trail = _trail(error)
    return trail is not None and not trail.through


def unreachable(error: BaseException, address: str, endpoint: str) -> TransportError | None:
    """Return why no connection to `address` came about, by cause; None where the exception is of another kind.

    ``lasting`` is set where trying again would end the same.
    """
    told = _why(error, address, endpoint)
    if told is not None:
        told.endpoint = endpoint
    return told


def _why(error: BaseException, address: str, endpoint: str) -> TransportError | None:
    import httpx2

    parts = urlsplit(address)
    host, where = parts.hostname or "", parts.netloc.rpartition("@")[2]
    causes = list(_causes(error))
    proxy = _proxy(address)
    trail = _trail(error)
    if any(map(_refusal, causes)) or (proxy is not None and trail is not None and not trail.through):
        return _at_the_proxy(causes, proxy or Proxy("http://this-network", "HTTPS_PROXY"), where)
    if (wrong := _wrong_tls(causes)) is not None:
        return _no_encryption(wrong, host, where)
    if _any(causes, socket.gaierror):
        return TransportError(
            f"The name {host} does not resolve to an address.",
            likely=_NO_NAME,
            hint="Check the network (VPN?) and the connection's URLs, then try again.",
        )
    by = f" by the proxy {proxy.place} or beyond it" if proxy else ""
    here = is_loopback(host)
    if _any(causes, ConnectionRefusedError):
        likely, hint = _PRACTICE_SITE if here else _WRONG_PLACE
        return TransportError(f"Nobody listens at {where}.", likely=likely, hint=hint)
    if (told := _no_way(causes, where)) is not None:
        return told
    if _any(causes, (ConnectionResetError, BrokenPipeError, *_CUT)):
        late = "" if never_sent(error) else f" before the answer to {endpoint} came"
        return TransportError(
            f"The connection to {where} was reset{by}{late}.",
            likely="A firewall or a proxy between does not let it through, or the service restarts.",
            hint="Try again; if it stays, ask whoever runs the network.",
        )
    if not _any(causes, httpx2.ConnectError):
        return None
    likely, hint = _PRACTICE_SITE if here else _NO_NETWORK
    return TransportError(f"{parts.scheme}://{where} does not answer.", likely=likely, hint=hint)


def _no_way(causes: list[BaseException], where: str) -> TransportError | None:
    import httpx2

    if any(isinstance(one, OSError) and one.errno in _NO_WAY for one in causes):
        return TransportError(
            f"There is no way from this computer to {where}.",
            likely="The network is off, or a firewall forbids it.",
            hint="Connect to the network (VPN?), then try again.",
        )
    if _any(causes, httpx2.ConnectTimeout):
        return TransportError(
            f"{where} does not answer: no connection in time.",
            likely="A firewall swallows it: many companies let the way out be through their proxy only.",
            hint="Check the network, and whether HTTPS_PROXY has to be set, then try again.",
        )
    return None


# -- what the exception holds ------------------------------------------------------------------------------------------


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


def _any(causes: list[BaseException], kinds: Any) -> bool:
    return any(isinstance(one, kinds) for one in causes)


def _wrong_tls(causes: list[BaseException]) -> ssl.SSLError | None:
    return next((one for one in causes if isinstance(one, ssl.SSLError) and not isinstance(one, _CUT)), None)


def _of_socks(one: BaseException) -> bool:
    return type(one).__module__.startswith("socksio")


def _refusal(one: BaseException) -> bool:
    return type(one).__name__ == "ProxyError" or _of_socks(one)


def _trail(error: BaseException) -> Trail | None:
    """Return how far the request got that ended in `error`; None where it went through no proxy."""
    try:
        trail = error.request.extensions.get("trace")  # type: ignore[attr-defined]
    except (AttributeError, RuntimeError):
        return None
    return trail if isinstance(trail, Trail) else None


def _proxy(address: str) -> Proxy | None:
    try:
        return proxy_for(address)
    except SetupError:
        return None


# -- proxies -----------------------------------------------------------------------------------------------------------


def _at_the_proxy(causes: list[BaseException], proxy: Proxy, where: str) -> TransportError:
    """Return why the proxy itself is not reached, or lets nothing through."""
    named, variable = f"The proxy {proxy.place}, named in {proxy.variable},", proxy.variable
    refused = next((one for one in causes if type(one).__name__ == "ProxyError"), None)
    if refused is not None:
        return _proxy_refused(str(refused), proxy, where)
    if any(map(_of_socks, causes)):
        return _lasting(
            f"{named} does not speak SOCKS.",
            likely="It is an http proxy, or the port is another program's.",
            hint=f"Write {variable} as http://{proxy.place}, or correct the port.",
        )
    if (wrong := _wrong_tls(causes)) is not None:
        if str(getattr(wrong, "reason", "")) not in _NO_TLS:
            return _no_encryption(wrong, f"the proxy {proxy.host}", f"the proxy {proxy.place}", variable)
        return _lasting(
            f"{named} does not speak TLS, and {variable} says https://.",
            likely="Most proxies are spoken to in plain http; what goes through them is encrypted all the same.",
            hint=f"Write {variable} as http://{proxy.place}.",
        )
    if _any(causes, socket.gaierror):
        return TransportError(
            f"{named} cannot be found: its name does not resolve.",
            likely=_NO_NAME,
            hint=f"Correct {variable}, or take it away.",
        )
    if _any(causes, ConnectionRefusedError):
        return TransportError(
            f"{named} is not listening.",
            likely="The proxy was moved or is off.",
            hint=f"Correct {variable}, or take it away where no proxy is needed.",
        )
    if (told := _no_way(causes, proxy.place)) is not None:
        return told
    return TransportError(
        f"{named} ends the connection before it lets anything through to {where}.",
        likely="It is spoken to in another way (https:// or SOCKS instead of http://), or does not take this computer.",
        hint=f"Ask whoever runs the proxy for its address, and correct {variable}.",
    )


def _proxy_refused(said: str, proxy: Proxy, where: str) -> TransportError:
    variable = proxy.variable
    said = said.partition("could not connect: ")[2] or said
    status = re.match(r"\s*(\d{3})", said)
    number, quoted = int(status[1]) if status else 0, clean(said, 60).rstrip(".")
    ask = f"ask whoever runs the proxy, or correct {variable}."
    if number in (401, 407) or (not number and ("auth" in said.lower() or "password" in said.lower())):
        return _lasting(
            f"The proxy {proxy.place} wants a name and a password{f' ({number})' if number else ''}.",
            likely=f"The address in {variable} holds none, or wrong ones.",
            hint=f"Write {variable} as {proxy.scheme}://NAME:PASSWORD@{proxy.place}, with signs percent-encoded.",
        )
    if number == 511 or 300 <= number < 400:
        return _lasting(
            f"The proxy {proxy.place} wants somebody to sign in first ({quoted}).",
            likely="A guest network or a company's gateway shows a page to every new computer.",
            hint="Open any page in a browser, sign in there, then try again.",
        )
    if number in (400, 404, 405, 501):
        return _lasting(
            f"What answers at {proxy.place} is no proxy for encrypted requests ({quoted}).",
            likely=f"{variable} names a web server, or the wrong port.",
            hint=f"Ask whoever runs the network for the proxy's address, and correct {variable}.",
        )
    if (400 <= number < 500 and number not in (408, 429)) or "not allowed" in said.lower():
        return _lasting(
            f"The proxy {proxy.place} does not let anything through to {where} ({quoted}).",
            likely="The company's rules do not know the address.",
            hint=f"Ask whoever runs the proxy to allow {where}, or name another proxy in {variable}.",
        )
    return TransportError(
        f"The proxy {proxy.place} could not reach {where} ({quoted}).",
        likely="The proxy has no way there at the moment, or does not know the name.",
        hint=f"Try again; if it stays, {ask}",
    )


# -- TLS ---------------------------------------------------------------------------------------------------------------


def _no_encryption(
    wrong: ssl.SSLError, host: str, where: str, setting: str = "the connection's URLs"
) -> TransportError:
    if isinstance(wrong, ssl.SSLCertVerificationError):
        return _bad_certificate(wrong, host, where, setting)
    reason = str(getattr(wrong, "reason", "") or "")
    if reason in _NO_TLS:
        return _lasting(
            f"{where} does not speak TLS.",
            likely="Something that speaks plain http listens there, or a proxy answers in its place.",
            hint="Check the port in the connection's URLs, and the proxy settings.",
        )
    if "CERTIFICATE_REQUIRED" in reason:
        return _lasting(
            f"{where} wants a certificate of this computer's own.",
            likely="A company's gateway between lets in registered computers only.",
            hint="Ask whoever runs the network for a way around it: spokekit sends no such certificate.",
        )
    return TransportError(
        f"No encrypted connection to {where} came about ({clean(reason or str(wrong) or type(wrong).__name__, 60)}).",
        likely="The two sides have no way of encrypting in common, or something between interferes.",
        hint="Try again from another network; if it stays, ask whoever runs the network.",
    )


def _bad_certificate(wrong: ssl.SSLCertVerificationError, host: str, where: str, setting: str) -> TransportError:
    number = getattr(wrong, "verify_code", None)
    if number in (_EXPIRED, _NOT_YET):
        return _lasting(
            f"The certificate of {host} {'has expired' if number == _EXPIRED else 'is not valid yet'}, by this "
            "computer's clock.",
            likely=f"The clock is wrong (it says {clock(datetime.now(UTC))}, {datetime.now().astimezone():%Y-%m-%d}), "
            "or the certificate really was not renewed.",
            hint="Set date and time of this computer right, then try again.",
        )
    if number in (_OTHER_NAME, _OTHER_ADDRESS):
        return _lasting(
            f"The certificate that {where} shows is made out to another name than {host.removeprefix('the proxy ')}.",
            likely="The address is mistyped, or somebody else answers for it: a captive portal, a wrong DNS entry.",
            hint=f"Check {setting}; on a guest network, sign in to it first.",
        )
    chosen = trusted()
    if number is None or number in _NO_SIGNER:
        here = f"{chosen[0]} ({chosen[1]})" if chosen else "this computer's own list"
        return _lasting(
            f"The certificate of {host} is not signed by anybody whom {here} trusts.",
            likely="A company's proxy or a virus scanner opens encrypted traffic and signs it anew.",
            hint="Ask for the company's root certificate as a PEM file, and name the file in SSL_CERT_FILE.",
        )
    return _lasting(
        f"The certificate of {host} cannot be accepted: {clean(getattr(wrong, 'verify_message', '') or number, 80)}.",
        likely="An old server, or a device that opens encrypted traffic and signs it too weakly or wrongly.",
        hint="Ask whoever runs the network to mend the certificate.",
    )
