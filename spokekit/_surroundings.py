"""What this computer and its settings say: loopback, proxies, trusted certificates, a home, and what is wrong.

Settings of the person's own computer are read here and nowhere else, and what cannot be used is a `SetupError` that
names the variable or the file and the way out.
"""

from __future__ import annotations

import errno
import os
import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

from spokekit.errors import SetupError, SpokekitError

LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "::1", "[::1]"})
"""The names of this computer that spokekit listens at and speaks plain http to; 127.0.0.2 and the like are others'."""

_PROXY_SCHEMES = {"http": "http", "https": "https", "socks5": "socks5", "socks5h": "socks5h", "socks": "socks5"}
# The first that is set decides: OpenSSL's own two, then those of the libraries that people's other programs use.
CERTIFICATES = ("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")
_EXAMPLE_PROXY = "http://proxy.example.com:3128"
_SOCKS_EXTRA = 'python3 -m pip install "spokekit[socks]" (or "httpx2[socks]")'


def is_loopback(host: str | None) -> bool:
    """Tell whether a host name is one of this computer's own (`LOOPBACK_NAMES`)."""
    return (host or "").lower() in LOOPBACK_NAMES


# -- proxies -----------------------------------------------------------------------------------------------------------


class Proxy(NamedTuple):
    """A proxy as an address that httpx2 takes, name and password included, and the variable that names it."""

    address: str
    variable: str

    def __repr__(self) -> str:
        return f"Proxy({self.place}, {self.variable})"

    @property
    def place(self) -> str:
        """Host and port, without name and password."""
        parts = urlsplit(self.address)
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}{f':{parts.port}' if parts.port else ''}"

    @property
    def host(self) -> str:
        """The host's name."""
        return urlsplit(self.address).hostname or ""

    @property
    def scheme(self) -> str:
        """How it is spoken to: http, https or socks5."""
        return urlsplit(self.address).scheme


def proxy_for(address: str) -> Proxy | None:
    """Return the proxy through which `address` is reached, or None.

    It follows the usual variables and the system's settings; a loopback address never has one. Raises `SetupError` for
    a proxy that cannot be used.
    """
    parts = urlsplit(address)
    host = parts.hostname or ""
    if is_loopback(host) or (netloc_bypassed(host) or netloc_bypassed(f"{host}:{parts.port or 443}")):
        return None
    known = getproxies()
    scheme = parts.scheme if known.get(parts.scheme) else "all"
    said = (known.get(scheme) or "").strip()
    if not said:
        return None
    return _usable_proxy(said, _variable(scheme))


def netloc_bypassed(netloc: str) -> bool:
    """Tell whether ``NO_PROXY``, or the system's settings, let a host be reached directly."""
    try:
        return bool(proxy_bypass(netloc))
    except (OSError, ValueError, UnicodeError):
        return False


def _variable(scheme: str) -> str:
    """Return the name of the variable that sets the proxy of a scheme, as it is written in the environment."""
    wanted = f"{scheme}_proxy"
    return next((name for name in os.environ if name.lower() == wanted), f"the system's {scheme} proxy")


def _usable_proxy(said: str, variable: str) -> Proxy:
    with_scheme = said if "://" in said else f"http://{said}"
    try:
        parts = urlsplit(with_scheme)
        _ = parts.port
    except ValueError:
        parts = urlsplit("")
    scheme = _PROXY_SCHEMES.get(parts.scheme.lower())
    if scheme is not None and parts.path.lower().endswith((".pac", ".dat")):
        raise SetupError(
            f"{variable} names a script that finds proxies ({parts.path[-40:]}), which spokekit does not run.",
            setting=variable,
            hint=f"Look into the script for the proxy, and write that: {_EXAMPLE_PROXY}.",
        )
    if scheme is None or not parts.hostname or parts.path.startswith("//") or not _sendable(with_scheme):
        kind = (
            f"of the kind {parts.scheme}://"
            if parts.scheme and parts.hostname and scheme is None
            else "that cannot be read"
        )
        raise SetupError(
            f"{variable} names a proxy {kind}.",
            setting=variable,
            likely="http, https, socks5 and socks5h proxies can be used.",
            hint=f"Write it as {_EXAMPLE_PROXY}, with signs of a password percent-encoded (%40 for @, %2F for /), or "
            "take the variable away where no proxy is needed.",
        )
    if scheme.startswith("socks") and not _has("socksio"):
        raise SetupError(
            f"{variable} names a SOCKS proxy, and the package for it (socksio) is not installed.",
            setting=variable,
            hint=f"Install it with: {_SOCKS_EXTRA}. Or set HTTPS_PROXY to an http:// proxy.",
        )
    return Proxy(f"{scheme}://{with_scheme.partition('://')[2]}", variable)


def _sendable(address: str) -> bool:
    """Tell whether the HTTP library takes an address for that of a proxy."""
    import httpx2

    if any(c.isspace() for c in address):
        return False
    try:
        return bool(httpx2.URL(address).host and address.encode())
    except (httpx2.InvalidURL, UnicodeError, ValueError):
        return False


def _has(package: str) -> bool:
    from importlib.util import find_spec

    return find_spec(package) is not None


# -- certificates ------------------------------------------------------------------------------------------------------


def trusted(environ: Mapping[str, str] | None = None) -> tuple[str, str] | None:
    """Return the variable that says which certificates are trusted, and its value; None for the system's own."""
    environ = os.environ if environ is None else environ
    return next(((name, said) for name in CERTIFICATES if (said := environ.get(name, "").strip())), None)


