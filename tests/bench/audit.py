"""How fast and how large: snapshots, differences, history, one person's spaces. Writes a Markdown table.

    python tests/bench/audit.py [--sizes XL,MAX] [--out FILE]

Each case runs in a process of its own, three times; the best time and the largest memory count. The pandas column is
the same answer from the same frames by an outer merge on text ids, in the same run.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

DAYS = 365
TURNOVER = 0.0025
START = datetime(2026, 1, 1, tzinfo=UTC)
TARGETS = {
    "diff XL stored": "2.5 s, 1 GB",
    "diff XL frames": "2.5 s, 1 GB",
    "diff MAX stored": "6 s, 3 GB",
    "diff MAX frames": "6 s, 3 GB",
    "write XL day": "2 s, 15 MB",
    "as-of, sizes of all groups": "0.2 s",
    "as-of, members of one group": "0.2 s",
    "changed in 7 days": "0.2 s",
    "changed in 7 days, with names": "0.2 s",
    "one person's spaces": "0.1 s",
}


# -- worlds --------------------------------------------------------------------------------------------------


def world(size: str, folder: Path) -> None:
    """Write the frames of a world and of the same world a day later."""
    import numpy as np
    import pandas as pd

    from spokekit.practice.world import World

    made = World(size=size, seed=1).frames(tables=("groups", "users", "memberships", "spaces", "grants"))
    pairs = made["memberships"]
    groups, users = pairs["group_id"].cat, pairs["account_id"].cat
    key = np.unique((groups.codes.to_numpy().astype(np.int64) << 32) | users.codes.to_numpy())
    key = later(key, len(groups.categories), len(users.categories), np.random.default_rng(7))
    made["memberships-later"] = pd.DataFrame(
        {
            "group_id": pd.Categorical.from_codes((key >> 32).astype(np.int32), categories=groups.categories),
            "account_id": pd.Categorical.from_codes((key & 0xFFFFFFFF).astype(np.int32), categories=users.categories),
        }
    )
    for name, frame in made.items():
        frame.to_parquet(folder / f"{name}.parquet")


def later(key: Any, groups: int, users: int, rng: Any) -> Any:
    """Return the memberships a day later: so many leave, so many join."""
    import numpy as np

    count = int(len(key) * TURNOVER)
    kept = np.delete(key, rng.choice(len(key), count, replace=False))
    joined = np.unique((rng.integers(0, groups, 2 * count) << 32) | rng.integers(0, users, 2 * count))
    place = np.searchsorted(key, joined)
    joined = joined[key[np.minimum(place, len(key) - 1)] != joined]
    joined = np.sort(rng.choice(joined, count, replace=False))
    return np.insert(kept, np.searchsorted(kept, joined), joined)


def frames(folder: Path, *, is_later: bool = False, names: tuple[str, ...] = ()) -> Any:
    import pandas as pd
    import pyarrow as pa
    import pyarrow.parquet as pq

    from spokekit.audit.frames import Frames

    def read(name: str) -> Any:
        # Column by column, with one dictionary each: reading it all at once would take more memory than the case does.
        file = pq.ParquetFile(folder / f"{name}.parquet")
        columns = ((c, file.read(columns=[c]).column(0).unify_dictionaries()) for c in file.schema_arrow.names)
        return pd.DataFrame({c: column.combine_chunks().to_pandas() for c, column in columns})

    wanted = names or ("groups", "users", "memberships", "spaces", "grants")
    made = {name: read("memberships-later" if is_later and name == "memberships" else name) for name in wanted}
    # What reading left unused in the pool would count as memory of the case.
    pa.default_memory_pool().release_unused()
    return Frames.of(made, site="bench", taken_at=START + timedelta(days=int(is_later)))


def history(size_folder: Path, target: Path) -> None:
    """Fill a store with a year of snapshots: the last two by the writer, the ones before as the writer leaves them."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.parquet as pq

    from spokekit.audit.frames import arrow_schema
    from spokekit.audit.history.files import write_parquet
    from spokekit.audit.history.integrity import sealed
    from spokekit.audit.history.snapshots import MERGE_AT, Snapshots

    store = Snapshots("bench", target)
    first = store.write(frames(size_folder))
    table = pq.read_table(first.paths("memberships")[0])
    key = (table["group_no"].to_numpy().astype(np.int64) << 32) | table["user_no"].to_numpy()
    since = np.ones(len(key), dtype=np.int32)
    groups, users = int(key.max() >> 32) + 1, int(table["user_no"].to_numpy().max()) + 1
    rng = np.random.default_rng(3)
    ended: list[Any] = []
    files: list[dict[str, Any]] = []
    folder = store.folder / "000001"

    def rows(keys: Any, **more: Any) -> Any:
        schema = arrow_schema("memberships", tuple(more))
        return pa.table({"group_no": keys >> 32, "user_no": keys & 0xFFFFFFFF, **more}).cast(schema)

    for day in range(2, DAYS - 1):
        new = later(key, groups, users, rng)
        at = np.minimum(np.searchsorted(key, new), len(key) - 1)
        same = key[at] == new
        gone = np.ones(len(key), dtype=bool)
        gone[at[same]] = False
        ended.append(rows(key[gone], since=since[gone], until=np.full(int(gone.sum()), day, dtype=np.int32)))
        fresh = np.full(len(new), day, dtype=np.int32)
        fresh[same] = since[at[same]]
        key, since = new, fresh
        # Half of the year is in one merged file, the rest in one file a day, as many as are allowed before a merge.
        if day >= DAYS - MERGE_AT - 1 or day == DAYS - MERGE_AT - 2:
            path = folder / f"memberships-ended-{day}.parquet"
            digest = write_parquet(pa.concat_tables(ended), path)
            files.append({"path": f"000001/{path.name}", "bytes": path.stat().st_size, "sha256": digest})
            ended = []
    state = folder / "memberships.parquet"
    digest = write_parquet(rows(key, since=since), state)
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["files"]["memberships"][0] |= {"bytes": state.stat().st_size, "sha256": digest}
    manifest["files"]["memberships-ended"] = files
    manifest["moments"] = [[n, (START + timedelta(days=n - 1)).isoformat(), True, "all"] for n in range(1, DAYS - 1)]
    manifest["number"] = DAYS - 2
    renamed = json.loads(json.dumps(manifest).replace("000001/", f"{DAYS - 2:06d}/"))
    (folder / "manifest.json").write_text(json.dumps(sealed(renamed)))
    folder.rename(store.folder / f"{DAYS - 2:06d}")


