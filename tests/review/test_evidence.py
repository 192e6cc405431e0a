"""A closed folder: every way of changing it is found and named, and nothing hostile in it is more than text."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from spokekit.audit import Audit
from spokekit.errors import Conflict, InputError
from spokekit.review import Campaign, Reviews, check_evidence
from spokekit.review.evidence import FILES, digest
from tests.review.conftest import decide_all

if TYPE_CHECKING:
    from spokekit.groups.membership import Membership
    from spokekit.practice import PracticeSite

Look = Callable[..., Audit]


def finish(campaign: Campaign, members: Membership, look: Look, folder: Path) -> Path:
    decide_all(campaign)
    campaign.sign("Kim Muster", "Head of IT")
    preview = campaign.plan(members)
    campaign.apply(members, preview, confirm=preview.confirmation if preview else "")
    campaign.verify(look())
    return campaign.close(folder)


@pytest.fixture
def two(reviews: Reviews, open_members: Callable[..., Membership], look: Look, tmp_path: Path) -> tuple[Path, Path]:
    members = open_members()
    third = finish(reviews.open("2026-Q3", audit=look()), members, look, tmp_path / "all" / "2026-Q3")
    fourth = finish(reviews.open("2026-Q4", audit=look()), members, look, tmp_path / "all" / "2026-Q4")
    return third, fourth


def wrong(folder: Path, reviews: Reviews | None, **more: str) -> set[tuple[str, str]]:
    found = check_evidence(folder, reviews, **more)
    return {(r["file"], r["state"]) for r in found.to_dict("records") if r["state"] != "whole"}


def test_every_change_is_found_and_named(two: tuple[Path, Path], reviews: Reviews, tmp_path: Path) -> None:
    third, fourth = two
    assert sorted(p.name for p in fourth.iterdir()) == sorted([*FILES, "manifest.json"])
    manifest = json.loads((fourth / "manifest.json").read_text())
    assert manifest["previous"]["sha256"] == digest((third / "manifest.json").read_bytes())
    assert not wrong(fourth, reviews) and not wrong(fourth, None) and not wrong(fourth.parent, reviews)

    for path in sorted(fourth.iterdir()):
        kept = path.read_bytes()
        for changed in (kept[:-1] + bytes([kept[-1] ^ 1]), kept + b"\n", kept[: len(kept) // 2]):
            path.write_bytes(changed)
            for known in (reviews, None):
                assert (path.name, "changed") in wrong(fourth, known), path.name
        path.unlink()
        assert (path.name, "missing") in wrong(fourth, None)
        path.write_bytes(kept)
    (fourth / "more.txt").write_text("added")
    (fourth / "in").mkdir()
    assert wrong(fourth, None) == {("more.txt", "added"), ("in", "added")}
    (fourth / "more.txt").unlink()
    (fourth / "in").rmdir()

    # What a close leaves that is killed before its folder has its name.
    shutil.copytree(fourth, fourth.with_name(".2026-Q4-0badcafe"))
    assert not wrong(fourth.parent, reviews)

    # Swapped, or an older one put in its place: with the store and without.
    third.rename(tmp_path / "aside")
    fourth.rename(third)
    (tmp_path / "aside").rename(fourth)
    for known in (reviews, None):
        assert wrong(fourth, known) == {(".", "misplaced")} and wrong(third, known) == {(".", "misplaced")}
    assert wrong(fourth, None, campaign="2026-Q4") == {(".", "misplaced")}
    copy = tmp_path / "elsewhere"
    shutil.copytree(third, copy)
    assert not wrong(copy, reviews, campaign="2026-Q4")


def test_a_manifest_written_anew_is_found_by_the_store_and_by_its_successor(
    two: tuple[Path, Path], reviews: Reviews
) -> None:
    from spokekit.audit.history.integrity import sealed
    from spokekit.review.evidence import rendered

    third, fourth = two
    manifest = json.loads((third / "manifest.json").read_text())
    (third / "signoffs.csv").write_text("somebody else\n")
    data = (third / "signoffs.csv").read_bytes()
    manifest["files"]["signoffs.csv"] = {"bytes": len(data), "sha256": digest(data)}
    (third / "manifest.json").write_bytes(rendered(sealed(manifest)))
    assert not wrong(third, None)
    assert wrong(third, reviews) == {(".", "misplaced")}
    assert (".", "changed") in wrong(fourth.parent, None)


def test_what_is_not_verified_cannot_be_closed_and_nothing_is_overwritten(
    campaign: Campaign, open_members: Callable[..., Membership], look: Look, tmp_path: Path
) -> None:
    with pytest.raises(Conflict, match="Open"):
        campaign.close(tmp_path / "out")
    assert not (tmp_path / "out").exists()
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").write_text("mine")
    with pytest.raises(InputError, match="not empty"):
        finish(campaign, open_members(), look, tmp_path / "full")
    assert campaign.state == "Verified"
    campaign.close(tmp_path / "new")
    # Once more, for another place.
    assert not wrong(campaign.close(tmp_path / "again"), None)


def test_hostile_names_are_text_in_every_file(two: tuple[Path, Path]) -> None:
    _, fourth = two
    page = (fourth / "report.html").read_text()
    assert "<b>Research" not in page and "&lt;b&gt;Research" in page and "<script" not in page
    for path in fourth.glob("*.csv"):
        assert not any(cell.startswith("=") for cell in path.read_text("utf-8-sig").replace('"', "").split(",")), path
    import openpyxl

    for sheet in openpyxl.load_workbook(fourth / "workbook.xlsx"):
        assert not any(cell.data_type == "f" for row in sheet.iter_rows() for cell in row)
    assert oct((fourth / "report.html").stat().st_mode)[-3:] == "600"


def test_signs_that_turn_or_hide_letters_are_seen_in_what_people_read(
    reviews: Reviews, open_members: Callable[..., Membership], look: Look, site: PracticeSite, tmp_path: Path
) -> None:
    members, frames = open_members(), site.world.frames(tables=["memberships"])
    for account in frames["memberships"]["account_id"].unique():
        site.world.rename_person(account, "Ada\u202efdp.exe\u200b \u2066Lovelace")
    folder = finish(reviews.open("2026-Q4", audit=look()), members, look, tmp_path / "2026-Q4")
    import openpyxl

    sheets = openpyxl.load_workbook(folder / "workbook.xlsx")
    book = "".join(str(c.value) for sheet in sheets for row in sheet.iter_rows() for c in row)
    for text in (book, (folder / "report.html").read_text()):
        assert "fdp.exe" in text and not set("\u202e\u200b\u2066") & set(text)
    # What programs read keeps the name as it is, or nobody could compare it.
    assert "Ada\u202efdp.exe\u200b \u2066Lovelace" in (folder / "decisions.csv").read_text("utf-8-sig")