def tls() -> ssl.SSLContext:
    """Return the TLS settings: the certificates that the environment names, else the system's.

    Raises `SetupError` when a file that a variable names is not there, cannot be read or holds no certificate.
    """
    chosen = trusted()
    if chosen is None:
        import httpx2

        context = httpx2.create_ssl_context(trust_env=False)
    else:
        context = _with(*chosen)
    _log_keys(context)
    return context


def _with(name: str, said: str) -> ssl.SSLContext:
    path = Path(said)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    hint = f"Correct {name}, or take it away (unset {name}) to trust what the system trusts."
    try:
        if path.is_dir():
            if name != "SSL_CERT_FILE":
                context.load_verify_locations(capath=said)
                return context
            reason = "is a folder; SSL_CERT_DIR is for folders"
        elif not path.exists():
            reason = "is not there"
        else:
            context.load_verify_locations(cafile=said)
            return context
    except ssl.SSLError:
        reason = "holds no certificate in PEM form"
    except (OSError, ValueError) as error:
        reason = f"cannot be read: {getattr(error, 'strerror', None) or error}"
    raise SetupError(
        f"{name} says which certificates to trust, and {said} {reason}.",
        setting=name,
        likely="A program or a virtual environment that set the variable was moved or removed.",
        hint=hint,
    )


def _log_keys(context: ssl.SSLContext) -> None:
    said = os.environ.get("SSLKEYLOGFILE", "").strip()
    if not said:
        return
    try:
        context.keylog_filename = said
    except (OSError, ValueError) as error:
        raise SetupError(
            f"SSLKEYLOGFILE names {said}, which cannot be written: {getattr(error, 'strerror', None) or error}.",
            setting="SSLKEYLOGFILE",
            likely="It is set to record what is encrypted, for a debugger of networks.",
            hint="Take it away (unset SSLKEYLOGFILE), or name a file in a folder that is there.",
        ) from None


# -- folders -----------------------------------------------------------------------------------------------------------


def expanded(said: str, variable: str) -> Path:
    """Return a path with ``~`` put in; raises `SetupError` where nobody knows what it stands for."""
    try:
        path = Path(said).expanduser()
    except RuntimeError:
        raise no_home(variable) from None
    if path.parts[:1] == ("~",):
        raise no_home(variable)
    return path


def alive(process: int) -> bool:
    """Tell whether a process may be running on this computer; True where that cannot be told."""
    # On Windows signal 0 is Ctrl-C.
    if os.name != "posix":
        return True
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True


def no_home(variable: str = "SPOKEKIT_HOME") -> SetupError:
    """Return the error for a user without a home folder, such as a container's random user id."""
    who = f" (user id {os.getuid()})" if hasattr(os, "getuid") else ""
    return SetupError(
        f"This user{who} has no home folder: HOME is not set, and the system knows none.",
        setting="HOME",
        likely="It runs in a container or a service under a user id that nobody entered into the system.",
        hint=f"Set {variable} to a folder that may be written, or set HOME.",
    )


# -- whatever else comes up --------------------------------------------------------------------------------------------

_OF_THE_COMPUTER = {
    errno.ENOSPC: ("The disk is full.", "Free some space, then try again."),
    errno.EDQUOT: ("The disk quota of this user is used up.", "Free some space, then try again."),
    errno.EROFS: ("The disk can only be read.", "Choose another folder, or mount it writable."),
    errno.EACCES: ("This user may not use it.", "Change its permissions, or choose another one."),
    errno.EPERM: ("This user may not use it.", "Change its permissions, or choose another one."),
    errno.EMFILE: ("Too many files are open.", "Close other programs, or raise the limit (ulimit -n)."),
    errno.ENFILE: ("Too many files are open.", "Close other programs."),
    errno.EIO: ("The disk reports an error.", "Look at the disk; copy what matters elsewhere."),
    errno.ENOENT: ("It is not there.", "See whether the name is right, and whether a disk is mounted."),
    errno.ENOTDIR: ("A part of its path is a file.", "Choose another place."),
    errno.EISDIR: ("It is a folder.", "Choose the name of a file."),
    errno.ENAMETOOLONG: ("Its name is too long.", "Choose a shorter one."),
    errno.ENOMEM: ("The memory is used up.", "Close other programs, then try again."),
    errno.ENOEXEC: ("It is no program.", "See what the variable names."),
    errno.ESTALE: ("The network disk was taken away.", "Mount it again."),
    errno.EADDRNOTAVAIL: ("This computer has no such network address.", "See whether its network is up."),
    errno.EAFNOSUPPORT: ("This computer has no network of that kind.", "See whether its network is up."),
}


def of_this_computer(error: BaseException) -> SpokekitError | None:
    """Return what an exception says of this computer, where that and no fault of spokekit is behind it; else None."""
    if isinstance(error, MemoryError):
        return SetupError("The memory of this computer is used up.", hint="Close other programs, then try again.")
    if isinstance(error, RuntimeError) and "home directory" in str(error):
        return no_home()
    if isinstance(error, OSError) and error.errno in _OF_THE_COMPUTER:
        why, hint = _OF_THE_COMPUTER[error.errno]
        what = f"{error.filename} cannot be used." if isinstance(error.filename, str) else "This computer refuses."
        return SetupError(what, likely=why, hint=hint)
    if isinstance(error, UnicodeEncodeError) and "surrogates" in str(error):
        return SetupError(
            "A name or a file holds characters that are no text.",
            likely="It was written in another encoding than this terminal's.",
            hint="Set LANG to a UTF-8 locale (for example C.UTF-8), or rename it.",
        )
    return None
