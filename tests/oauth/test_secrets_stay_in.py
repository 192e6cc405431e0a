"""Planted secrets are searched for wherever something is shown, logged, pickled or written down."""

from __future__ import annotations

import io
import json
import logging
import pickle
import subprocess
import sys
import threading
import traceback
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx2
import pytest

from spokekit._secret import ScrubFilter, Secret
from spokekit.errors import SpokekitError, StoreError, UnexpectedAnswer, VaultError
from spokekit.oauth.answers import TokenAnswer
from spokekit.oauth.callbacks import Callback, LoopbackReceiver, PasteReceiver, parse_callback
from spokekit.oauth.endpoint import Endpoint
from spokekit.oauth.grant import Attempt, get_token
from spokekit.oauth.grants import Grant, open_grant
from spokekit.oauth.status import Record
from spokekit.oauth.unsaved import Kept
from spokekit.practice import PracticeSite
from tests.oauth.support import Place, configured, granted

CLIENT_SECRET = "planted-client-secret-4711"
CODE, ACCESS, REFRESH = "planted-code-4712", "planted-access-4713", "planted-refresh-4714"
PLANTED = (CLIENT_SECRET, CODE, ACCESS, REFRESH)
PAIR = {"access_token": ACCESS, "refresh_token": REFRESH, "expires_in": 3600, "scope": "read:me offline_access"}


def clean(text: str, more: tuple[str, ...] = ()) -> None:
    for secret in (*PLANTED, *more):
        assert secret not in text


@pytest.fixture
def planted(place: Place, site: PracticeSite) -> Any:
    connection = configured(place, site)
    place.tokens.set_client_secret(connection, Secret(CLIENT_SECRET))
    place.tokens.save_grant(connection, PAIR)
    return connection


def test_no_object_shows_them(place: Place, planted: Any, site: PracticeSite) -> None:
    from rich.console import Console
    from rich.pretty import Pretty

    attempt = Attempt.start(planted, place.tokens, PasteReceiver(planted.redirect_uri), pkce=True)
    grant = open_grant(place.tokens._record(planted).sealed_grant or b"", place.vault, planted)
    callback = Callback(Secret(CODE), attempt.state)
    objects = [
        place.tokens, place.vault, place.vault._ring, place.vault._ring.load(), place.vault.status(), planted, attempt,
        grant, callback, place.tokens.status(planted), place.tokens._record(planted), place.tokens.source(planted),
        Endpoint(planted), LoopbackReceiver(planted.redirect_uri), place.tokens.access_token(planted),
        place.tokens.client_secret(planted), place.store,
    ]  # fmt: skip
    key = json.loads((place.vault._ring.path).read_text())["keys"][0]["key"]  # type: ignore[attr-defined]
    more = (key, attempt.state.reveal())
    for one in objects:
        console = Console(file=io.StringIO(), width=200)
        console.print(Pretty(one, expand_all=True))
        for text in (repr(one), str(one), f"{one}", console.file.getvalue()):  # type: ignore[attr-defined]
            clean(text, more)
        try:
            written = pickle.dumps(one)
        except (TypeError, AttributeError, pickle.PicklingError):
            continue
        for secret in (*PLANTED, *more):
            assert secret.encode() not in written
    for one in (grant, callback):
        with pytest.raises(TypeError, match="cannot be pickled"):
            pickle.dumps(one)
    assert isinstance(grant, Grant)


def test_nothing_written_down_holds_them(place: Place, planted: Any, site: PracticeSite, home: Path) -> None:
    place.vault.rotate()
    for path in home.rglob("*"):
        if path.is_file():
            content = path.read_bytes()
            assert not [secret for secret in PLANTED if secret.encode() in content], path
            assert path.stat().st_mode & 0o077 == 0 or path.suffix.startswith(".sqlite-"), path


def raising(error: Exception) -> Callable[[httpx2.Request], httpx2.Response]:
    def send(request: httpx2.Request) -> httpx2.Response:
        raise error

    return send