# -- cases: each prints one line of JSON ---------------------------------------------------------------------


def timed(work: Any) -> tuple[float, Any]:
    start = time.perf_counter()
    result = work()
    return time.perf_counter() - start, result


def case_write(folder: str, target: str) -> dict[str, Any]:
    from spokekit.audit.history.snapshots import Snapshots

    store = Snapshots("bench", Path(target))
    one, two = frames(Path(folder)), frames(Path(folder), is_later=True)
    first, _ = timed(lambda: store.write(one))
    size = sum(f.stat().st_size for f in store.folder.rglob("*") if f.is_file())
    second, written = timed(lambda: store.write(two))
    day = sum(f.stat().st_size for f in written.folder.iterdir())
    return {"seconds": second, "megabytes": day / 1e6, "first_seconds": first, "first_megabytes": size / 1e6}


def case_diff_stored(target: str) -> dict[str, Any]:
    from spokekit.audit import Audit, diff
    from spokekit.audit.history.snapshots import Snapshots

    def work() -> Any:
        newest = Snapshots("bench", Path(target)).latest()
        return diff(Audit.of_snapshot(newest, at=newest.moments[-2].number), Audit.of_snapshot(newest))

    seconds, rows = timed(work)
    return {"seconds": seconds, "rows": len(rows)}


def case_diff_frames(folder: str) -> dict[str, Any]:
    from spokekit.audit import Audit, diff

    before = frames(Path(folder), names=("groups", "memberships"))
    after = frames(Path(folder), names=("groups", "memberships"), is_later=True)
    seconds, rows = timed(lambda: diff(Audit.of_frames(before), Audit.of_frames(after)))
    return {"seconds": seconds, "rows": len(rows)}


def case_diff_pandas(folder: str) -> dict[str, Any]:
    import pandas as pd

    before, after = (
        pd.read_parquet(Path(folder) / f"{name}.parquet").astype(str) for name in ("memberships", "memberships-later")
    )

    def work() -> Any:
        both = before.merge(after, on=["group_id", "account_id"], how="outer", indicator=True)
        return both[both["_merge"] != "both"]

    seconds, rows = timed(work)
    return {"seconds": seconds, "rows": len(rows)}


