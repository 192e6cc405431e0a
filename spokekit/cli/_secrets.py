"""Reading a secret that a command needs: from a file, from standard input, or typed and not shown."""

from __future__ import annotations

import sys
from pathlib import Path

from spokekit._ids import BLANK
from spokekit._refused import told_as
from spokekit._secret import Secret
from spokekit.cli._output import say
from spokekit.errors import InputError


def read_secret(source: str, what: str) -> Secret:
    """Return the secret in the file `source`, or from standard input for ``-``; `what` names it in sentences.

    Raises `InputError` where the file cannot be read, is no text, or holds nothing.
    """
    field = what.lower().replace(" ", "_")
    if source == "-" and sys.stdin.isatty():
        from getpass import getpass

        return Secret(getpass(f"{what[:1].upper()}{what[1:]} (not shown): "))
    with told_as(InputError, f"The file {source} cannot be read", field=field):
        data = sys.stdin.buffer.read() if source == "-" else Path(source).expanduser().read_bytes()
    if source != "-" and Path(source).expanduser().stat().st_mode & 0o077 and sys.platform != "win32":
        say(f"Others can read {source}: remove it, or run chmod 600 on it.")
    try:
        return Secret(data.decode("utf-8-sig").strip(BLANK))
    except UnicodeDecodeError:
        raise InputError(
            f"The file with the {what} is not text in UTF-8.",
            field=field,
            hint="Save it as UTF-8 with nothing but the secret in it.",
        ) from None
