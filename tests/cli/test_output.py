"""Lists on standard output: table, CSV and JSON; and what a program can rely on in them."""

from __future__ import annotations

import csv
import io
import json
import sys
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone

import pandas as pd
import pytest
import typer

from spokekit._frames import guard_formula
from spokekit._secret import Secret
from spokekit.cli._output import emit, guarded, listener, out, say
from spokekit.confluence.report import Progress
from spokekit.errors import Cancelled, GuardRefused, IncompleteResult

HOSTILE = "\x1b[2Jgone\u202e"


def _frame() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "name": ["=HYPERLINK(1)", "  +plain", "ok"],
            "members": pd.array([3, None, -7], dtype="Int64"),
            "share": [0.5, float("nan"), float("inf")],
            "registered": [True, False, True],
            "at": pd.to_datetime(["2026-03-01T10:00:00Z", None, "2026-03-02T10:00:00Z"], utc=True),
            "kind": pd.Categorical(["team", None, "user"]),
        }
    )


def test_json_has_types_and_nulls(capsys: pytest.CaptureFixture[str]) -> None:
    emit(_frame(), "json")
    rows = json.loads(capsys.readouterr().out)
    assert rows[0] == {
        "name": "=HYPERLINK(1)",
        "members": 3,
        "share": 0.5,
        "registered": True,
        "at": "2026-03-01T10:00:00Z",
        "kind": "team",
    }
    assert rows[1] == {
        "name": "  +plain",
        "members": None,
        "share": None,
        "registered": False,
        "at": None,
        "kind": None,
    }
    assert rows[2]["share"] is None
    assert rows[2]["members"] == -7


def test_csv_guards_formulas_in_text_and_leaves_numbers_alone(capsys: pytest.CaptureFixture[str]) -> None:
    emit(_frame(), "csv", columns=["name", "members", "registered"])
    assert list(csv.reader(io.StringIO(capsys.readouterr().out))) == [
        ["name", "members", "registered"],
        ["'=HYPERLINK(1)", "3", "true"],
        ["'  +plain", "", "false"],
        ["ok", "-7", "true"],
    ]


def test_table_lines_up_and_shows_terminal_escapes_instead_of_sending_them(capsys: pytest.CaptureFixture[str]) -> None:
    emit([{"group_id": "g1", "name": HOSTILE}, {"group_id": "g22", "name": "日本"}], "table")
    lines = capsys.readouterr().out.splitlines()
    assert lines == ["group id  name", f"--------  {'-' * 19}", r"g1        \u001b[2Jgone\u202e", "g22       日本"]


def test_rows_may_be_dataclasses_and_never_show_a_secret(capsys: pytest.CaptureFixture[str]) -> None:
    @dataclass
    class Row:
        scopes: tuple[str, ...]
        secret: Secret
        at: datetime

    emit([Row(("a", "b"), Secret("planted-value"), datetime(2026, 1, 1, tzinfo=timezone(timedelta(hours=2))))], "json")
    text = capsys.readouterr().out
    assert json.loads(text) == [{"scopes": ["a", "b"], "secret": "***", "at": "2025-12-31T22:00:00Z"}]


@pytest.mark.parametrize(("format_", "expected"), [("json", "[]\n"), ("csv", "a,b\n"), ("table", "")])
def test_nothing_to_list_is_still_a_list(capsys: pytest.CaptureFixture[str], format_: str, expected: str) -> None:
    emit([], format_, columns=["a", "b"], empty="No rows yet.")
    printed = capsys.readouterr()
    assert printed.out == expected
    assert printed.err == ("No rows yet.\n" if format_ == "table" else "")


def test_a_short_frame_is_written_and_then_called_incomplete(capsys: pytest.CaptureFixture[str]) -> None:
    frame = pd.DataFrame({"group_id": ["g1"]})
    frame.attrs["completeness"] = {"complete": False, "words": "Page 3 of the groups could not be read."}
    with pytest.raises(typer.Exit) as stop:
        emit(frame, "csv")
    printed = capsys.readouterr()
    assert stop.value.exit_code == 3
    assert printed.out == "group_id\ng1\n"
    assert "Page 3 of the groups could not be read." in printed.err