def case_history(target: str) -> dict[str, Any]:
    from spokekit.audit import Audit
    from spokekit.audit.history.snapshots import Snapshots

    newest = Snapshots("bench", Path(target)).latest()
    opened, past = timed(lambda: Audit.of_snapshot(newest, at=180))
    text = "SELECT group_no, COUNT(*) AS members FROM memberships GROUP BY group_no"
    sizes, _ = timed(lambda: past.session.arrow(text))
    one, _ = timed(lambda: past.session.arrow("SELECT user_no FROM memberships WHERE group_no = 17"))
    audit = Audit.of_snapshot(newest)
    since = audit.since_days(7)
    counted = (
        f"SELECT COUNT(*) FILTER (since > {since}) AS came, COUNT(*) FILTER (until > {since} AND until < 2147483647) "
        "AS gone FROM membership_history"
    )
    week, _ = timed(lambda: audit.session.rows(counted))
    # The first answer of a process also pays for importing pandas.
    first, rows = timed(lambda: audit.ask("changes-since", days=7))
    named = min(timed(lambda: audit.ask("changes-since", days=7))[0] for _ in range(3))
    size = newest.size()
    history_size = sum(Path(p).stat().st_size for k in ("memberships", "memberships-ended") for p in newest.paths(k))
    return {
        "open": opened,
        "sizes": sizes,
        "one": one,
        "week": week,
        "named": named,
        "named_first": first,
        "rows": len(rows),
        "megabytes": size / 1e6,
        "history_megabytes": history_size / 1e6,
    }


def case_check(target: str) -> dict[str, Any]:
    """The first look of a process at all files, which reads the whole of them, beside reading all rows of them."""
    import pyarrow  # noqa: F401 - the first import is no part of either

    from spokekit.audit.history.files import load
    from spokekit.audit.history.integrity import damages
    from spokekit.audit.history.snapshots import Snapshots

    store = Snapshots("bench", Path(target))
    first, newest = timed(store.latest)
    again, _ = timed(store.latest)
    whole = min(timed(lambda: damages(newest.entries(), again=True))[0] for _ in range(3))
    read = min(timed(lambda: [load([str(entry.path)]) for entry in newest.entries()])[0] for _ in range(3))
    files = len(newest.entries())
    return {"first": first, "again": again, "whole": whole, "read": read, "files": files, "mb": newest.size() / 1e6}


def case_person(target: str) -> dict[str, Any]:
    from spokekit.audit import Audit

    audit = Audit.of_site("bench", folder=Path(target))
    busiest = audit.session.rows("SELECT user_no, COUNT(*) FROM memberships GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT 1")[0][
        0
    ]
    account = audit.session.rows("SELECT account_id FROM users WHERE user_no = $n", {"n": busiest})[0][0]
    first, rows = timed(lambda: audit.ask("spaces-of-person", person=account))
    again, _ = timed(lambda: audit.ask("spaces-of-person", person=account))
    return {"seconds": min(first, again), "first": first, "rows": len(rows)}


def peak_gb() -> float:
    """Return the most memory that this process has had."""
    status = Path("/proc/self/status")
    if status.exists():
        # What the system counts for a process begins with what its parent had, which may have been more.
        return int(status.read_text().split("VmHWM:")[1].split()[0]) / 1e6
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6


# -- running -------------------------------------------------------------------------------------------------


