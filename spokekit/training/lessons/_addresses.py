"""How two callback URLs differ."""

from __future__ import annotations

from urllib.parse import urlsplit

_HERE = {"localhost", "127.0.0.1", "[::1]", "::1"}


def beside(uri: str) -> str:
    """Return an address one port further, or one letter longer where there is no port."""
    parts = urlsplit(uri)
    if parts.port is None:
        return f"{uri}s"
    return uri.replace(f":{parts.port}", f":{parts.port + 1}", 1)


def other_host(uri: str, wanted: str) -> bool:
    """Tell whether only the name of this computer differs."""
    one, other = urlsplit(uri), urlsplit(wanted)
    hosts = one.hostname != other.hostname and {one.hostname, other.hostname} <= _HERE
    return hosts and (one.scheme, one.port, one.path) == (other.scheme, other.port, other.path)


def differs_a_little(uri: str, wanted: str) -> bool:
    """Tell whether a slash at the end, the port, the scheme or the case of letters makes the whole difference."""
    if uri == wanted:
        return False
    one, other = urlsplit(uri), urlsplit(wanted)
    return (one.hostname, one.path.rstrip("/").casefold()) == (other.hostname, other.path.rstrip("/").casefold())
