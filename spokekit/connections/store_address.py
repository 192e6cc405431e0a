"""What ``SPOKEKIT_STORE_URL`` may say, and what is wrong with it; nothing that is told holds any part of a password."""

from __future__ import annotations

import os
import re
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

import sqlalchemy as sa

from spokekit._home import names_memory
from spokekit._surroundings import expanded
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
        return _one_spelling(text)
    said = text.strip()
    if said[:1] in "\"'" and said[-1:] == said[:1]:
        said = said[1:-1].strip()
    scheme, colon, rest = said.partition("://")
    if not colon or not scheme:
        raise _no_scheme(said)
    if any(c.isspace() or ord(c) < 32 for c in said) and not scheme.lower().startswith("sqlite"):
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
    return _one_spelling(url)


def _one_spelling(url: sa.URL) -> sa.URL:
    """Return a SQLite address with the whole path of its file, and one in memory as ``sqlite://``; others as they are.

    SQLAlchemy takes ``file:`` for the name of a file unless the address says ``uri=true``, and gives each thread a
    database of its own where it does not know that one is in memory.
    """
    if url.drivername.partition("+")[0] != "sqlite":
        return url
    if names_memory(unquote(url.render_as_string(hide_password=False))):
        return sa.URL.create(url.drivername)
    if not _is_uri(url):
        return url.set(database=_whole(url.database or ""))
    path = _whole(_uri_path(url.database or ""))
    return url.set(database=f"file:{quote(path)}", query={**url.query, "uri": "true"})


def _is_uri(url: sa.URL) -> bool:
    return (url.database or "").startswith("file:") or str(url.query.get("uri", "")).lower() in ("1", "true", "yes")


def _uri_path(database: str) -> str:
    return unquote(re.sub(r"^file:(//(localhost)?(?=/))?", "", database).partition("?")[0])


def _whole(said: str) -> str:
    # Kernels and the command line start in different folders.
    return os.path.abspath(expanded(said, FIELD))  # noqa: PTH100 - it takes ".." out, which Path.absolute leaves


def sqlite_file(url: sa.URL) -> Path | None:
    """Return the file of a SQLite address (`parse`); None for one in memory."""
    if not url.database:
        return None
    return Path(_uri_path(url.database)) if _is_uri(url) else Path(url.database)


def makes_a_file(url: sa.URL) -> bool:
    """Tell whether SQLite may make the file of this address where it is missing."""
    return url.query.get("mode", "rwc") == "rwc" and "immutable" not in url.query


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


def not_for_threads(url: sa.URL) -> InputError:
    """Return the error for a driver that answers in an event loop only, such as asyncpg."""
    plain = {"postgresql": "postgresql+psycopg", "mysql": "mysql+pymysql"}.get(url.get_backend_name(), "sqlite")
    return _refused(f"names the driver {url.drivername[:40]}, which works in an event loop only.", f"Write {plain}://.")


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
