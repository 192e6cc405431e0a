"""What ``SPOKEKIT_STORE_URL`` may say, and what is wrong with it; nothing that is told holds any part of a password."""

from __future__ import annotations

import re
from importlib.util import find_spec
from typing import Any

import sqlalchemy as sa

from spokekit.errors import InputError, StoreError

FIELD = "SPOKEKIT_STORE_URL"
EXAMPLE = "postgresql+psycopg://user:password@host:5432/database"
# What providers write, and what SQLAlchemy calls it.
_OTHER_NAMES = {"postgres": "postgresql", "pgsql": "postgresql", "sqlite3": "sqlite", "mariadb": "mariadb"}
_DRIVERS = {"postgresql": ("psycopg", "psycopg2"), "mysql": ("pymysql", "mysqlclient"), "mariadb": ("pymysql",)}
_SECRET = re.compile(r"pass|pwd|secret|token|key", re.IGNORECASE)


def _refused(message: str, hint: str, likely: str | None = None) -> InputError:
    return InputError(f"{FIELD} {message}", field=FIELD, likely=likely, hint=hint)


def parse(text: str | sa.URL) -> sa.URL:
    """Return the address as SQLAlchemy takes it. Raises `InputError` that says what is wrong, without its password."""
    if isinstance(text, sa.URL):
        return text
    said = text.strip()
    if said[:1] in "\"'" and said[-1:] == said[:1]:
        said = said[1:-1].strip()
    scheme, colon, rest = said.partition("://")
    if not colon or not scheme:
        raise _no_scheme(said)
    if any(c.isspace() or ord(c) < 32 for c in said) and not scheme.startswith("sqlite"):
        raise _refused("holds a blank or a line break.", "Write it in one piece; in a password, a blank is %20.")
    dialect, _, driver = scheme.partition("+")
    dialect = _OTHER_NAMES.get(dialect.lower(), dialect.lower())
    if dialect != "sqlite" and _ambiguous(rest):
        raise _unescaped()
    try:
        url = sa.make_url(f"{dialect}{f'+{driver}' if driver else ''}://{rest}")
    except (sa.exc.ArgumentError, ValueError):
        # SQLAlchemy's own words quote the address.
        if re.search(r":[^/?@]*[^\d/?@:][^/?@]*(/|\?|$)", rest):
            raise _wrong_port() from None
        raise _refused("cannot be read.", f"Write it as {EXAMPLE}.") from None
    if url.port is not None and not 0 < url.port < 65_536:
        raise _wrong_port()
    if dialect == "sqlite" and url.host:
        raise _refused(
            "names a file with two slashes, which would be a host.",
            "Write three slashes before a relative path and four before an absolute one: sqlite:////data/spokekit.sqlite",
        )
    if not driver and dialect in _DRIVERS:
        found = next((name for name in _DRIVERS[dialect] if find_spec(name) is not None), None)
        if found is not None and found != "psycopg2":
            url = url.set(drivername=f"{dialect}+{found}")
    return url


def _no_scheme(said: str) -> InputError:
    if "password=" in said or re.match(r"\s*\w+\s*=", said):
        return _refused("holds settings instead of an address.", f"Write them as an address: {EXAMPLE}.")
    if re.match(r"[A-Za-z]:[\\/]|[\\/~.]", said) or said.endswith((".sqlite", ".db", ".sqlite3")):
        return _refused(
            "names a file without saying what it is.",
            "Write sqlite:/// before it, for example sqlite:////data/spokekit.sqlite.",
        )
    return _refused(
        "does not begin with the kind of database.", f"Write it as {EXAMPLE}, or leave it unset for a file in the home."
    )


def _ambiguous(rest: str) -> bool:
    """Tell whether more than one @ may end the password, so that a part of it would be taken for the host."""
    main, _, query = rest.partition("?")
    if main.count("@") > 1:
        return True
    strange = any("@" in part.partition("=")[0] for part in query.split("&"))
    return "@" in query and (strange or "/" not in main.rpartition("@")[2])


def _unescaped() -> InputError:
    return _refused(
        "holds a password (or a name) with an @ that is not percent-encoded.",
        "Write %40 for each @ in it; likewise %3A for :, %2F for / and %25 for %.",
    )


def _wrong_port() -> InputError:
    return _refused(
        "has a port that is no number from 1 to 65535.",
        f"Write it as {EXAMPLE}. If a part of the password is taken for the port, percent-encode its signs.",
    )


def driver_missing(url: sa.URL) -> StoreError:
    """Return the error for an address whose driver is not installed, or that no driver is for."""
    dialect = url.get_backend_name() if url.drivername else ""
    packages = {"postgresql": "psycopg[binary]", "mysql": "pymysql", "mariadb": "pymysql"}
    if dialect in packages:
        return StoreError(
            f"The store's database needs a driver that is not installed ({url.drivername}).",
            hint=f'Install it: python3 -m pip install "{packages[dialect]}", and write {dialect}+'
            f"{packages[dialect].partition('[')[0]}:// in {FIELD}.",
        )
    return StoreError(
        f"{FIELD} names a kind of database that SQLAlchemy does not know here: {url.drivername[:40]}.",
        likely="It is mistyped, or its driver is not installed.",
        hint=f"Example: {EXAMPLE}. Or leave it unset for a file in the home.",
    )


def describe(url: sa.URL) -> str:
    """Return host, port and database without a password, wherever the address holds one."""
    where = f"{url.host or ''}{f':{url.port}' if url.port else ''}"
    return f"{url.get_backend_name()}://{f'{url.username}@' if url.username else ''}{where}/{url.database or ''}"


def without_password(words: str, url: sa.URL) -> str:
    """Return a database's own words without the password of the address, in case they quote it."""
    query: dict[str, Any] = dict(url.query)
    secrets = [url.password, *(value for name, value in query.items() if _SECRET.search(name))]
    for secret in secrets:
        for one in secret if isinstance(secret, tuple) else (secret,):
            if one:
                words = words.replace(str(one), "•••")
    return words
