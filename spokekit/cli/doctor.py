"""``spokekit doctor``: look at this installation and say what is wrong and how to mend it. Shows no secret."""

from __future__ import annotations

import os
import platform
import shutil
import stat
import textwrap
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal
from urllib.parse import urlsplit

import typer

from spokekit._secret import Secret, scrub
from spokekit._surroundings import of_this_computer, proxy_for, tls, trusted
from spokekit._words import counted
from spokekit._workspace import workspace
from spokekit.cli._output import FAILED, Format, FormatOption, describe, emit, out, say
from spokekit.errors import SpokekitError

app = typer.Typer(add_completion=False)

State = Literal["ok", "note", "trouble"]

NEEDED = (
    "jupyterlab",
    "ipywidgets",
    "anywidget",
    "httpx2",
    "authlib",
    "pandas",
    "sqlalchemy",
    "cryptography",
    "duckdb",
)
LITTLE_SPACE = 200 * 1024 * 1024


@dataclass(frozen=True)
class Finding:
    """One line of the examination: what was looked at, how it is, what was seen, and what to do about it."""

    check: str
    state: State
    words: str
    next: str = ""


@app.command()
def doctor(format: FormatOption = Format.table) -> None:
    """Check this installation and say what is wrong and how to mend it.

    Nothing is changed and nothing leaves this machine. The exit code is 1 when something is in trouble.
    """
    findings = list(examine())
    if format is Format.table:
        _print(findings)
    else:
        emit(findings, format, columns=["check", "state", "words", "next"])
    trouble = [finding for finding in findings if finding.state == "trouble"]
    if trouble:
        say(f"{len(trouble)} of {len(findings)} checks found trouble: {', '.join(f.check for f in trouble)}.")
        raise typer.Exit(FAILED)


def examine() -> Iterator[Finding]:
    """Make every check; one that fails by itself becomes a finding, and the others go on."""
    told: dict[str, str] = {}
    for name, check in CHECKS.items():
        try:
            yield from check()
        except Exception as fault:  # noqa: BLE001 - whatever a check meets, the others go on
            error = fault if isinstance(fault, SpokekitError) else of_this_computer(fault)
            if error is None:
                words = f"this check ended in {type(fault).__name__}: {scrub(str(fault))[:200]}"
                yield Finding(name, "trouble", words, "Please report it, with this output.")
                continue
            words = describe(SpokekitError(error.message, likely=error.likely))
            first = told.setdefault(words, name)
            if first == name:
                yield Finding(name, "trouble", words, error.hint or "")
            else:
                yield Finding(name, "note", f"not looked at, for the reason given under {first}")


def _print(findings: list[Finding]) -> None:
    # The words are sentences: a column as wide as the longest of them would be unreadable.

    width = max(60, min(shutil.get_terminal_size().columns, 120))
    below = " " * 9
    for finding in findings:
        words, first = f"{finding.check}: {finding.words}", f"{finding.state:7}  "
        out(textwrap.fill(words, width, initial_indent=first, subsequent_indent=below))
        if finding.next:
            out(textwrap.fill(f"Next: {finding.next}", width, initial_indent=below, subsequent_indent=below))


def _versions() -> Iterator[Finding]:
    from importlib.metadata import PackageNotFoundError, version

    here = f"Python {platform.python_version()} on {platform.system()} {platform.machine()}"
    yield Finding("spokekit", "ok", f"{version('spokekit')}, {here}")
    found, missing = [], []
    for name in NEEDED:
        try:
            found.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            missing.append(name)
    if missing:
        yield Finding("packages", "trouble", f"not installed: {', '.join(missing)}", "Install spokekit again with pip.")
    else:
        yield Finding("packages", "ok", ", ".join(found))


def _home() -> Iterator[Finding]:
    from spokekit._home import home

    folder = home()
    mode = stat.S_IMODE(folder.stat().st_mode)
    free = shutil.disk_usage(folder).free
    if not os.access(folder, os.W_OK):
        yield Finding("home", "trouble", f"{folder} cannot be written", "Choose another one with SPOKEKIT_HOME.")
    elif free < LITTLE_SPACE:
        words = f"{folder}: only {free // 1024**2} MB free"
        yield Finding("home", "trouble", words, "Free some space, or choose another home with SPOKEKIT_HOME.")
    else:
        private = "only you can enter it" if os.name == "posix" and not mode & 0o077 else f"mode {mode:o}"
        yield Finding("home", "ok", f"{folder}, {private}, {free // 1024**3} GB free")


def _store() -> Iterator[Finding]:
    from spokekit.connections.backups import look

    work = workspace()
    count = counted(len(work.connections.list()), "connection")
    if work.store.path is None:
        yield Finding("store", "ok", f"{work.store.describe()}; {count}")
    else:
        look(work.store.path)
        yield Finding("store", "ok", f"{work.store.describe()}; {count}; SQLite finds it whole")