def failures(place: Place, connection: Any, site: PracticeSite, patch: pytest.MonkeyPatch) -> list[BaseException]:
    """Let each thing fail that has a secret in its hands, and return the errors as a person's cell would get them."""
    found: list[BaseException] = []
    attempt = Attempt.start(connection, place.tokens, PasteReceiver(connection.redirect_uri), pkce=True)
    good = f"{connection.redirect_uri}?code={CODE}&state={attempt.state.reveal()}"

    def note(work: Callable[[], Any]) -> None:
        try:
            work()
        except (SpokekitError, KeyboardInterrupt) as error:
            found.append(error)
        else:
            raise AssertionError("it was meant to fail")

    answers: list[Any] = [
        raising(httpx2.ReadError(f"reset while sending {CLIENT_SECRET}")),
        raising(httpx2.ConnectError("refused")),
        raising(httpx2.ReadTimeout("late")),
        lambda _: httpx2.Response(502, text=f"<html>{CLIENT_SECRET}"),
        lambda _: httpx2.Response(200, text=json.dumps({**PAIR, "error": "x"})),
        lambda _: httpx2.Response(
            400, json={"error": "odd", "error_description": f"client_secret={CLIENT_SECRET}&code={CODE}"}
        ),
        lambda _: httpx2.Response(403, json={"error": "access_denied"}),
    ]
    for answer in answers:
        place.tokens._transport = httpx2.MockTransport(answer)
        rejected = Secret(ACCESS)
        note(lambda r=rejected: place.tokens.access_token(connection, rejected=r))
        endpoint = place.tokens.endpoint(connection)
        note(lambda e=endpoint: e.redeem(Secret(CODE), connection.redirect_uri, Secret(CLIENT_SECRET), Secret("v")))
        note(lambda e=endpoint: e.sites(Secret(ACCESS)))
    for text in (good.replace("callback", "other"), f"{CODE}", good + f"&code={CODE}", good.replace("state=", "s=")):
        note(lambda t=text: attempt._receiver.deliver(t))
    note(lambda: parse_callback(Secret(CODE), expected_redirect=connection.redirect_uri))
    answer = TokenAnswer.of(PAIR)
    assert answer is not None
    kept = Kept.consented(connection, answer, Record(), datetime.now(UTC))
    with patch.context() as broken:

        def full(*_: Any, **__: Any) -> None:
            raise StoreError("The disk is full.")

        for module in ("pending", "tokens"):
            broken.setattr(f"spokekit.oauth.{module}.update_row", full)
        note(lambda: place.tokens.pending.put(connection, kept, as_it_is=True))
        note(lambda: place.tokens.set_client_secret(connection, Secret(CLIENT_SECRET)))
    with patch.context() as broken:

        def gone(*_: Any) -> None:
            raise VaultError("The key is gone.")

        broken.setattr(type(place.vault._ring), "load", gone)
        note(lambda: place.tokens.pending.put(connection, kept, as_it_is=True))
        note(lambda: place.tokens.pending.held(connection, kept, None).write(kept))
        note(lambda: place.tokens.set_client_secret(connection, Secret(CLIENT_SECRET)))
        note(lambda: place.tokens.access_token(connection))
    return found


