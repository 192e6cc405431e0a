"""The person's copies of the notebooks: new ones come, untouched ones follow, changed ones stay."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from spokekit import _notebook_copies
from spokekit._notebook_copies import copy_notebooks
from spokekit.cli import main
from spokekit.errors import InputError


@pytest.fixture
def shipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "shipped"
    folder.mkdir()
    (folder / "00-start-here.ipynb").write_text("zero 1")
    (folder / "01-next.ipynb").write_text("one 1")
    (folder / ".gitkeep").touch()
    monkeypatch.setattr(_notebook_copies, "shipped", lambda: folder)
    return folder


def _texts(folder: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in folder.glob("*.ipynb")}


def test_first_time_all_are_copied_and_a_second_start_changes_nothing(shipped: Path, tmp_path: Path) -> None:
    mine = tmp_path / "deep" / "mine"
    assert copy_notebooks(mine).added == ("00-start-here.ipynb", "01-next.ipynb")
    assert _texts(mine) == _texts(shipped)
    again = copy_notebooks(mine)
    assert not list(again.words())
    assert _texts(mine) == _texts(shipped)


def test_work_is_kept_and_untouched_copies_follow_a_new_version(shipped: Path, tmp_path: Path) -> None:
    mine = tmp_path / "mine"
    copy_notebooks(mine)
    (mine / "01-next.ipynb").write_text("my work")
    assert list(copy_notebooks(mine).words()) == [], "the same version is not offered twice"
    for path in shipped.glob("*.ipynb"):
        path.write_text(path.read_text().replace("1", "2"))
    (shipped / "02-new.ipynb").write_text("two 2")

    done = copy_notebooks(mine)
    assert done.added == ("02-new.ipynb",)
    assert done.renewed == ("00-start-here.ipynb",)
    assert done.beside == (("01-next.ipynb", "01-next-new.ipynb"),)
    assert _texts(mine) == {
        "00-start-here.ipynb": "zero 2",
        "01-next.ipynb": "my work",
        "01-next-new.ipynb": "one 2",
        "02-new.ipynb": "two 2",
    }
    assert not copy_notebooks(mine).beside, "one copy beside is enough"

    (mine / "01-next-new.ipynb").write_text("also my work")
    (shipped / "01-next.ipynb").write_text("one 3")
    assert copy_notebooks(mine).beside == (("01-next.ipynb", "01-next-new-2.ipynb"),)
    assert _texts(mine)["01-next.ipynb"] == "my work"
    assert _texts(mine)["01-next-new.ipynb"] == "also my work"


def test_a_notebook_that_was_merely_opened_is_nobodys_work(shipped: Path, tmp_path: Path) -> None:
    mine = tmp_path / "mine"

    def notebook(source: str, outputs: list[str], **metadata: str) -> str:
        cell = {"cell_type": "code", "source": [source], "outputs": outputs, "execution_count": None, "metadata": {}}
        return json.dumps({"cells": [cell], "metadata": metadata, "nbformat": 4, "nbformat_minor": 5})

    for path in shipped.glob("*.ipynb"):
        path.write_text(notebook("1", []))
    copy_notebooks(mine)
    (mine / "00-start-here.ipynb").write_text(notebook("1", [], language_info="python"))
    (mine / "01-next.ipynb").write_text(notebook("1", ["a result"]))
    for path in shipped.glob("*.ipynb"):
        path.write_text(notebook("2", []))
    done = copy_notebooks(mine)
    assert done.renewed == ("00-start-here.ipynb",)
    assert done.kept == ("01-next.ipynb",)


@pytest.mark.parametrize("record", ["", "[1]", "{", '{"00-start-here.ipynb": 5}'])
def test_without_a_readable_record_nothing_counts_as_untouched(shipped: Path, tmp_path: Path, record: str) -> None:
    mine = tmp_path / "mine"
    copy_notebooks(mine)
    (mine / _notebook_copies.RECORD).write_text(record)
    (shipped / "00-start-here.ipynb").write_text("zero 2")
    assert copy_notebooks(mine).beside == (("00-start-here.ipynb", "00-start-here-new.ipynb"),)
    assert _texts(mine)["00-start-here.ipynb"] == "zero 1"


def test_a_place_that_cannot_be_written_is_an_error_with_a_way_out(shipped: Path, tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("")
    with pytest.raises(InputError, match="--folder"):
        copy_notebooks(file)
    with pytest.raises(InputError, match="cannot be copied"):
        copy_notebooks(file / "below")


def test_the_command_copies_says_where_and_keeps_what_was_changed(
    shipped: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)

    def run(*words: str) -> tuple[int, str]:
        with pytest.raises(SystemExit) as left:
            main(["notebooks", *words])
        told = capsys.readouterr()
        return int(left.value.code or 0), told.out + told.err

    code, said = run()
    mine = tmp_path / "spokekit-notebooks"
    assert (
        code == 0
        and "Copied 2 notebooks there." in said
        and str(mine / "00-start-here.ipynb") in said.replace("\n", "")
    )
    (mine / "01-next.ipynb").write_text("my work")
    assert run()[0] == 0 and _texts(mine)["01-next.ipynb"] == "my work"
    assert "All are there already." in run()[1]
    code, said = run(str(mine / "01-next.ipynb"))
    assert code != 0 and "name another one with FOLDER" in " ".join(said.split())
