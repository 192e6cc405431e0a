"""What is kept of a class, for how long, and that nothing is left of it afterwards."""

from __future__ import annotations

import csv
import io
import json
import sqlite3
import stat
import time
from collections.abc import Callable
from pathlib import Path

import httpx2
import openpyxl
import pytest

from spokekit.board import export
from spokekit.board.classroom import Classroom
from spokekit.board.records import DAYS_KEPT, Records
from spokekit.board.server import BoardSite
from spokekit.board.wire import MOST_LEARNERS, Join, Say
from spokekit.errors import Conflict, InputError
from tests.board.conftest import MENUS, Computer

Class = Callable[..., Computer]
NAME = "Wilhelmina Quackenbush"


def _whole(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file())


def _filled(board: BoardSite, http: httpx2.Client) -> Computer:
    one = Computer(board, http, name=NAME)
    one.tell(one.note("begun"), one.note("hint"), one.note("checked", outcome="not yet", turn="both"))
    one.tell(one.note("checked", outcome="right"))
    board.order(Say("a-message-of-the-trainer"))
    one.post("certificate", b"")
    return one


def test_the_file_is_its_owners_and_holds_no_key(board: BoardSite, http: httpx2.Client, tmp_path: Path) -> None:
    one = _filled(board, http)
    path = tmp_path / "class.sqlite"
    for file in tmp_path.glob("class.sqlite*"):
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
    whole = _whole(tmp_path)
    assert NAME.encode() in whole and path.exists()
    for key in (one.joined.key, board.trainer_url.partition("key=")[2]):
        assert key.encode() not in whole


def test_forgetting_leaves_nothing_in_the_file_and_ends_the_board(
    board: BoardSite, http: httpx2.Client, tmp_path: Path
) -> None:
    one = _filled(board, http)
    # Another process does it, as the command does, while the board is served.
    records = Records(tmp_path / "class.sqlite")
    assert records.forget() == 1
    records.close()
    assert board.forgotten.wait(10)
    with pytest.raises(httpx2.HTTPError):
        while True:
            # Until it is gone it takes nothing in.
            assert one.tell(one.note("hint")).status_code == 410
    board.stop()
    whole = _whole(tmp_path)
    for word in (NAME, NAME.split()[1], one.joined.pseudonym, "a-message-of-the-trainer", board.code, "both"):
        assert word.encode() not in whole, word


def test_a_class_is_deleted_after_thirty_days(http: httpx2.Client, tmp_path: Path) -> None:
    now = time.time()
    (tmp_path / "a").mkdir()
    with BoardSite(tmp_path / "a" / "class.sqlite", clock=lambda: now) as board:
        _filled(board, http)
        code = board.code
    now += (DAYS_KEPT - 1) * 86_400
    with BoardSite(tmp_path / "a" / "class.sqlite", clock=lambda: now) as board:
        # A day is long over: it is another class, and the old one is kept.
        assert board.code != code and NAME.encode() in _whole(tmp_path)
        now += 2 * 86_400
        board.classroom.records.forget_old(now)
        assert NAME.encode() not in _whole(tmp_path)
        assert board.classroom.records.is_there(board.classroom.kept.class_id)


def test_a_class_of_yesterday_is_not_gone_on_with(tmp_path: Path) -> None:
    records, now = Records(tmp_path / "c.sqlite"), 1_000_000.0
    first = Classroom(records, name="One", clock=lambda: now)
    now += 86_000
    assert Classroom(records, clock=lambda: now).kept.code == first.kept.code
    renamed = Classroom(records, name="Two", lessons=("x",), clock=lambda: now).kept
    assert (renamed.name, renamed.lessons, renamed.code) == ("Two", ("x",), first.kept.code)
    now += 1_000
    later = Classroom(records, clock=lambda: now)
    assert later.kept.code != first.kept.code and not later.gone_on
    with pytest.raises(InputError, match="80 letters"):
        Classroom(records, name="x" * 81)
    records.close()


def test_a_class_has_an_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    records = Records(tmp_path / "c.sqlite")
    class_ = Classroom(records)
    monkeypatch.setattr(records, "add_learner", lambda *_: None)
    people = [class_.join(Join(code=class_.kept.code)) for _ in range(MOST_LEARNERS)]
    assert len({one.pseudonym for one in people}) == len({one.seed for one in people}) == MOST_LEARNERS
    with pytest.raises(Conflict, match="full"):
        class_.join(Join(code=class_.kept.code))
    records.close()