def test_no_traceback_shows_them_not_even_with_all_locals(
    place: Place, planted: Any, site: PracticeSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    from rich.console import Console
    from rich.traceback import Traceback

    errors = failures(place, planted, site, monkeypatch)
    assert len(errors) >= 30
    here = str(Path(__file__))
    for error in errors:
        clean(str(error) + repr(error) + repr(vars(error)))
        chain: BaseException | None = error
        while chain is not None:
            # Frames of this file hold the planted secrets on purpose; only what lies below is looked at.
            trace = chain.__traceback__
            while trace is not None and trace.tb_frame.f_code.co_filename == here:
                trace = trace.tb_next
            clean("".join(traceback.TracebackException(type(chain), chain, trace, capture_locals=True).format()))
            if trace is not None:
                console = Console(file=io.StringIO(), width=250)
                console.print(
                    Traceback.from_exception(
                        type(chain), chain, trace, show_locals=True, locals_max_string=None, locals_max_length=None
                    )
                )
                clean(console.file.getvalue())  # type: ignore[attr-defined]
            chain = chain.__cause__ or chain.__context__


def test_an_interrupt_during_the_exchange_shows_nothing_and_keeps_the_consent(place: Place, site: PracticeSite) -> None:
    """A cell that is interrupted at the worst moment: the traceback is the waiting's, and the token is saved."""
    import _thread

    connection = configured(place, site)
    inside = threading.Event()

    def slow(request: httpx2.Request) -> httpx2.Response:
        if request.url.path == "/oauth/token":
            inside.set()
            threading.Event().wait(0.4)
        with httpx2.HTTPTransport() as real:
            answer = real.handle_request(request)
            answer.read()
            return answer

    place.tokens._transport = httpx2.MockTransport(slow)
    receiver = PasteReceiver(connection.redirect_uri)
    threading.Thread(target=lambda: (inside.wait(5), _thread.interrupt_main())).start()
    with pytest.raises(KeyboardInterrupt) as interrupted:
        get_token(
            place,
            connection,
            receiver=receiver,
            open_browser=lambda address: receiver.deliver(site.play_browser(address)),
        )
    for thread in threading.enumerate():
        if thread.name == "spokekit-exchange":
            thread.join(10)
    assert place.tokens.status(connection).state == "valid"
    text = "".join(traceback.TracebackException.from_exception(interrupted.value, capture_locals=True).format())
    clean(text, (site.client_secret, place.tokens.access_token(connection).reveal()))


def test_no_log_at_any_level_holds_them(place: Place, site: PracticeSite, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    for name in ("sqlalchemy.engine", "httpx2", "httpcore2", "asyncio", "authlib"):
        caplog.set_level(logging.DEBUG, logger=name)
    connection = granted(place, site)
    secrets: list[str] = [site.client_secret]

    def browser(address: str) -> None:
        callback = site.play_browser(address)
        query = parse_qs(urlsplit(callback).query)
        secrets.extend([query["code"][0], query["state"][0]])
        receiver.deliver(callback)

    receiver = PasteReceiver(connection.redirect_uri)
    get_token(place, connection, receiver=receiver, open_browser=browser)
    caplog_before = len(caplog.records)
    site.advance(4000)
    secrets.append(place.tokens.access_token(connection).reveal())
    assert len(caplog.records) > caplog_before, "the libraries did log"
    logged = {r.name for r in caplog.records if r.name.partition(".")[0] in ("httpx2", "httpcore2")}
    assert logged
    for name in logged:
        assert any(isinstance(one, ScrubFilter) for one in logging.getLogger(name).filters), name
    ours = [r for r in caplog.records if not r.name.startswith("practice")]
    text = "\n".join(f"{r.getMessage()} {r.args!r} {r.exc_text}" for r in ours)
    for secret in secrets:
        assert secret not in text


SESSION = """
import os
from IPython.core.interactiveshell import InteractiveShell
shell = InteractiveShell.instance()
shell.history_manager.hist_file
for cell in CELLS:
    shell.run_cell(cell, store_history=True)
shell.run_line_magic("history", "-n -o")
shell.run_line_magic("whos", "")
shell.history_manager.writeout_cache()
"""


def test_ipython_verbose_tracebacks_history_and_whos_show_none(home: Path, site: PracticeSite, tmp_path: Path) -> None:
    """As in a notebook: the secret is read from a file, everything fails, and everything is looked at."""
    (tmp_path / "secret").write_text(CLIENT_SECRET)
    (tmp_path / "pair").write_text(json.dumps(PAIR))
    cells = [
        "%xmode Verbose",
        "from spokekit._workspace import workspace; from spokekit._secret import Secret; import json, pathlib",
        "from spokekit.connections.connection import ConnectionDraft; w = workspace()",
        f"c = w.connections.save(ConnectionDraft(url={site.url!r}, auth_url='', client_id={site.client_id!r}))",
        f"w.tokens.set_client_secret(c, Secret(pathlib.Path({str(tmp_path / 'secret')!r}).read_text()))",
        f"w.tokens.save_grant(c, json.loads(pathlib.Path({str(tmp_path / 'pair')!r}).read_text()))",
        "token = w.tokens.access_token(c)",
        "token",
        "w.tokens.access_token(c, rejected=token)",
        "w.tokens.client_secret(c)",
        "from spokekit.oauth.grant import Attempt; from spokekit.oauth.callbacks import *",
        "a = Attempt.start(c, w.tokens, PasteReceiver(c.redirect_uri)); a",
        "a.complete(Callback(Secret('x' * 9), a.state))",
        "import pickle; pickle.dumps(token)",
        "import dataclasses; [dataclasses.asdict(w.tokens.status(c)), vars(w.tokens), locals()]",
    ]
    done = subprocess.run(
        [sys.executable, "-c", SESSION.replace("CELLS", repr(cells))],
        capture_output=True, text=True, timeout=120, check=True, env={"IPYTHONDIR": str(tmp_path / "ipython"),
        "SPOKEKIT_HOME": str(home), "PATH": "/usr/bin:/bin", "PYTHON_KEYRING_BACKEND": "keyring.backends.null.Keyring",
        "HOME": str(tmp_path)},
    )  # fmt: skip
    shown = done.stdout + done.stderr
    assert "ClientSecretRefused" in shown and "Secret('***')" in shown and "cannot be pickled" in shown
    clean(shown)
    for path in (tmp_path / "ipython").rglob("*"):
        if path.is_file():
            assert not [secret for secret in PLANTED if secret.encode() in path.read_bytes()], path


@pytest.mark.parametrize("strange", ["\r\nX-Other: y", "\x00", "\N{SNOWMAN}", "\ud800"])
def test_a_token_that_no_header_can_carry_is_not_quoted(place: Place, site: PracticeSite, strange: str) -> None:
    token = Secret("PLANTED0815" + strange)
    endpoint = place.tokens.endpoint(configured(place, site))
    with pytest.raises(UnexpectedAnswer) as caught:
        endpoint.sites(token)
    assert endpoint.account(token) is None
    seen: BaseException | None = caught.value
    while seen is not None:
        assert "PLANTED0815" not in f"{seen!r} {seen} {vars(seen)} {getattr(seen, 'object', '')}"
        seen = seen.__cause__ or seen.__context__
    assert token == Secret("PLANTED0815" + strange) != Secret("\ud800")
