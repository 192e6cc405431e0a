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
    path.write_text("raise ValueError('broken')")
    assert run("test", str(folder)) == 1
    assert "cannot be loaded" in capsys.readouterr().err