@pytest.mark.parametrize(
    ("error", "code", "lines"),
    [
        (
            GuardRefused("The group is not registered.", hint="Register it first."),
            1,
            ["The group is not registered.", "Next: Register it first."],
        ),
        (
            IncompleteResult("Rows are missing.", likely="The site stopped answering."),
            3,
            ["Rows are missing.", "The site stopped answering."],
        ),
        (Cancelled("You stopped it."), 130, ["Cancelled: You stopped it."]),
        (
            GuardRefused("Bearer abcdefghijkl was sent to https://x/?code=abcdefgh\x1b[31m"),
            1,
            ["Bearer *** was sent to https://x/?code=***"],
        ),
    ],
)
def test_an_error_is_one_clear_message_and_a_code(
    capsys: pytest.CaptureFixture[str], error: Exception, code: int, lines: list[str]
) -> None:
    @guarded()
    def command() -> None:
        raise error

    with pytest.raises(typer.Exit) as stop:
        command()
    printed = capsys.readouterr()
    assert stop.value.exit_code == code
    assert printed.out == ""
    assert printed.err.splitlines() == lines


def test_lines_for_people_go_to_standard_error(capsys: pytest.CaptureFixture[str]) -> None:
    say("for you\x07")
    out("result\x9b")
    assert capsys.readouterr() == ("result\\u009b\n", "for you\\u0007\n")


@pytest.mark.parametrize(
    "text",
    [
        "=1",
        "\t=1",
        "\r1",
        "\n=1",
        "\u3000=1",
        "\u200b@1",
        "\ufeff+1",
        "\x0b-1",
        "\uff1d1",
        "\uff0b1",
        "\uff0d1",
        "\uff20a",
    ],
)
def test_no_disguise_lets_a_formula_through(text: str) -> None:
    assert guard_formula(text) == "'" + text


@pytest.mark.parametrize("value", ["", "a=1", " ", "'=1", -7, None, "日本"])
def test_what_is_no_formula_stays_as_it_is(value: object) -> None:
    assert guard_formula(value) == value


def test_json_escapes_what_a_terminal_would_obey(capsys: pytest.CaptureFixture[str]) -> None:
    name = HOSTILE + "\x7f\x9b31m\U000e0001日本\n"
    emit([{"name": name}], "json")
    text = capsys.readouterr().out
    assert not any(letter in text for letter in "\x1b\x7f\x9b\u202e\U000e0001")
    assert "日本" in text
    assert json.loads(text) == [{"name": name}]


@pytest.mark.parametrize("terminal", [True, False])
def test_csv_is_shown_on_a_terminal_and_exact_in_a_file(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, terminal: bool
) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: terminal, raising=False)
    emit([{"name": HOSTILE}], "csv")
    assert (HOSTILE in capsys.readouterr().out) is not terminal


def test_ctrl_c_is_said_and_has_the_usual_code(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(typer.Exit) as left, guarded():
        raise KeyboardInterrupt
    assert left.value.exit_code == 130
    shown = capsys.readouterr()
    assert shown.out == "" and shown.err.strip() == "Interrupted."


def test_progress_is_one_line_and_what_is_said_next_begins_on_another(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    told = listener()
    told(Progress(1, 3, "groups", f"1 of 3 groups {HOSTILE}", points_left=1200))
    told(Progress(2, 3, "groups", "2 of 3 groups"))
    say("Stopped.")
    told(Progress(3, 3, "groups", "3 of 3 groups"))
    say("Done.")
    wanted = (
        "\r\x1b[K1 of 3 groups \\u001b[2Jgone\\u202e, 1,200 points left\r\x1b[K2 of 3 groups\nStopped.\n"
        "\r\x1b[K3 of 3 groups\nDone.\n"
    )
    assert capsys.readouterr().err == wanted
    monkeypatch.setattr(sys.stderr, "isatty", lambda: False)
    listener()(Progress(1, 3, "groups", "1 of 3 groups"))
    assert capsys.readouterr().err == ""
