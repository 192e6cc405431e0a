"""``spokekit class`` as a process: killed and started again, beside another, and its end."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest

from spokekit.board.wire import Join, Joined, Kept, Noted, Now, Orders, Report, Sent, Verified, decode, encode

SPOKEKIT = (sys.executable, "-m", "spokekit", "class")


@contextmanager
def _served(*options: str, errors: Path) -> Iterator[tuple[subprocess.Popen[str], dict[str, Any]]]:
    with errors.open("a") as log:
        process = subprocess.Popen([*SPOKEKIT, "--port", "0", *options], stdout=subprocess.PIPE, stderr=log, text=True)
    assert process.stdout is not None
    try:
        yield process, json.loads(process.stdout.readline())
    finally:
        process.kill()
        process.wait(30)
        process.stdout.close()


def _run(*options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*SPOKEKIT, *options], capture_output=True, text=True, timeout=120, check=False)


def _event(seq: int, event: str, **more: str) -> Noted:
    return Noted(seq, 1_000.0 + seq, "first-connection", 1, event, **more)  # type: ignore[arg-type]


def test_killed_and_started_again_nothing_is_lost_and_nothing_twice(home: Path, tmp_path: Path) -> None:
    errors = tmp_path / "errors"
    http = httpx2.Client(timeout=30, trust_env=False)
    with http, _served("--name", "Autumn", "--lessons", "one-hour", errors=errors) as (process, told):
        join = Join(code=told["code"], name="Wilhelmina Quackenbush")
        joined = decode(http.post(f"{told['url']}api/join", content=encode(join)).content, Joined)
        assert "first-connection" in joined.lessons
        headers = {"Authorization": f"Bearer {joined.key}"}

        def tell(*events: Noted) -> int:
            answer = http.post(
                f"{told['url']}api/report", content=encode(Report(Now("first-connection", 1), events)), headers=headers
            )
            return decode(answer.content, Kept).seq

        assert http.get(told["trainer_url"]).status_code == 200
        assert http.post(f"{told['url']}order", data={"do": "say", "text": "hello"}).status_code == 303
        assert tell(_event(1, "begun"), _event(2, "checked", outcome="right")) == 2
        process.send_signal(signal.SIGKILL)
        process.wait(30)
        code = told["code"]
        with _served(errors=errors) as (process, told):
            assert told["code"] == code
            assert tell(_event(2, "checked", outcome="right"), _event(3, "hint")) == 3
            sent = decode(http.get(f"{told['url']}api/sent", headers=headers).content, Sent)
            assert [event.seq for event in sent.events] == [1, 2, 3] and sent.class_name == "Autumn"
            orders = decode(http.get(f"{told['url']}api/orders", headers=headers).content, Orders).orders
            assert [one.n for one in orders] == [1]
            made = decode(http.post(f"{told['url']}api/certificate", headers=headers).content, Verified)
            second = _run("--port", "0")
            assert second.returncode == 1 and "served already" in second.stderr and second.stdout == ""
            # Beside a board that is served.
            shown = _run("verify", made.code.lower(), "--format", "json")
            assert [one["lesson"] for one in json.loads(shown.stdout)] == ["first-connection"]
            export = _run("export", "--file", str(tmp_path / "class.csv"))
            assert export.returncode == 0 and joined.pseudonym in (tmp_path / "class.csv").read_text()
            process.send_signal(signal.SIGTERM)
            assert process.wait(30) == 0
    said = errors.read_text()
    assert "--join" in said and "No secret, token" in said and "1 learner" in said
    # Who asked for what is written nowhere.
    assert not any(word in said for word in ("Quackenbush", joined.key, joined.pseudonym, "hello"))
    assert _run("--forget").returncode == 0
    assert _run("verify", made.code).returncode == 1


@pytest.mark.parametrize(
    ("options", "code", "words"),
    [
        (("--lessons", "first-conection"), 2, "Did you mean first-connection?"),
        (("--certfile", "/nowhere.pem"), 1, "The certificate /nowhere.pem cannot be used"),
        (("export", "--file", "class.txt"), 1, "ends in none of .csv, .xlsx and .json"),
        (("export", "--file", "class.csv"), 1, "There is no class in this home."),
        (("--forget",), 0, "There is no class in this home."),
    ],
)
def test_what_cannot_be_is_said_in_a_sentence(home: Path, options: tuple[str, ...], code: int, words: str) -> None:
    run = _run(*options)
    # In a frame of its own, a long sentence is broken.
    said = " ".join(re.sub(r"[│╭╮╰╯─]", " ", run.stderr).split())
    assert (run.returncode, words in said) == (code, True), run.stderr
    assert "Traceback" not in run.stderr


@pytest.mark.skipif(os.name == "nt", reason="no such certificate tool there")
def test_https_with_a_certificate_of_ones_own(home: Path, tmp_path: Path) -> None:
    import ssl
    from datetime import UTC, datetime, timedelta
    from ipaddress import ip_address

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import NameOID

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "board")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    cert, secret = tmp_path / "cert.pem", tmp_path / "key.pem"
    cert.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    plain = serialization.NoEncryption()
    secret.write_bytes(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain))
    from spokekit.board.server import BoardSite

    with BoardSite(tmp_path / "c.sqlite", certfile=cert, keyfile=secret) as board:
        context = ssl.create_default_context(cafile=str(cert))
        with httpx2.Client(verify=context, trust_env=False) as http:
            assert board.url.startswith("https://127.0.0.1:")
            assert "Secure" in http.get(board.trainer_url).headers["set-cookie"]
            assert board.code in http.get(f"{board.url}board").text
