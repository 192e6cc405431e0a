"""A plan of 5,000 rows: how long the preview takes beside the reading, how fast it is applied, whether memory grows.

    python -m tests.bench.membership [--rows 5000] [--out FILE]

The practice site (size M: 20,000 people, 5,000 groups) runs in a process of its own. Memory is this process's resident
set, after each tenth of the apply.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

SITE = """
import json, sys
from spokekit.practice import PracticeSite
with PracticeSite(size="M", quota=10**9) as site:
    world = site.world
    print(json.dumps(site.describe() | {"grant": site.issue_token(), "me": site.account_id}), flush=True)
    sys.stdin.read()
"""
GROUPS = 10


def resident() -> float:
    """Return this process's resident memory in MB."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


class Stopwatch:
    """Add up the seconds that a method takes."""

    def __init__(self, thing: Any, name: str) -> None:
        self.seconds = 0.0
        inner = getattr(thing, name)

        def timed(*args: Any, **options: Any) -> Any:
            began = time.perf_counter()
            try:
                return inner(*args, **options)
            finally:
                self.seconds += time.perf_counter() - began

        setattr(thing, name, timed)


def connect(told: dict[str, Any]) -> Any:
    from spokekit._secret import Secret
    from spokekit._workspace import Workspace
    from spokekit.connections.connection import ConnectionDraft

    work = Workspace()
    draft = ConnectionDraft(
        url=told["url"], auth_url=told["auth_url"], client_id=told["client_id"], redirect_uri=told["redirect_uris"][0]
    )
    connection = work.connections.save(draft)
    work.tokens.set_client_secret(connection, Secret(told["client_secret"]))
    work.tokens.save_grant(connection, told["grant"])
    first = told["sites"][0]
    work.connections.set_site(connection.connection_id, first["cloud_id"], first["name"], first["url"])
    work.connections.set_account(connection.connection_id, told["me"], "The administrator")
    return work


def prepare(work: Any, rows: int, folder: Path) -> tuple[Path, int]:
    """Register ten mid-sized groups and write a list of people who are not in them."""
    with work.spoke() as spoke:
        groups = spoke.look_up_groups()
        plain = groups[(groups["managed_by"] == "ADMINS") & (groups["access"] == "")]["group_id"].tolist()
        members = spoke.look_up_members_by_group_id(plain[:200])
        sizes = members["group_id"].value_counts()
        people = members.drop_duplicates("account_id")
        chosen = [str(group) for group in sizes.index[:GROUPS]]
        work.registry().add(chosen, groups=groups)
        status = spoke.look_up_users(people["account_id"].tolist()[:4000])
    fit = status[(status["account_type"] == "atlassian") & status["account_status"].isin(["active", ""])]["account_id"]
    lines = []
    for group in chosen:
        inside = set(members[members["group_id"] == group]["account_id"])
        new = [account for account in fit if account not in inside][: rows // GROUPS]
        lines += [f"{group},{account}" for account in new]
    path = folder / "list.csv"
    path.write_text("group_id,account_id\n" + "\n".join(lines) + "\n")
    return path, len(lines)


def measure(work: Any, path: Path, folder: Path) -> list[tuple[str, str, str]]:
    from spokekit.groups.membership import Membership
    from spokekit.groups.wishes import read_csv

    members = Membership.of(work, pace=10_000)
    reading = Stopwatch(members.site, "present")
    asking = Stopwatch(members.site, "memberships")
    found: list[tuple[str, str, str]] = []

    began = time.perf_counter()
    wishes = read_csv(path)
    found.append(("read the CSV", f"{time.perf_counter() - began:.2f} s", ""))
    began = time.perf_counter()
    plan = members.plan(wishes, "add")
    preview = members.preview(plan)
    words, frame = preview.words, preview.frame
    whole = time.perf_counter() - began
    read = reading.seconds + asking.seconds
    assert len(plan.planned) == len(frame) == len(wishes.wishes), words
    found.append(("plan and preview, the reading of the groups apart", f"{whole - read:.2f} s", "under 3 s"))
    found.append(("the reading of the groups and people", f"{read:.2f} s", ""))
    began = time.perf_counter()
    members.save(preview, folder / "plan.json")
    loaded = members.load(folder / "plan.json")
    size = (folder / "plan.json").stat().st_size / 1e6
    found.append((f"write and read the plan file ({size:.1f} MB)", f"{time.perf_counter() - began:.2f} s", ""))

    memory: list[float] = []
    step = max(1, len(plan.planned) // 10)
    began = time.perf_counter()

    def listen(progress: Any) -> None:
        if progress.done % step == 0:
            memory.append(resident())

    result = members.apply(loaded, confirm=loaded.confirmation, progress=listen)
    seconds = time.perf_counter() - began
    assert result.counts() == {"done": len(plan.planned)}, result.words
    found.append(("apply without a pace", f"{len(plan.planned) / seconds:,.0f} changes/s", ""))
    after = f"{memory[0]:.0f} MB after a tenth, {memory[-1]:.0f} MB at the end"
    found.append(("memory while applying", after, "flat"))
    began = time.perf_counter()
    undo = members.preview(members.plan_undo(result.apply_id))
    found.append(("plan and preview the undo, with reading", f"{time.perf_counter() - began:.2f} s", ""))
    assert len(undo.plan.planned) == len(plan.planned)
    began = time.perf_counter()
    assert len(members.journal.entries(result.apply_id)) == 2 * len(plan.planned) + 2
    found.append(("read the journal of it as a frame", f"{time.perf_counter() - began:.2f} s", ""))
    members.close()

    paced = Membership.of(work)
    few = paced.preview(paced.plan(undo.frame.head(50)[["group_id", "account_id"]], "remove"))
    began = time.perf_counter()
    marks: list[float] = []
    paced.apply(few, confirm=few.confirmation, progress=lambda _: marks.append(time.perf_counter()))
    rate = (len(marks) - 1) / (marks[-1] - marks[0])
    found.append(("apply at the default pace", f"{rate:.1f} changes/s", "at most 10"))
    paced.close()
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=5000)
    parser.add_argument("--out", type=Path)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        os.environ.update(SPOKEKIT_HOME=str(folder / "home"), PYTHON_KEYRING_BACKEND="keyring.backends.null.Keyring")
        site = subprocess.Popen([sys.executable, "-c", SITE], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert site.stdin is not None
        assert site.stdout is not None
        try:
            work = connect(json.loads(site.stdout.readline()))
            path, rows = prepare(work, chosen.rows, folder)
            found = measure(work, path, folder)
        finally:
            site.stdin.close()
            site.wait(10)
    lines = [
        f"A plan of {rows:,} rows in {GROUPS} groups, practice site of size M without latency; "
        f"Python {platform.python_version()}, {os.cpu_count()} cores, {datetime.now(UTC):%Y-%m-%d}.",
        "",
        "| what | measured | wanted |",
        "|---|---|---|",
        *(f"| {what} | {value} | {wanted} |" for what, value, wanted in found),
        "",
        f"`python -m tests.bench.membership --rows {chosen.rows}`",
    ]
    text = "\n".join(lines) + "\n"
    print(text)
    if chosen.out:
        chosen.out.write_text(text)


if __name__ == "__main__":
    main()
