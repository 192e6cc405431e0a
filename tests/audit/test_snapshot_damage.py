"""Damaged snapshots: the right answer, or an older one that says so, or an error of ours; nothing wrong in silence."""

from __future__ import annotations

import json
import os
import random
import shutil
from collections import Counter
from datetime import timedelta
from pathlib import Path

import pytest

from spokekit.audit import Audit, Snapshots, diff, sites
from spokekit.audit.history import integrity
from spokekit.audit.history.integrity import damage_of, sealed
from spokekit.audit.history.snapshot import DAMAGED, HISTORY_ONLY, UNVERIFIED, WHOLE
from spokekit.audit.history.snapshots import KEEP
from spokekit.errors import InputError, NotFound, StoreError
from tests.audit.worlds import DAY_ONE, SITE, frames_of
from tests.bench import snapshot_damage as bench


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> bench.Bench:
    return bench.Bench(tmp_path_factory.mktemp("sealed"))


@pytest.fixture(scope="module")
def unsealed(tmp_path_factory: pytest.TempPathFactory) -> bench.Bench:
    return bench.Bench(tmp_path_factory.mktemp("unsealed"), checksums=False)


@pytest.fixture
def store(whole: bench.Bench, tmp_path: Path) -> Snapshots:
    """Four snapshots of a site; the files of the first one are cleaned away."""
    shutil.copytree(whole.whole, tmp_path / "snapshots")
    return Snapshots(SITE, tmp_path / "snapshots")


