"""The lessons without a notebook: what is printed, which exit codes, and lessons of one's own."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from spokekit.cli import main

if TYPE_CHECKING:
    from spokekit.practice import PracticeSite


@pytest.fixture(autouse=True)
def _vault_is_put_back() -> Iterator[None]:
    yield
    os.environ.pop("SPOKEKIT_VAULT", None)


def run(*arguments: str) -> int:
    with pytest.raises(SystemExit) as ended:
        main(["lessons", *arguments])
    return int(ended.value.code or 0)


def test_begin_check_hint_reset_progress(
    site: PracticeSite, home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("begin", "synced-group") == 1
    assert "no practice site" in capsys.readouterr().err
    monkeypatch.setenv("SPOKEKIT_PRACTICE", json.dumps(site.describe()))
    assert run("check", "no-such-lesson") == 2
    assert run("check", "synced-group") == 1
    found = json.loads(capsys.readouterr().out)
    assert found["outcome"] == "not attempted" and "was not begun" in found["words"]
    for command in (("hint",), ("solution",), ("answer", "x")):
        assert run(command[0], "synced-group", *command[1:]) == 1
        assert "was not begun" in capsys.readouterr().err
    assert run("begin", "synced-group") == 0
    printed = capsys.readouterr()
    assert printed.out.splitlines()[0] == f"SPOKEKIT_HOME={home / 'lessons' / 'synced-group' / '1'}"
    assert "Goal: " in printed.err

    def check(code: int) -> dict[str, str]:
        assert run("check", "synced-group") == code
        found: dict[str, str] = json.loads(capsys.readouterr().out)
        assert list(found) == ["lesson", "outcome", "turn", "words"]
        return found

    assert check(1)["outcome"] == "not attempted"
    assert run("answer", "synced-group", "we do, with spokekit") == 0
    assert check(1)["turn"] == "we-do"
    assert run("hint", "synced-group") == 0
    assert capsys.readouterr().out.startswith("Hint 1 of 2: ")
    assert run("solution", "synced-group") == 1
    assert run("answer", "synced-group", "The identity provider (Okta); the change arrives here by itself") == 0
    assert check(0)["outcome"] == "right"
    assert run("reset", "synced-group") == 0
    assert "/synced-group/2" in capsys.readouterr().out
    assert check(1)["outcome"] == "not attempted"
    assert run("progress", "--format", "json") == 0
    rows = json.loads(capsys.readouterr().out)
    (row,) = [row for row in rows if row["lesson"] == "synced-group"]
    assert (row["attempts"], row["hints"], row["outcome"]) == (2, 1, "not attempted") and row["right_at"]


def test_a_lesson_of_ones_own_is_written_tested_and_found(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "own-lessons"
    assert run("new", str(folder)) == 0
    assert run("new", str(folder)) == 1
    assert run("test", str(folder)) == 0
    assert "All 1 are as they should be." in capsys.readouterr().err
    monkeypatch.setenv("SPOKEKIT_LESSONS", str(folder))
    assert run("list", "--format", "json") == 0
    assert json.loads(capsys.readouterr().out)[-1]["lesson"] == "legal-only"
    path = folder / "legal_only.py"
    path.write_text(path.read_text().replace('return seen.registered == {"legal-counsel"}', "return True"))
    assert run("test", str(folder), "--format", "json") == 1
    assert {row["lesson"] for row in json.loads(capsys.readouterr().out)} == {"legal-only"}


def test_wrong_input_is_told_in_a_sentence(
    site: PracticeSite, home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refused(code: int, words: str, *arguments: str) -> None:
        assert run(*arguments) == code
        printed = capsys.readouterr()
        assert words in " ".join((printed.out + printed.err).replace("│", " ").split()), printed

    told = site.describe()
    monkeypatch.delenv("SPOKEKIT_PRACTICE", raising=False)
    for command in ("begin", "reset", "hint", "solution"):
        refused(1, "no practice site here", command, "synced-group")
    refused(1, '"outcome": "cannot check"', "check", "synced-group")
    strange = ({**told, "url": "https://api.atlassian.com/"}, {**told, "url": "http://127.0.0.1:99999/"}, {"url": 1})
    for said in (*strange, {**told, "key": "kéy"}, {**told, "key": "another"}, {**told, "url": "http://127.0.0.1:9/"}):
        monkeypatch.setenv("SPOKEKIT_PRACTICE", json.dumps(said))
        assert run("begin", "synced-group") == 1
        printed = capsys.readouterr()
        assert printed.err.count("Next: ") == 1 and not printed.out, printed
    assert not list(home.glob("lessons/*/*/attempt.json"))
    monkeypatch.setenv("SPOKEKIT_PRACTICE", json.dumps(told))
    for command in ("begin", "check", "hint", "solution", "reset", "answer"):
        more = ("x",) if command == "answer" else ()
        refused(2, "Did you mean synced-group?", command, "synced-gruop", *more)
        refused(2, "spokekit lessons list shows them all", command, "../..", *more)
    assert run("begin", "first-connection") == 0
    assert f"{site.url}console?open=" in capsys.readouterr().err
    refused(2, "There is no lesson 'nope' here", "test", "--only", "synced-group", "--only", "nope")
    refused(1, "No lesson was right here yet", "certificate")
    assert run("begin", "synced-group") == 0 and run("begin", "synced-group") == 0
    assert "/synced-group/2" in capsys.readouterr().out, "begun twice: the first attempt stays"
    assert (home / "lessons" / "synced-group" / "1" / "attempt.json").exists()
    refused(1, "comes after 2 more hints", "solution", "synced-group")
    refused(1, "The answer is one of", "answer", "synced-group", "nobody")
    for number in (1, 2, 2):
        refused(0, f"Hint {number} of 2", "hint", "synced-group")
    refused(0, "1. ", "solution", "synced-group")


LESSON = """
from spokekit.training import Lesson, Start, Turn

