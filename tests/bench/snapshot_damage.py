"""Damage the files of a site's snapshots at random, and see what is answered then. Writes a Markdown table.

    python -m tests.bench.snapshot_damage [--tries 160] [--seed 1] [--without-checksums] [--out FILE]

Each try takes a fresh copy of four snapshots of the practice site's class, does one thing to one of their files (a
byte, a block of zeros, a cut, a removal, another file in its place, something added), before the audit is opened or
while it is open, and asks. The answer has to be that of the whole snapshots, or that of an older snapshot with words
that say so, or an error of spokekit's that names a snapshot and what to do next.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd

from spokekit.audit import Audit, Snapshots
from spokekit.audit.history.integrity import WITHOUT_CHECKSUMS
from spokekit.errors import SpokekitError

QUESTIONS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("members-of-groups", {}),
    ("changes-since", {"days": 30}),
    ("open-spaces", {}),
)
RIGHT, OLDER, REFUSED, UNVERIFIED = "right", "an older snapshot's, and said so", "an error that says", "unverified"
WRONG, RAW = "wrong in silence", "a raw exception"
Damage = Callable[[Path, random.Random], None]


def flip(file: Path, chance: random.Random) -> None:
    data = bytearray(file.read_bytes())
    data[chance.randrange(len(data))] ^= chance.randrange(1, 256)
    file.write_bytes(data)


def zeros(file: Path, chance: random.Random) -> None:
    data = file.read_bytes()
    at = chance.randrange(len(data))
    file.write_bytes(data[:at] + bytes(min(64, len(data) - at)) + data[at + 64 :])


def cut(file: Path, chance: random.Random) -> None:
    file.write_bytes(file.read_bytes()[: chance.randrange(file.stat().st_size)])


def longer(file: Path, chance: random.Random) -> None:
    with file.open("ab") as end:
        end.write(chance.randbytes(1 + chance.randrange(99)))


def removed(file: Path, _chance: random.Random) -> None:
    file.unlink()


def folder_removed(file: Path, _chance: random.Random) -> None:
    shutil.rmtree(file.parent)


def swapped(file: Path, chance: random.Random) -> None:
    site = next(one for one in file.parents if one.name == "class-site")
    other = chance.choice(sorted(one for one in site.rglob(f"*{file.suffix}") if one != file and one.is_file()))
    kept = file.read_bytes()
    file.write_bytes(other.read_bytes())
    other.write_bytes(kept)


def of_another_day(file: Path, chance: random.Random) -> None:
    others = sorted(other for other in file.parent.parent.glob(f"*/{file.name}") if other != file)
    if others:
        shutil.copyfile(chance.choice(others), file)


def added(file: Path, chance: random.Random) -> None:
    shutil.copyfile(file, file.with_name(f"{file.stem} (1){file.suffix}"))
    folder = file.parent.parent / f"{chance.randrange(1, 99):06d}"
    if not folder.exists():
        folder.mkdir()
        shutil.copyfile(file, folder / file.name)


def a_folder(file: Path, _chance: random.Random) -> None:
    file.unlink()
    file.mkdir()


DAMAGES: tuple[Damage, ...] = (
    flip,
    zeros,
    cut,
    longer,
    removed,
    folder_removed,
    swapped,
    of_another_day,
    added,
    a_folder,
)


class Bench:
    """Four whole snapshots, and the right answers to some questions at each of them."""

    def __init__(self, folder: Path, *, checksums: bool = True) -> None:
        from tests.audit.worlds import SITE, frames_of

        self.site, self.folder = SITE, folder
        self.whole = folder / "whole"
        store = Snapshots(SITE, self.whole)
        self.right: dict[int, list[pd.DataFrame]] = {}
        rows = frames_of().memberships
        for day in range(4):
            gone = rows.drop(index=range(5 * day, 7 * day)).reset_index(drop=True)
            newest = store.write(frames_of(day=day, memberships=gone))
            self.right[newest.at] = self.answers(Audit.of_snapshot(newest))
        if not checksums:
            for manifest in store.folder.glob("*/manifest.json"):
                told = json.loads(manifest.read_bytes())
                del told["sha256"]
                for entry in (entry for entries in told["files"].values() for entry in entries):
                    del entry["sha256"]
                manifest.write_text(json.dumps({**told, "format": WITHOUT_CHECKSUMS}, indent=1))
            (store.folder / "newest").unlink()
        self.files = sorted(str(p.relative_to(self.whole)) for p in store.folder.rglob("*") if p.is_file())

    def answers(self, audit: Audit) -> list[pd.DataFrame]:
        return [audit.ask(name, **given) for name, given in QUESTIONS]

    def attempt(self, file: str, damage: Damage, chance: random.Random, *, open_already: bool) -> tuple[str, str]:
        """Return what came of one damage, and the words of it."""
        place = self.folder / "tried"
        shutil.rmtree(place, ignore_errors=True)
        shutil.copytree(self.whole, place)
        try:
            audit = Audit.of_site(self.site, folder=place) if open_already else None
            damage(place / file, chance)
            audit = audit or Audit.of_site(self.site, folder=place)
            answers = self.answers(audit)
        except SpokekitError as error:
            named = "snapshot" in str(error) and error.hint
            return (REFUSED if named else RAW), str(error)
        except Exception as error:  # noqa: BLE001 - that is what is looked for
            return RAW, f"{type(error).__name__}: {error}"
        caution = answers[0].attrs["caution"]
        moment = audit.moments()[-1].number
        same = moment in self.right and all(
            one.equals(other) for one, other in zip(answers, self.right[moment], strict=True)
        )
        if same and moment == max(self.right):
            return RIGHT, caution
        if same and "older snapshot" in caution:
            return OLDER, caution
        return (UNVERIFIED if "without checksums" in caution else WRONG), caution


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tries", type=int, default=160)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--without-checksums", action="store_true", help="As an earlier spokekit wrote the snapshots.")
    parser.add_argument("--out", type=Path)
    asked = parser.parse_args()
    chance = random.Random(asked.seed)
    outcomes: Counter[str] = Counter()
    with tempfile.TemporaryDirectory(prefix="spokekit-bench-") as folder:
        bench = Bench(Path(folder), checksums=not asked.without_checksums)
        for number in range(asked.tries):
            file, damage = chance.choice(bench.files), DAMAGES[number % len(DAMAGES)]
            if damage is folder_removed and "/" not in file.partition("/")[2]:
                damage = removed
            came, words = bench.attempt(file, damage, chance, open_already=chance.random() < 0.25)
            outcomes[came] += 1
            if came in (WRONG, RAW):
                print(f"{came}: {damage.__name__} of {file}: {words}", flush=True)
    lines = ["| answer | of so many damages |", "|---|---:|"]
    lines += [f"| {kind} | {outcomes[kind]} |" for kind in (RIGHT, OLDER, REFUSED, UNVERIFIED, RAW, WRONG)]
    command = f"python -m tests.bench.snapshot_damage --tries {asked.tries}"
    command += " --without-checksums" if asked.without_checksums else ""
    text = "\n".join([*lines, "", f"`{command}`", ""])
    print(text)
    if asked.out:
        asked.out.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