def test_a_link_of_before_lets_in_after_a_restart(http: httpx2.Client, tmp_path: Path) -> None:
    with BoardSite(tmp_path / "c.sqlite") as board:
        link = board.trainer_url.partition("open?")[2]
    with BoardSite(tmp_path / "c.sqlite") as board:
        for one in (f"{board.url}open?{link}", board.trainer_url):
            assert http.get(one).status_code == 200


# -- export ----------------------------------------------------------------------------------------------------


@pytest.fixture
def class_of_three(board: BoardSite, computer: Class) -> BoardSite:
    ada, formula, _ = computer(name="Ada"), computer(name='=HYPERLINK("http://x","y")'), computer(name="\u202eevil")
    ada.tell(ada.note("begun", at=60.0), ada.note("checked", outcome="not yet", turn="both"))
    ada.tell(ada.note("hint"), ada.note("solution"), ada.note("checked", outcome="right", at=660.0))
    formula.tell(formula.note("begun"), formula.note("checked", outcome="not yet", turn="the-other-one"))
    formula.tell(formula.note("begun", "leavers-with-access", attempt=2))
    return board


def test_csv(class_of_three: BoardSite, trainer: httpx2.Client) -> None:
    answer = trainer.get("export?format=csv&names=1")
    assert answer.content.startswith("\ufeff".encode()) and "attachment" in answer.headers["content-disposition"]
    rows = list(csv.DictReader(io.StringIO(answer.content.decode("utf-8-sig"))))
    assert [row["lesson"] for row in rows] == [
        *("near-duplicate-groups", "near-duplicate-groups", "leavers-with-access"),
        "",
    ]
    ada, formula = rows[0], rows[1]
    assert (ada["name"], ada["class"], ada["lessons_right"]) == ("Ada", "Autumn", "1")
    assert (ada["begun"], ada["right_at"]) == ("1970-01-01T00:01:00Z", "1970-01-01T00:11:00Z")
    assert (ada["minutes_at_it"], ada["turns"], ada["hints"], ada["solution_seen"]) == ("10", "both 1", "1", "true")
    assert ada["checks"] == "2" and ada["title"] == "Two <groups>"
    assert formula["name"].startswith("'=") and formula["outcome"] == "not yet"
    assert "name" not in csv.DictReader(io.StringIO(trainer.get("export?format=csv").text)).fieldnames  # type: ignore[operator]


def test_xlsx_opens_and_runs_nothing(class_of_three: BoardSite, trainer: httpx2.Client) -> None:
    book = openpyxl.load_workbook(io.BytesIO(trainer.get("export?format=xlsx&names=1").content))
    assert book.sheetnames == ["Attendance", "Lessons"]
    people, lessons = (list(sheet.iter_rows(values_only=True)) for sheet in book)
    assert len(people) == 4 and len(lessons) == 4 and "last seen" in people[0]
    cells = [cell for sheet in book for row in sheet.iter_rows() for cell in row]
    assert all(cell.data_type != "f" for cell in cells)
    names = {cell.value for cell in cells}
    assert {"Ada", '=HYPERLINK("http://x","y")', "\\u202eevil"} <= names
    hidden = openpyxl.load_workbook(io.BytesIO(trainer.get("export?format=xlsx").content))
    assert "Ada" not in {cell.value for sheet in hidden for row in sheet.iter_rows() for cell in row}


def test_json(class_of_three: BoardSite, trainer: httpx2.Client) -> None:
    text = trainer.get("export?format=json&names=1").text
    assert "\u202e" not in text
    told = json.loads(text)
    assert [row["name"] for row in told["attendance"]] == ["Ada", '=HYPERLINK("http://x","y")', "\u202eevil"]
    assert [row["turns"] for row in told["lessons"]] == ["both 1", "the-other-one 1", ""]


def test_a_learners_clock_may_say_anything(board: BoardSite, computer: Class, trainer: httpx2.Client) -> None:
    one = computer()
    one.tell(one.note("begun", at=1e11), one.note("checked", outcome="right", at=0.0))
    for path in ("board", "learner?id=1", "export?format=csv", "export?format=xlsx"):
        assert trainer.get(path).status_code == 200
    (row,) = export.lessons(board.classroom.kept, MENUS.course)
    assert row["minutes"] == 0 and row["right_at"] == "1970-01-01T00:00:00Z"


def test_the_file_keeps_its_promises_by_itself(board: BoardSite, http: httpx2.Client, tmp_path: Path) -> None:
    _filled(board, http)
    with sqlite3.connect(tmp_path / "class.sqlite") as db:
        assert db.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        assert db.execute("PRAGMA foreign_key_check").fetchall() == []
        assert db.execute("SELECT count(*) FROM class_events").fetchone() == (4,)
    db.close()