class Own(Lesson):
    name = "own"
"""


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("class Own(", "SyntaxError, line 1"),
        ("raise ValueError('broken')", "ValueError: broken"),
        ("import sys; sys.exit(0)", "SystemExit"),
        ("import nowhere_to_be_found", "No module named"),
        ("x = 1", "holds no lesson"),
        ("LESSONS = ['own']", "'own' as a lesson, which is none"),
        ("LESSONS = 1", "not iterable"),
        ("LESSONS = (dict,)", "which is none"),
        (LESSON.replace('"own"', '"../own"'), "has the name '../own'"),
        (LESSON.replace('name = "own"', "name = None"), "has the name"),
        (LESSON + '    hints = ("one")', "wrong kind of hints"),
        (LESSON + '    minutes = "5"', "wrong kind of minutes"),
        (LESSON + "    turns = (1,)", "tuple of Turn"),
        (LESSON + "class Other(Own):\n    pass", "two lessons called own"),
        (LESSON.replace('"own"', '"synced-group"'), "two lessons called synced-group"),
    ],
)
def test_a_folder_that_is_broken_is_told_with_its_file(
    text: str, words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "mine.py").write_text(text)
    assert run("list", "--lessons", str(tmp_path)) == 1
    told = capsys.readouterr().err
    assert words in told and str(tmp_path) in told
    if "synced-group" not in text:
        assert run("test", str(tmp_path)) == 1
        assert words in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (LESSON, "It has no goal."),
        (LESSON + '    hints = ("{", "b")', "Write {{ and }} for braces|cannot be read"),
        (LESSON + "    start = Start(switches={'no': 1})", "refused"),
        (LESSON + "    def prepare(self, do):\n        1 / 0", "ZeroDivisionError"),
        (LESSON + "    def attempted(self, seen):\n        raise SystemExit(0)", "SystemExit"),
    ],
)
def test_a_lesson_that_is_broken_fails_by_name(
    text: str, words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "mine.py").write_text(text)
    assert run("test", str(tmp_path), "--format", "json") == 1
    rows = json.loads(capsys.readouterr().out)
    assert {row["lesson"] for row in rows} == {"own"}
    assert any(part in row["words"] for row in rows for part in words.split("|")), rows


def test_a_hand_over_lesson_by_commands_reaches_its_practice_instance_and_no_other(
    site: PracticeSite, home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SPOKEKIT_PRACTICE", json.dumps(site.describe()))
    assert run("begin", "instance-after-a-clone") == 0
    printed = capsys.readouterr()
    told = site.instance_beside.there().describe()
    key = home / "lessons" / "instance-after-a-clone" / "1" / "instance.key"
    assert (
        f"--instance {told['url']} --api-key-file {key}" in printed.err and f"{site.url}instance?open=" in printed.err
    )
    assert key.read_text() == told["api_key"] and key.stat().st_mode & 0o077 == 0
    assert told["api_key"] not in printed.err + printed.out + (key.parent / "attempt.json").read_text()

    def handover(*arguments: str, at: str = told["url"]) -> int:
        with pytest.raises(SystemExit) as ended:
            main(["handover", *arguments, "--instance", at, "--api-key-file", str(key)])
        return int(ended.value.code or 0)

    monkeypatch.setenv("SPOKEKIT_HOME", str(key.parent))
    for command in ("compare", "apply", "undo"):
        assert handover(command, at="https://acme.service-now.com/") == 1
        assert "a lesson reaches its practice instance only" in capsys.readouterr().err
    assert handover("compare", "--format", "json") == 0
    found = json.loads(capsys.readouterr().out)
    assert {row["column"] for row in found} == {"redirect_url", "active", ""}
    app = told_app(printed.err)
    assert handover("apply", "--app-id", app, "--groups", "--format", "json") == 0
    names = [row["confirm"] for row in json.loads(capsys.readouterr().out) if row["confirm"]]
    more = [part for name in names for part in ("--update", name)]
    assert handover("apply", "--app-id", app, "--groups", "--write", "--yes", *more) == 0
    assert run("check", "instance-after-a-clone") == 0


def told_app(said: str) -> str:
    return said.split("client ID ")[1].split(" ")[0]
