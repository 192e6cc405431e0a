"""Joining a class: by command and from a running practice site, and each way in which it fails, in a sentence."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from spokekit.board.server import BoardSite
from spokekit.cli import main
from spokekit.errors import InputError, NotFound, SpokekitError
from spokekit.training.board_client import NotInClass
from spokekit.training.joining import join_class, leave_class
from spokekit.training.my_class import class_address, class_file, my_class
from spokekit.training.testing import free_ports
from tests.training.test_reporter import board, me, wait_until  # noqa: F401 - a fixture


def beside(home: Path, *arguments: str, script: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "spokekit", "practice", *arguments, sys.executable, "-c", script]
    env = {**os.environ, "SPOKEKIT_HOME": str(home), "FILE": str(home / "c.html")}
    return subprocess.run(command, env=env, capture_output=True, text=True, timeout=60, check=False)


_A_LESSON = """
import os, sys
from spokekit.cli import main
def run(*arguments):
    os.environ.pop("SPOKEKIT_VAULT", None)
    try: main(list(arguments))
    except SystemExit as ended: return ended.code
run("lessons", "begin", "synced-group")
run("lessons", "answer", "synced-group", "we do, with spokekit")
run("lessons", "check", "synced-group")
run("lessons", "hand")
import time, json
for _ in range(200):
    import contextlib, io
    with contextlib.redirect_stdout(io.StringIO()) as said: code = run("lessons", "sent", "--format", "json")
    found = json.loads(said.getvalue() or "[]")
    if len(found) == 3: break
    time.sleep(.1)
with contextlib.redirect_stdout(io.StringIO()):
    run("lessons", "answer", "synced-group", "The identity provider (Okta); the change arrives here by itself")
    run("lessons", "check", "synced-group")
for _ in range(200):
    with contextlib.redirect_stdout(io.StringIO()) as said: run("lessons", "sent", "--format", "json")
    if "right" in said.getvalue(): break
    time.sleep(.1)
with contextlib.redirect_stdout(io.StringIO()): run("lessons", "certificate", "--file", os.environ["FILE"])
print(json.dumps([row["what"] for row in found]))
"""


@contextmanager
def answering(answer: bytes) -> Iterator[str]:
    """Serve one answer to whoever comes."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            while True:
                try:
                    one, _ = listener.accept()
                except OSError:
                    return
                with one:
                    one.settimeout(2)
                    one.recv(65_536)
                    one.sendall(answer)

        threading.Thread(target=serve, daemon=True).start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        listener.shutdown(socket.SHUT_RDWR)


def _http(body: bytes, status: str = "200 OK", more: bytes = b"") -> bytes:
    length = b"Content-Length: %d\r\nConnection: close\r\n" % len(body)
    return b"HTTP/1.1 " + status.encode() + b"\r\n" + length + more + b"\r\n" + body