def damage_bytes(file: Path) -> None:
    data = bytearray(file.read_bytes())
    data[len(data) // 3] ^= 0x40
    file.write_bytes(data)


def test_one_damage_to_each_file_never_gives_a_wrong_answer_in_silence(whole: bench.Bench) -> None:
    chance = random.Random(8)
    came: Counter[str] = Counter()
    # The first has the files that all share, the last the newest state.
    for number, file in enumerate(file for file in whole.files if "/00000" not in file or file[16] in "14"):
        damage = bench.DAMAGES[number % len(bench.DAMAGES)]
        if file.endswith("newest") and damage is bench.folder_removed:
            damage = bench.removed
        kind, words = whole.attempt(file, damage, chance, open_already=number % 4 == 0)
        assert kind in (bench.RIGHT, bench.OLDER, bench.REFUSED), f"{damage.__name__} of {file}: {kind}: {words}"
        came[kind] += 1
    assert min(came[kind] for kind in (bench.RIGHT, bench.OLDER, bench.REFUSED)) > 1, came


def test_without_checksums_damage_is_never_a_raw_exception_and_the_answer_says_unverified(
    unsealed: bench.Bench,
) -> None:
    chance = random.Random(3)
    untouched = Audit.of_site(SITE, folder=unsealed.whole)
    assert "without checksums" in untouched.caution()
    assert untouched.ask("open-spaces").equals(unsealed.right[4][2])
    for number, file in enumerate(unsealed.files[::4]):
        damage = (bench.flip, bench.zeros, bench.swapped)[number % 3]
        kind, words = unsealed.attempt(file, damage, chance, open_already=number % 5 == 0)
        assert kind not in (bench.RAW, bench.WRONG), f"{damage.__name__} of {file}: {words}"
    assert set(Snapshots(SITE, unsealed.whole).check()["state"]) == {HISTORY_ONLY, UNVERIFIED}


def test_a_check_names_every_damaged_file_and_none_of_the_others(store: Snapshots) -> None:
    before = store.check()
    assert before["state"].to_list() == [HISTORY_ONLY, WHOLE, WHOLE, WHOLE]
    assert before["snapshot"].to_list() == [1, 2, 3, 4] and before["damaged"].to_list() == [[], [], [], []]
    shared = Path(store.latest().paths("users-ids")[0])
    assert shared.parent.name == "000001", "all four need it"
    damage_bytes(shared)
    (store.folder / "000003" / "grants.parquet").unlink()
    (store.folder / "000004" / "manifest.json").write_bytes(b"{}")
    found = store.check().set_index("snapshot")
    assert found["state"].to_list() == [DAMAGED] * 4
    assert found.loc[2, "damaged"] == ["000001/users-ids.parquet"]
    assert sorted(found.loc[3, "damaged"]) == ["000001/users-ids.parquet", "000003/grants.parquet"]
    assert found.loc[4, "damaged"] == ["000004/manifest.json"]
    assert "was changed after it was written" in found.loc[2, "words"] and "is missing" in found.loc[3, "words"]
    with pytest.raises(StoreError, match=r"snapshot 4 .*000004/manifest.json.*spokekit audit check"):
        store.latest()


def test_damage_that_keeps_size_and_times_is_found_by_the_check(store: Snapshots) -> None:
    victim = Path(store.latest().paths("memberships")[0])
    store.latest()
    was = victim.stat()
    damage_bytes(victim)
    os.utime(victim, ns=(was.st_atime_ns, was.st_mtime_ns))
    assert store.check()["state"].to_list() == [HISTORY_ONLY, WHOLE, WHOLE, DAMAGED]
    assert store.latest().at == 3, "and the first look after it, since the file was written to"


def test_the_whole_of_a_file_is_read_once_in_a_process_and_again_when_asked(
    store: Snapshots, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = store.latest().entries()
    assert len(files) > 12

    def read_again() -> None:
        raise AssertionError("the file was read a second time")

    monkeypatch.setattr(integrity.hashlib, "sha256", read_again)
    assert [damage_of(entry) for entry in files] == [None] * len(files)
    with pytest.raises(AssertionError, match="a second time"):
        damage_of(files[0], again=True)
    files[0].path.touch()
    with pytest.raises(AssertionError, match="a second time"):
        damage_of(files[0])


def test_a_manifest_that_is_changed_in_any_value_is_not_believed(store: Snapshots) -> None:
    path = store.folder / "000004" / "manifest.json"
    manifest = json.loads(path.read_bytes())
    moments = [[n, t.replace("2026", "2025"), *rest] for n, t, *rest in manifest["moments"]]
    for change in (
        {"moments": moments},
        {"completeness": {"complete": True, "words": "All of it."}},
        {"sha256": "0" * 64},
        {"format": 1},
        {"format": 99},
        {"format": "2"},
        {"number": 3},
    ):
        path.write_text(json.dumps({**manifest, **change}))
        assert store.latest().at == 3, change
    unmarked = {key: value for key, value in manifest.items() if key != "sha256"}
    path.write_text(json.dumps(unmarked))
    assert store.latest().at == 3, "without its digest a manifest of today is not one of yesterday"
    outside = {**manifest["files"], "grants": [{"path": "../../secret.parquet", "bytes": 9, "sha256": ""}]}
    path.write_text(json.dumps(sealed({**manifest, "files": outside})))
    assert store.latest().at == 3


def test_the_folders_of_two_sites_are_not_mistaken_for_each_other(store: Snapshots) -> None:
    theirs = store.folder.with_name("another-site")
    shutil.copytree(store.folder, theirs)
    with pytest.raises(StoreError, match="is of another snapshot"):
        Audit.of_site("another-site", folder=theirs.parent)
    (theirs / "000004").rename(theirs / "000009")
    assert {site.cloud_id for site in sites(theirs.parent)} == {"class-site", "another-site"}


def test_the_loss_of_the_newest_folder_is_said(store: Snapshots) -> None:
    shutil.rmtree(store.folder / "000004")
    audit = Audit.of_site(SITE, folder=store.folder.parent)
    assert audit.source.at == 3 and "the newest one (4) cannot be used, since 000004 is missing" in audit.caution()
    assert audit.ask("group-sizes").attrs["caution"] == audit.caution()
    assert diff(Audit.of_snapshot(store.latest(), at=2), audit).attrs["caution"] in audit.caution()
    with pytest.raises(NotFound, match="This is from the older snapshot 3"):
        store.latest().looked_at(4)
    assert store.check()["state"].to_list()[-1] == DAMAGED
    assert store.write(frames_of(day=5)).at == 5, "its number is not given twice"
    assert store.older_words() == ""


def test_an_audit_that_is_open_notices_what_happens_to_its_files(store: Snapshots) -> None:
    audit = Audit.of_snapshot(store.latest())
    right = audit.ask("members-of-groups")
    victim = Path(store.latest().paths("memberships")[0])
    kept = victim.read_bytes()
    damage_bytes(victim)
    for ask in (audit.frames, lambda: audit.ask("members-of-groups"), lambda: audit.sql("SELECT 1")):
        with pytest.raises(StoreError, match=r"snapshot 4 .*memberships.parquet was changed after it was written"):
            ask()
    victim.write_bytes(kept)
    assert audit.ask("members-of-groups").equals(right), "put back, it is the same file"
    with pytest.raises(InputError, match="The query does not work"):
        audit.sql("SELECT nonsense")


def test_when_no_snapshot_can_be_used_a_walk_begins_a_new_history_and_says_so(store: Snapshots) -> None:
    damage_bytes(Path(store.latest().paths("users-ids")[0]))
    files = {p: p.read_bytes() for p in store.folder.rglob("*.parquet")}
    assert not store.exists() and store.older_words().startswith("No earlier snapshot can be used: The snapshot 4")
    for day in range(5, 6 + KEEP):
        written = store.write(frames_of(day=day))
    assert written.at == 5 + KEEP and len(written.moments) == KEEP + 1
    assert {p: p.read_bytes() for p in files if p.exists()} == files, "what may be mended is not cleaned away"
    first = json.loads((store.folder / "000005" / "manifest.json").read_bytes())
    assert "This one begins a new history." in first["completeness"]["notes"][-1]


def test_cleaning_never_follows_a_link_out_of_its_folder(store: Snapshots, tmp_path: Path) -> None:
    outside = tmp_path / "another disk"
    (store.folder / "000002").rename(outside)
    (outside / "precious.parquet").write_bytes(b"of somebody else")
    (store.folder / "000002").symlink_to(outside, target_is_directory=True)
    (store.folder / ".new-999999-left").symlink_to(outside, target_is_directory=True)
    (store.folder / "000003" / "linked.parquet").symlink_to(outside / "precious.parquet")
    before = {p: p.read_bytes() for p in outside.iterdir()}
    assert store.latest().at == 4, "the snapshots are whole all the same"
    for day in range(5, 6 + KEEP):
        newest = store.write(frames_of(day=day))
    assert {1, 2, 3, 4} < {moment.number for moment in newest.moments}
    assert {p: p.read_bytes() for p in outside.iterdir()} == before
    assert not (store.folder / "000003" / "linked.parquet").is_symlink(), "the link itself is cleaned away"
    assert not (store.folder / "000003" / "memberships.parquet").exists()


@pytest.mark.parametrize("kind", ["file", "dangling link", "folder"])
def test_something_else_under_the_next_number_is_stepped_over(store: Snapshots, kind: str) -> None:
    other = store.folder / "000005"
    if kind == "file":
        other.write_text("notes")
    elif kind == "folder":
        other.mkdir()
    else:
        other.symlink_to("nowhere")
    written = store.write(frames_of(day=5))
    assert written.at == 6 and store.latest().at == 6
    assert store.latest().taken_at == DAY_ONE + timedelta(days=5)
