"""What a person does, ended at every single write: ``python -m tests.bench.crashes [--tries N] [--examples N]``.

Prints how many processes were killed, how many steps a disk in trouble refused, and how often anything acknowledged
was missing afterwards; it ends with an error as soon as that is not zero times.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
from pathlib import Path

# Its profile for what is drawn: a slow machine is no failure here either.
import tests.conftest  # noqa: F401
from spokekit.practice import PracticeSite
from tests.crashes.disk import Disk, How, Person
from tests.crashes.test_every_write import STEPS, end_at
from tests.crashes.test_machine import run


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tries", type=int, default=0, help="how many writes of a step; 0 for every single one")
    parser.add_argument("--examples", type=int, default=50, help="random runs of eight steps")
    asked = parser.parse_args()
    total = {"tries": 0, "kills": 0, "refusals": 0}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name).resolve()
        disk = Disk(folder)
        with PracticeSite(size="class", seed=1) as site:
            base = Person.connected(disk, site, folder / "home")
            for step in STEPS:
                for how in How:
                    person = end_at(base, folder / "tries", step, how, asked.tries)
                    shutil.rmtree(folder / "tries")
                    for what in total:
                        total[what] += getattr(person, what)
        for what, count in run(disk, asked.examples, fresh=True).items():
            total[what] += count
        disk.close()
    print(
        f"{total['tries']:,} steps, {total['kills']:,} killed in the middle of a write, {total['refusals']:,} refused "
        "by a full or broken disk: nothing acknowledged was missing, no journal said what was not so."
    )


if __name__ == "__main__":
    main()
