"""The vault on a real Secret Service: gnome-keyring in a D-Bus session of its own."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = """
import json, os, sys
from pathlib import Path
import keyring
from spokekit.connections.store import default_store
from spokekit.oauth.vault import Vault
from spokekit.errors import VaultError

kind = sys.argv[1]
vault = Vault.open(default_store())
home = Path(os.environ["SPOKEKIT_HOME"])
if kind == "seal":
    (home / "box").write_bytes(vault.seal(b"planted"))
    ring = (home / "vault.json").read_text()
    print(json.dumps({"kind": vault.status().kind, "words": vault.status().words, "key on disk": '"key"' in ring}))
elif kind == "rotate":
    box = vault.seal(b"planted")
    vault.rotate()
    status = vault.status()
    print(json.dumps({"keys": status.keys, "kind": status.kind}))
else:
    try:
        print(json.dumps({"opened": vault.unseal((home / "box").read_bytes()).decode()}))
    except VaultError as error:
        print(json.dumps({"error": str(error)}))
"""

NIGHT = """
import json, sys
from spokekit._secret import Secret
from spokekit._workspace import Workspace
from spokekit.connections.connection import ConnectionDraft
from spokekit.oauth.grant import get_token

told = json.loads(sys.argv[1])
work = Workspace()
draft = ConnectionDraft(name="Night", url=told["url"], auth_url=told["auth_url"], client_id=told["client_id"],
                        grant="service-account", read_only=True)
saved = work.connections.add(draft)
work.tokens.set_client_secret(saved, Secret(sys.stdin.read()))
get_token(work, saved, site=told["cloud_id"])
"""

SESSION = """
set -e
printf 'pw' | gnome-keyring-daemon --unlock --components=secrets >/dev/null 2>&1
for step in "$@"; do "$PYTHON" -c "$PROGRAM" "$step"; done
"""


@pytest.fixture
def session(home: Path, tmp_path: Path) -> dict[str, str]:
    for program in ("dbus-run-session", "gnome-keyring-daemon"):
        if shutil.which(program) is None:
            pytest.skip(f"{program} is not installed (Debian: gnome-keyring, dbus, dbus-x11)")
    if importlib.util.find_spec("secretstorage") is None:
        pytest.skip("SecretStorage, which keyring brings on Linux, is not installed")
    runtime = tmp_path / "runtime"
    runtime.mkdir(mode=0o700)
    keep = {name: os.environ[name] for name in ("PATH", "SPOKEKIT_HOME", "LANG") if name in os.environ}
    return keep | {
        "HOME": str(tmp_path),
        "XDG_RUNTIME_DIR": str(runtime),
        "PYTHON": sys.executable,
        "PROGRAM": PROGRAM,
    }


def run(session: dict[str, str], *steps: str) -> list[dict[str, object]]:
    done = subprocess.run(
        ["dbus-run-session", "--", "bash", "-c", SESSION, "bash", *steps],
        env=session, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_the_key_lies_in_the_secret_service_and_outlives_the_process(session: dict[str, str], home: Path) -> None:
    sealed, opened, rotated = run(session, "seal", "open", "rotate")
    assert sealed == {
        "kind": "keyring",
        "words": "The key is in the keyring of the operating system.",
        "key on disk": False,
    }
    assert opened == {"opened": "planted"}
    assert rotated == {"keys": 1, "kind": "keyring"}


def test_a_night_on_a_locked_keyring_fails_and_says_what_to_do(session: dict[str, str], home: Path) -> None:
    from spokekit.practice import PracticeSite
    from spokekit.practice.service_accounts import make_service_account

    with PracticeSite(size="4x3", strict=True) as site:
        app = make_service_account(site, account=site.account_id)
        told = {"url": site.url, "auth_url": site.auth_url, "client_id": app.client_id}
        given = json.dumps({**told, "cloud_id": site.sites[0].cloud_id})
        unlocked = "printf pw | gnome-keyring-daemon --unlock --components=secrets >/dev/null 2>&1"
        made = subprocess.run(
            ["dbus-run-session", "--", "bash", "-c", f'{unlocked}; exec "$PYTHON" -c "$1" "$2"', "bash",
             NIGHT, given],
            env=session, input=app.client_secret, capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
        assert made.returncode == 0, made.stderr
        locked = "gnome-keyring-daemon --start --components=secrets >/dev/null 2>&1"
        done = subprocess.run(
            ["dbus-run-session", "--", "bash", "-c", f'{locked}; exec "$PYTHON" -m spokekit audit night --format json'],
            env=session, capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip
        assert done.returncode == 1, done.stderr
        (made_night,) = json.loads(done.stdout)
        (one,) = made_night["sites"]
        assert one["outcome"] == "failed" and "The keyring is locked" in one["words"]
        assert "SPOKEKIT_VAULT=file" in one["do"] and "spokekit connections edit" in one["do"]
        assert site.count("groups") == 0 and app.client_secret not in done.stdout + done.stderr


def test_without_the_secret_service_the_error_names_the_way_out(session: dict[str, str], home: Path) -> None:
    run(session, "seal")
    without = session | {"DBUS_SESSION_BUS_ADDRESS": "unix:path=/nonexistent"}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, "open"], env=without, capture_output=True, text=True, timeout=60, check=True
    )
    assert "is not in the keyring of the operating system" in done.stdout
    assert "SPOKEKIT_VAULT=file" in done.stdout