_PAGES = [
    _http(b"<html><title>Sign in</title>"),
    _http(b"", "302 Found", b"Location: http://127.0.0.1:9/api/join\r\n"),
    _http(b"[]"),
    _http(b'{"class_name": "x", "key": "short"}'),
    _http(b"[" * 60_000),
    _http(b"x" * 100_000),
    _http(b"\xff\xfe{}"),
    b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n{",
    b"\x00\x01\x02",
    b"",
]


@pytest.mark.parametrize("page", _PAGES, ids=range(len(_PAGES)))
def test_what_is_no_board_is_told_and_nothing_is_kept(page: bytes, home: Path) -> None:
    with answering(page) as address, pytest.raises(SpokekitError) as told:
        join_class(home, address, "ABCDEF")
    assert told.value.hint and "trainer's board" in told.value.hint
    assert my_class(home) is None and not class_file(home).exists()


@pytest.mark.parametrize(
    "address",
    [
        *("", "   ", "http://", "ftp://x:1", "http://x:0", "http://x:99999", "http://me:pw@x:1", "http://@x:1"),
        *(
            "http://x/../..",
            "http://x/a//b",
            "http://x/%2e%2e",
            "http://x/?a",
            "http://x/#a",
            "javascript://x/%0aalert(1)",
        ),
        *(
            "http://x\\y",
            "http://x/<b>",
            "http://\u0430.example",
            "http://[::1",
            "http://x y",
            "x" * 400,
            "http://%31/",
        ),
    ],
)
def test_an_address_that_is_none_is_refused(address: str, home: Path) -> None:
    with pytest.raises(InputError, match=r"\.") as told:
        join_class(home, address, "ABCDEF")
    assert told.value.field == "address"


def test_an_address_is_taken_as_people_copy_it() -> None:
    assert class_address(" 192.168.1.5:8760 ") == "http://192.168.1.5:8760/"
    assert class_address("HTTPS://Class.Example.org:443/services/class") == "https://class.example.org/services/class/"
    assert class_address("http://[::1]:8760/") == "http://[::1]:8760/"


def test_wrong_codes_a_class_of_yesterday_and_leaving(board: BoardSite, home: Path, tmp_path: Path) -> None:  # noqa: F811
    for code, words in (("", "code of the class is missing"), ("WRONG1", "not the code"), ("x" * 30, "too long")):
        with pytest.raises(InputError, match=words):
            join_class(home, board.url, code)
    with pytest.raises(NotFound, match="in no class"):
        leave_class(home)
    first = join_class(home, board.url, board.code.lower(), "Kim  Example")
    assert join_class(home, board.url) == join_class(home, board.url, "WRONG1") == first, "the same learner goes on"
    board.stop()
    # The next week's class is at the same address.
    with BoardSite(tmp_path / "next.sqlite", class_name="Wednesday", port=board.port) as other:
        with pytest.raises(NotInClass, match="does not know this computer any more"):
            join_class(home, other.url)
        assert my_class(home) == first, "nothing is lost by trying"
        second = join_class(home, other.url, other.code)
        assert second.class_name == "Wednesday" and second.place != first.place
        while True:
            with pytest.raises(InputError) as told:
                join_class(tmp_path / "third", other.url, "WRONG1")
            if "too often" in str(told.value):
                break
    leave_class(home)
    assert my_class(home) is None and not list((home / "lessons").glob("class*"))


def test_a_damaged_file_is_told(board: BoardSite, home: Path) -> None:  # noqa: F811
    join_class(home, board.url, board.code)
    for text in ("", "{", "[]", '{"key": 1}', class_file(home).read_text().replace('"learner":', '"x":')):
        class_file(home).write_text(text)
        with pytest.raises(SystemExit):
            main(["lessons", "sent"])
        assert my_class(home) is None
    assert join_class(home, board.url, board.code).learner == 2


def test_a_class_is_not_for_the_own_site(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for command in (
        ["lab", "--own-site", "--join", "http://127.0.0.1:9", "--code", "ABCDEF"],
        ["lab", "--own-site", "--code", "ABCDEF"],
        ["practice", "--join", "http://127.0.0.1:9"],
        ["lessons", "join", "http://127.0.0.1:9"],
        ["lessons", "hand"],
        ["lessons", "leave"],
    ):
        with pytest.raises(SystemExit) as ended:
            main(command)
        assert ended.value.code
        said = capsys.readouterr().err
        assert "Next: " in said, said
    assert not (home / "practice").exists()


def test_a_command_starts_where_the_class_cannot_be_joined(board: BoardSite, tmp_path: Path) -> None:  # noqa: F811
    wrong = "ABCDEF" if board.code != "ABCDEF" else "ABCDEG"
    for address, why in ((board.url, "code"), ("ftp://x", "no way")):
        port = str(free_ports())
        ran = beside(tmp_path, "--port", port, "--join", address, "--code", wrong, script="print('on')")
        assert (ran.returncode, ran.stdout) == (0, "on\n"), ran.stderr
        assert "not joined. " in ran.stderr and why in ran.stderr and "Join later: " in ran.stderr, ran.stderr
        assert "Traceback" not in ran.stderr
    assert my_class(tmp_path / "practice") is None and not board.classroom.learners


def test_a_class_is_joined_beside_a_command_and_gone_on_with(board: BoardSite, tmp_path: Path) -> None:  # noqa: F811
    port = str(free_ports())
    first = beside(
        tmp_path, "--port", port, "--join", board.url, "--code", board.code, "--name", "Kim", script=_A_LESSON
    )
    assert first.returncode == 0, first.stderr
    assert json.loads(first.stdout.splitlines()[-1]) == ["begun", "answered", "checked"]
    learner = me(board)
    assert f"in which you are {learner.pseudonym}" in first.stderr and learner.name == "Kim"
    kept = my_class(tmp_path / "practice")
    assert kept is not None and class_file(tmp_path / "practice").stat().st_mode & 0o077 == 0
    assert kept.key.reveal() not in first.stderr + first.stdout + repr(kept)
    code = json.loads((tmp_path / "c.json").read_text())["confirmed"]["code"]
    page = (tmp_path / "c.html").read_text()
    assert code in page and f"{board.url}api/verify?code={code}" in page and learner.pseudonym in page
    assert board.classroom.verify(code).lessons[0].lesson == "synced-group"
    answered, checked = learner.noted()[1:3]
    assert (answered.outcome, answered.turn) == (checked.outcome, checked.turn) == ("not yet", "we-do")
    # The next day, without a code and with the board away: everything goes on.
    board.stop()
    second = beside(tmp_path, "--port", port, "--join", board.url, script="print('on')")
    assert second.stdout == "on\n" and "all the same" in second.stderr, second.stderr
    third = beside(tmp_path, "--port", port, script="from spokekit.cli import main; main(['lessons', 'leave'])")
    assert f"in which you are {learner.pseudonym}" in third.stderr and "You have left the class" in third.stderr
    assert my_class(tmp_path / "practice") is None


_JOINS = """
from spokekit.cli import main
import os, sys
def run(*arguments):
    os.environ.pop("SPOKEKIT_VAULT", None)
    try: main(list(arguments))
    except SystemExit as ended: return ended.code
print(run("lessons", "join", os.environ["BOARD"], "--code", os.environ["CODE"]))
run("lessons", "begin", "synced-group")
sys.stdin.read()
"""


def test_a_class_is_joined_while_the_site_runs_and_its_seed_decides_the_world(
    board: BoardSite,  # noqa: F811
    tmp_path: Path,
) -> None:
    command = [sys.executable, "-m", "spokekit", "practice", "--port", str(free_ports()), sys.executable, "-c", _JOINS]
    env = {**os.environ, "SPOKEKIT_HOME": str(tmp_path), "BOARD": board.url, "CODE": board.code}
    with subprocess.Popen(
        command, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as run:
        wait_until(lambda: board.classroom.learners and me(board).now.lesson == "synced-group", 30)
        record = json.loads((tmp_path / "practice" / "lessons" / "synced-group" / "1" / "attempt.json").read_text())
        from spokekit.practice import PracticeSite

        assert record["before"]["sites"][0][0] == PracticeSite(seed=me(board).seed).world.cloud_id
        said, _ = run.communicate("")
    assert said.startswith(("0", "None"))
