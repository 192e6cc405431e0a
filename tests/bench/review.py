"""A review of 20,000 memberships: ``python -m tests.bench.review``. Prints a Markdown table; nothing is asserted.

What a panel waits for is opening (rows, sums and the first 200 lines of the table) and one decision until it is on disk
and the sums are told anew. The worksheet is written and read back whole, every row decided.
"""

from __future__ import annotations

import argparse
import csv
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd

from spokekit.audit import Audit, Site
from spokekit.connections.store import Store
from spokekit.review import Actor, Reviews


def frames(rows: int) -> dict[str, pd.DataFrame]:
    """Return a site of `rows` memberships, 400 in each group, every person in four of them."""
    groups, people = max(1, rows // 400), max(1, rows // 4)
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
                "account_id": [f"a-{(n // groups * 97 + n) % people:08d}" for n in range(rows)],
            }
        ).drop_duplicates(),
    }


def timed(told: list[tuple[str, float]], what: str, work: Callable[[], Any]) -> Any:
    began = time.process_time()
    made = work()
    told.append((what, time.process_time() - began))
    return made


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=20_000)
    rows = parser.parse_args().rows
    told: list[tuple[str, float]] = []
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        audit = Audit.of_frames(frames(rows), site=Site("bench", "Bench"), taken_at=datetime.now(UTC))
        actor = Actor("admin", "The administrator", "bench")
        store = Store(f"sqlite:///{folder / 'store.sqlite'}")
        reviews = Reviews(store, "bench", actor=actor)
        opened = timed(
            told,
            "open the campaign",
            lambda: reviews.open(
                "Q4", scope="access", groups=[str(g) for g in audit.frame("groups")["group_id"]], audit=audit
            ),
        )
        print(f"{len(opened.rows):,} rows")

        def panel() -> Any:
            again = reviews.get("Q4")
            again.sums()
            again.frame(again.rows[:200])
            return again

        campaign = timed(told, "read it for a panel: rows, sums, 200 lines", panel)
        timed(told, "all rows as a frame", campaign.frame)
        one = campaign.rows[77].row_id
        timed(told, "one decision and the sums", lambda: (campaign.decide(one, "ask"), campaign.sums()))
        for kind in ("csv", "xlsx"):
            path = folder / f"sheet.{kind}"
            timed(told, f"worksheet out (.{kind})", lambda path=path: campaign.worksheet(path))
            timed(told, f"worksheet read (.{kind})", lambda path=path: campaign.read_worksheet(path))
        with (folder / "sheet.csv").open(encoding="utf-8-sig", newline="") as file:
            lines = list(csv.DictReader(file))
        for line in lines:
            line |= {"decision": "keep", "reason": "needed", "reviewer": "Robin Other"}
        with (folder / "back.csv").open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, lines[0])
            writer.writeheader()
            writer.writerows(lines)
        sheet = timed(told, "filled worksheet read (.csv)", lambda: campaign.read_worksheet(folder / "back.csv"))
        timed(told, "its decisions taken", lambda: campaign.take(sheet.choices))
        timed(told, "the report", campaign.report)
        store.close()
    print("| what | s of processor |\n| --- | --: |")
    for what, seconds in told:
        print(f"| {what} | {seconds:.2f} |")


if __name__ == "__main__":
    main()
