"""Opening an address that holds a secret in the person's browser, without writing it on a command line.

Every user of a computer can read the command lines of all its programs. So the browser is given a file that its owner
alone can read, and the page in it leads to the address.
"""

from __future__ import annotations

import os
import re
import secrets
import shutil
import subprocess
import threading
import time
import webbrowser
from collections.abc import Callable
from contextlib import suppress
from html import escape
from pathlib import Path

from spokekit._home import home, private_folder, write_private
from spokekit._secret import Secret
from spokekit.errors import SpokekitError

_PREFIX = "spokekit-open-"
# What a process left behind that was killed.
_KEPT_FOR = 3600.0


class PrivateBrowser:
    """Opens addresses through files of its own, which are there until it is closed. A context manager.

    Parameters
    ----------
    tell:
        Called with a sentence when no browser could be asked, maybe from another thread and a while later.
    using:
        The browser's name as `webbrowser.get` takes it; without it, the person's own (``BROWSER``, or the desktop's).
    """

    def __init__(self, tell: Callable[[str], object] | None = None, using: str | None = None) -> None:
        self._tell = tell or (lambda words: None)
        self._using = using or None
        self._files: list[Path] = []

    def __enter__(self) -> PrivateBrowser:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def open(self, address: str | Secret) -> None:
        """Open `address`; returns at once, since some browsers keep the one who starts them waiting."""
        address = address if isinstance(address, Secret) else Secret(address)
        try:
            page = self._write(address)
        except SpokekitError as error:
            self._tell(f"No browser is opened: {error.message}")
            return
        threading.Thread(target=self._ask, args=(page.as_uri(),), name="spokekit-browser", daemon=True).start()

    def close(self) -> None:
        """Take the files away."""
        while self._files:
            with suppress(OSError):
                self._files.pop().unlink()

    def _ask(self, page: str) -> None:
        try:
            asked = webbrowser.get(self._using).open(page) if self._using else webbrowser.open(page)
        except (webbrowser.Error, OSError):
            asked = False
        if not asked and self._files:
            self._tell("No browser could be opened.")

    def _write(self, address: Secret) -> Path:
        folder = private_folder(_snap_folder(self._using) or home() / "open")
        _sweep(folder)
        page = folder / f"{_PREFIX}{secrets.token_hex(8)}.html"
        write_private(page, _page(address).encode())
        self._files.append(page)
        return page


def _page(address: Secret) -> str:
    link = escape(address.reveal())
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>spokekit</title>'
        f'<meta name="referrer" content="no-referrer"><meta http-equiv="refresh" content="0; url={link}"></head>'
        f'<body><main><h1>spokekit</h1><p><a href="{link}">Go on</a>, if this page does not do it by itself.</p></main>'
        "</body></html>\n"
    )


def _sweep(folder: Path) -> None:
    for path in folder.glob(f"{_PREFIX}*.html"):
        with suppress(OSError):
            if time.time() - path.stat().st_mtime > _KEPT_FOR:
                path.unlink()


def _snap_folder(using: str | None) -> Path | None:
    """Return the folder of the browser's own in which it may read, where it is a snap; None for any other browser.

    A snap sees none of its user's hidden folders, and the home of spokekit is in one.
    """
    if not os.path.isdir("/snap"):  # noqa: PTH112 - asked once for each opening, without an object
        return None
    name = _snap_name(using or _chosen())
    folder = Path("~/snap").expanduser() / name / "common" if name else None
    return folder / "spokekit" if folder is not None and folder.is_dir() else None


def _chosen() -> str:
    """Return the name of the browser that would be opened, or of the desktop file that the desktop has for it."""
    try:
        name = str(getattr(webbrowser.get(), "name", ""))
        if not name.endswith("xdg-open"):
            return name
        asked = subprocess.run(
            ["xdg-settings", "get", "default-web-browser"],  # noqa: S607 - wherever the desktop has it
            capture_output=True,
            text=True,
            timeout=2,
            check=False,
        )
    except (webbrowser.Error, OSError, subprocess.SubprocessError):
        return ""
    return asked.stdout.strip()


def _snap_name(browser: str) -> str:
    # The desktop files of snaps are called SNAP_APP.desktop; no other browser's is.
    if named := re.fullmatch(r"([a-z0-9-]+)_[\w-]+\.desktop", browser):
        return named[1]
    path = shutil.which(browser) if browser else None
    return Path(path).name.partition(".")[0] if path and path.startswith("/snap/") else ""
