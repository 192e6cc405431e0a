"""A review of 20,000 memberships: ``python -m tests.bench.review``. Prints a Markdown table; nothing is asserted.

The panel is the one of the notebook, in this process: opening it reads the rows and makes the sums, the filter and the
500 lines of the list; a decision is on disk, and the list and the sums are made anew, when the button's work ends. What
the browser takes to draw the lines is not in it. Worksheets are written and read back whole, every row decided.
"""

from __future__ import annotations

import argparse
import csv
import os
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import openpyxl
import pandas as pd

from spokekit._workspace import Workspace
from spokekit.audit import Audit, Site
from spokekit.connections.store import Store
from spokekit.review import Actor, Reviews
from spokekit.review.worksheet import COLUMNS
from spokekit.widgets import ReviewPanel

IN_A_GROUP = 400


def frames(rows: int) -> dict[str, pd.DataFrame]:
    """Return a site of `rows` memberships, 400 in each group, most people in four of them."""
    groups = max(1, rows // IN_A_GROUP)
    # No multiple of the step below, so that nobody is in a group twice.
    people = max(rows // 4, -(-rows // groups), 2) // 2 * 2 + 1
    return {
        "groups": pd.DataFrame(
            {
                "group_id": [f"g-{n}" for n in range(groups)],
                "name": [f"team-{n}" for n in range(groups)],
                "access": ["user" if n % 10 == 0 else "" for n in range(groups)],
                "managed_by": "ADMINS",
                "usage_type": "USERBASE_GROUP",
            }
        ),
        "users": pd.DataFrame(
            {
                "account_id": [f"a-{n:08d}" for n in range(people)],
                "display_name": [f"Person {n}" for n in range(people)],
                "email": [f"p{n}@example.com" for n in range(people)],
                "account_type": "atlassian",
                "account_status": ["closed" if n % 50 == 0 else "active" for n in range(people)],
                "is_guest": False,
                "licensed": True,
            }
        ),
        "memberships": pd.DataFrame(
            {
                "group_id": [f"g-{n % groups}" for n in range(rows)],
                "account_id": [f"a-{(n // groups * 64 + n % groups * 17) % people:08d}" for n in range(rows)],
            }
        ),
    }


class Told:
    """What was measured: seconds of the clock and of the processor."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, float, float]] = []

    def __call__(self, what: str, work: Callable[[], Any]) -> Any:
        clock, processor = time.perf_counter(), time.process_time()
        made = work()
        self.lines.append((what, time.perf_counter() - clock, time.process_time() - processor))
        return made

    def table(self) -> str:
        lines = [f"| {what} | {clock:.2f} | {processor:.2f} |" for what, clock, processor in self.lines]
        return "\n".join(["| what | s | s of processor |", "| --- | --: | --: |", *lines])


def filled(path: Path, kind: str) -> Path:
    """Return a worksheet in which somebody else has kept every row."""
    made = path.with_name(f"back.{kind}")
    said = {"decision": "keep", "reason": "needed", "reviewer": "Robin Other"}
    if kind == "csv":
        with path.open(encoding="utf-8-sig", newline="") as file:
            lines = list(csv.DictReader(file))
        with made.open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, lines[0])
            writer.writeheader()
            writer.writerows({**line, **said} for line in lines)
        return made
    book = openpyxl.load_workbook(path)
    sheet = book["Rows"]
    names = ["_".join(str(cell.value).split()) for cell in sheet[1]]
    assert set(names) == set(COLUMNS), names
    for row in sheet.iter_rows(min_row=2):
        for name, value in said.items():
            row[names.index(name)].value = value
    book.save(made)
    return made


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=20_000)
    rows = parser.parse_args().rows
    told = Told()
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        os.environ["SPOKEKIT_HOME"] = str(folder / "home")
        store = Store(f"sqlite:///{folder / 'store.sqlite'}")
        reviews = Reviews(store, "bench", actor=Actor("admin", "The administrator", "bench"))
        audit = Audit.of_frames(frames(rows), site=Site("bench", "Bench"), taken_at=datetime.now(UTC))
        groups = [str(group) for group in audit.frame("groups")["group_id"]]
        campaign = told("open the review", lambda: reviews.open("2026-Q4", groups=groups, audit=audit))
        measure(told, reviews, folder)
        told("all rows as a frame", campaign.frame)
        told("the report", reviews.get("2026-Q4").report)
        store.close()
    print(f"{len(campaign.rows):,} rows\n")
    print(told.table())


def measure(told: Told, reviews: Reviews, folder: Path) -> None:
    """Measure the panel, then the worksheets."""

    class Panel(ReviewPanel):
        """The notebook's panel on the reviews of this benchmark."""

        def _reviews(self) -> Reviews:
            return reviews

    workspace = Workspace()
    panel = told("the panel opens", lambda: Panel(workspace=workspace))
    row = panel.campaign.rows[7].row_id

    def decide() -> None:
        panel.list.value = (row,)
        panel.decide("ask")

    told("a decision in the panel", decide)
    panel.undecided.value = False
    told("another one, all rows listed", lambda: (setattr(panel.list, "value", (row,)), panel.decide("remove")))
    told("the filter, one more letter", lambda: setattr(panel.filter, "value", "leaver"))
    panel.close()
    campaign = reviews.get("2026-Q4")
    for kind in ("csv", "xlsx"):
        path = folder / f"sheet.{kind}"
        told(f"worksheet out (.{kind})", lambda path=path: campaign.worksheet(path))
        back = filled(path, kind)
        sheet = told(f"worksheet back, every row decided (.{kind})", lambda back=back: campaign.read_worksheet(back))
        assert len(sheet.choices) == len(campaign.rows), sheet.words
    told("its decisions taken", lambda: campaign.take(sheet.choices))
    told("signed", lambda: campaign.sign("Kim Muster", "Head of IT"))


if __name__ == "__main__":
    main()