def _vault() -> Iterator[Finding]:
    vault = workspace().vault
    status = vault.status()
    probe = Secret("spokekit doctor")
    if vault.unseal(vault.seal(probe.reveal().encode())).decode() != probe.reveal():
        yield Finding("vault", "trouble", "what it seals it does not open again", "Run: spokekit vault rotate")
    else:
        yield Finding("vault", "ok", f"{status.words} {status.protects}")


def _keyring() -> Iterator[Finding]:
    from spokekit.oauth.keys import keyring_trouble, trusted_backend

    backend = trusted_backend()
    if trouble := keyring_trouble():
        hint = "Correct it, or take it away; until then the key is kept in a private file."
        yield Finding("keyring", "trouble", trouble, hint)
    elif backend is None:
        words = "no keyring of the operating system that can be trusted; the key is kept in a private file"
        yield Finding("keyring", "note", words)
    else:
        yield Finding("keyring", "ok", f"{type(backend).__module__}.{type(backend).__name__}")


def _proxy() -> Iterator[Finding]:
    usual = {"https://api.atlassian.com/", "https://auth.atlassian.com/"}
    try:
        usual |= {address for c in workspace().connections.list() for address in (c.url, c.auth_url)}
    except SpokekitError:
        # What is wrong with the store is told under its own name.
        usual = set(usual)
    ways = {address: proxy_for(address) for address in sorted(usual)}
    through = {f"{proxy.place} ({proxy.variable})" for proxy in ways.values() if proxy is not None}
    yield Finding("proxy", "ok", f"requests go through {', '.join(sorted(through))}" if through else "none is used")


def _certificates() -> Iterator[Finding]:
    tls()
    chosen = trusted()
    words = f"those in {chosen[1]} ({chosen[0]}) are trusted" if chosen else "those of the operating system are trusted"
    yield Finding("certificates", "ok", words)


def _connections() -> Iterator[Finding]:
    for row in workspace().status():
        name = row.connection.name if row.connection else row.alias.label
        state: State = "trouble" if row.state == "consent_needed" else "ok" if row.state == "valid" else "note"
        hint = ""
        if row.reason and row.connection is not None and row.connection.is_service_account:
            # Nothing keeps such a connection alive but its credential.
            state = "trouble"
        if row.connection is None:
            hint = "Configure it in notebook 02, or run: spokekit connections add"
        elif row.needs_consent:
            hint = f'Run: spokekit token get --connection "{name}"'
        elif row.needs_site:
            state = "trouble"
        yield Finding(f"connection: {name}", state, row.words, hint)


def _callback() -> Iterator[Finding]:
    from spokekit.connections.connection import DEFAULT_REDIRECT_URI
    from spokekit.oauth.callbacks import port_in_use

    addresses = {DEFAULT_REDIRECT_URI, *(c.redirect_uri for c in workspace().connections.list())}
    for address in sorted(addresses):
        parts = urlsplit(address)
        if parts.hostname not in {"localhost", "127.0.0.1"} or "/spokekit/oauth/" in parts.path:
            yield Finding("callback", "note", f"{address} is answered by a Jupyter server, not from here")
            continue
        port = parts.port or 80
        if trouble := port_in_use(port, parts.hostname or "localhost"):
            hint = "Stop the program that uses it, or paste the address instead: spokekit token get --paste"
            yield Finding("callback", "trouble", f"port {port} of {address} cannot be used: {trouble}", hint)
        else:
            yield Finding("callback", "ok", f"port {port} of {address} is free")


def _quota() -> Iterator[Finding]:
    from spokekit.confluence.quota import Ledger

    work = workspace()
    for client_id in sorted({c.client_id for c in work.connections.list() if c.client_id}):
        left = Ledger(work.store, client_id).left()
        state: State = "note" if left <= 0 else "ok"
        yield Finding("points", state, f"about {left:,.0f} points of this hour are left for the app {client_id[:6]}…")


def _notebooks() -> Iterator[Finding]:
    from spokekit._notebook_copies import shipped

    folder = shipped()
    yield Finding("notebooks", "ok", f"{len(list(folder.glob('*.ipynb')))} in {folder}")


def _extension() -> Iterator[Finding]:
    from jupyter_core.paths import jupyter_config_path

    folders = [os.path.join(path, "jupyter_server_config.d") for path in jupyter_config_path()]  # noqa: PTH118
    if any(os.path.exists(os.path.join(folder, "spokekit.json")) for folder in folders):  # noqa: PTH110, PTH118
        yield Finding("server extension", "ok", "JupyterLab loads it, so the redirect can come back through it")
    else:
        words = "JupyterLab does not find it; the redirect comes back by a port of this machine, or is pasted"
        yield Finding("server extension", "note", words, "Run JupyterLab with: spokekit lab")


CHECKS: dict[str, Callable[[], Iterator[Finding]]] = {
    "packages": _versions,
    "home": _home,
    "store": _store,
    "vault": _vault,
    "keyring": _keyring,
    "proxy": _proxy,
    "certificates": _certificates,
    "connections": _connections,
    "callback": _callback,
    "points": _quota,
    "notebooks": _notebooks,
    "server extension": _extension,
}