def run(name: str, *arguments: str, repeat: int = 3, clean: str | None = None) -> dict[str, Any]:
    """Run a case in processes of its own; return the best of each number and the largest memory."""
    best: dict[str, Any] = {}
    for _ in range(repeat):
        if clean:
            shutil.rmtree(clean, ignore_errors=True)
        command = [sys.executable, __file__, "--case", name, *arguments]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise SystemExit(f"{name}: {done.stderr[-2000:]}")
        got = json.loads(done.stdout.splitlines()[-1])
        for key, value in got.items():
            worse = max if key == "peak_gb" else min
            best[key] = value if key not in best else worse(best[key], value)
    return best


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", default="XL,MAX")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--case", nargs="+")
    asked = parser.parse_args()
    if asked.case:
        result = globals()[f"case_{asked.case[0]}"](*asked.case[1:])
        result["peak_gb"] = peak_gb()
        print(json.dumps(result))
        return
    rows: list[tuple[str, str, str, str, str]] = []

    def add(what: str, seconds: float, memory: float, note: str = "") -> None:
        rows.append((what, f"{seconds:.2f} s", f"{memory:.2f} GB", TARGETS.get(what, ""), note))
        print(*rows[-1], sep=" | ", flush=True)

    with tempfile.TemporaryDirectory(prefix="spokekit-bench-") as place:
        base = Path(place)
        for size in asked.sizes.split(","):
            folder, store = base / size, base / f"{size}-store"
            folder.mkdir()
            subprocess.run([sys.executable, __file__, "--case", "world", size, str(folder)], check=True)
            got = run("write", str(folder), str(store), repeat=asked.repeat, clean=str(store))
            note = f"{got['megabytes']:.1f} MB; the first one "
            note += f"{got['first_seconds']:.1f} s, {got['first_megabytes']:.1f} MB"
            add(f"write {size} day", got["seconds"], got["peak_gb"], note)
            pandas = run("diff_pandas", str(folder), repeat=asked.repeat)
            stored = run("diff_stored", str(store), repeat=asked.repeat)
            loose = run("diff_frames", str(folder), repeat=asked.repeat)
            if not pandas["rows"] == stored["rows"] == loose["rows"]:
                raise SystemExit(f"{size}: the differences differ: {pandas}, {stored}, {loose}")
            for how, got in (("stored", stored), ("frames", loose)):
                times = pandas["seconds"] / got["seconds"]
                add(f"diff {size} {how}", got["seconds"], got["peak_gb"], f"{got['rows']:,} rows; {times:.1f}x pandas")
            add(f"diff {size} pandas merge", pandas["seconds"], pandas["peak_gb"], f"{pandas['rows']:,} rows")
            if size == "XL":
                year = base / "year"
                history(folder, year)
                got = run("history", str(year), repeat=asked.repeat)
                said = f"{size} x {DAYS} days, {got['history_megabytes']:.0f} MB of memberships"
                add("as-of, sizes of all groups", got["sizes"], got["peak_gb"], said)
                add("as-of, members of one group", got["one"], got["peak_gb"], said)
                add("changed in 7 days", got["week"], got["peak_gb"], said)
                seen = run("check", str(year), repeat=asked.repeat)
                said = f"{seen['files']} files, {seen['mb']:.0f} MB; {seen['whole'] / seen['read']:.2f} of reading them"
                add("check all files of a year", seen["whole"], seen["peak_gb"], said)
                add("open it, first in a process", seen["first"], seen["peak_gb"], f"again {seen['again']:.3f} s")
                said = f"{got['rows']:,} rows as a frame, first call {got['named_first']:.2f} s"
                add("changed in 7 days, with names", got["named"], got["peak_gb"], said)
                shutil.rmtree(year)
            shutil.rmtree(folder)
            shutil.rmtree(store)
        folder, store = base / "L", base / "L-store"
        folder.mkdir()
        subprocess.run([sys.executable, __file__, "--case", "world", "L", str(folder)], check=True)
        subprocess.run([sys.executable, __file__, "--case", "write", str(folder), str(store)], check=True)
        got = run("person", str(store), repeat=asked.repeat)
        add(
            "one person's spaces",
            got["seconds"],
            got["peak_gb"],
            f"L; {got['rows']:,} rows, first call {got['first']:.2f} s",
        )
    import duckdb
    import pandas as pd

    lines = [
        "| what | time | peak memory | target | |",
        "|---|---|---|---|---|",
        *(f"| {' | '.join(row)} |" for row in rows),
        "",
        f"`python tests/bench/audit.py --sizes {asked.sizes}`, {os.cpu_count()} cores, "
        f"Python {platform.python_version()}, DuckDB {duckdb.__version__}, pandas {pd.__version__}; "
        f"best of {asked.repeat}, each in a process of its own.",
    ]
    text = "\n".join(lines) + "\n"
    print(text)
    if asked.out:
        asked.out.write_text(text, encoding="utf-8")


def case_world(size: str, folder: str) -> dict[str, Any]:
    world(size, Path(folder))
    return {}


if __name__ == "__main__":
    main()
