"""What does a walk cost that was killed at random moments and continued?

    python -m tests.bench.audit_resume [--size M] [--kills 2] [--seed 1]

Against a practice site in a process of its own, without latency: all groups are walked once without a break and once
killed (SIGKILL) at random moments and continued, each in processes and homes of their own. Prints a Markdown row: the
points of both, by the site's own count, and the difference in per cent. A kill that came after the end counts as none.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from tests.bench.walk import ROOT

TARGET = 1.0
LIMIT = 180.0


def walk(site: dict[str, Any], folder: Path) -> None:
    """Walk all groups of the site, continuing what is unfinished in `folder`, and print what was found."""
    from datetime import UTC, datetime

    from spokekit._secret import Secret
    from spokekit.audit import Walk
    from spokekit.confluence.quota import Ledger
    from spokekit.confluence.spoke import Spoke
    from spokekit.connections.records import Connection
    from spokekit.connections.store import Store

    class Tokens:
        async def __call__(self, *, rejected: Secret | None = None) -> Secret:
            return Secret(site["token"])

    now = datetime.now(UTC)
    connection = Connection(
        connection_id="bench", alias_id="bench", name="bench", url=site["url"], auth_url=site["url"], scopes=(),
        client_id="bench", redirect_uri="", cloud_id=site["cloud_id"], site_name="", site_url=site["site_url"],
        account_id=None, account_name=None, active=True, pkce=False, created_at=now, updated_at=now,
    )  # fmt: skip
    ledger = Ledger(Store(f"sqlite:///{folder}/bench.sqlite"), "bench")
    with Spoke(connection, Tokens(), ledger=ledger) as spoke:
        print("ready", flush=True)
        snapshot = Walk(spoke, groups="all", folder=folder).run()
    rows = snapshot.manifest["rows"]["memberships"]
    print(json.dumps({"memberships": rows, "complete": snapshot.completeness["complete"]}), flush=True)


def child(site: dict[str, Any], folder: Path) -> subprocess.Popen[str]:
    """Start a walk in a process of its own, and return when it is about to begin."""
    command = [sys.executable, "-m", "tests.bench.audit_resume", "--walk", json.dumps(site), "--folder", str(folder)]
    process = subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, text=True, env={**os.environ, "SPOKEKIT_HOME": str(folder)}
    )
    assert process.stdout is not None
    if process.stdout.readline().strip() != "ready":
        raise SystemExit("the walk did not start")
    return process


def finished(process: subprocess.Popen[str], site: dict[str, Any]) -> None:
    """Wait for the end of a walk; it must have found everything."""
    out, _ = process.communicate(timeout=LIMIT)
    if process.returncode:
        raise SystemExit(f"the walk ended with {process.returncode}")
    got = json.loads(out.splitlines()[-1])
    if not got["complete"] or got["memberships"] != site["memberships"]:
        raise SystemExit(f"the walk is not complete: {got}, of {site['memberships']}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", default="M")
    parser.add_argument("--kills", type=int, default=2)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--walk")
    parser.add_argument("--folder", type=Path)
    asked = parser.parse_args()
    if asked.walk:
        walk(json.loads(asked.walk), asked.folder)
        return
    rng = random.Random(asked.seed)
    server = subprocess.Popen(
        [sys.executable, "-m", "tests.bench._site", asked.size, "0"],
        cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip

    def told(question: str) -> dict[str, Any]:
        assert server.stdin is not None and server.stdout is not None
        server.stdin.write(f"{question}\n")
        server.stdin.flush()
        answer: dict[str, Any] = json.loads(server.stdout.readline())
        return answer

    try:
        assert server.stdout is not None
        site = json.loads(server.stdout.readline())
        with tempfile.TemporaryDirectory(prefix="spokekit-bench-") as place:
            straight, broken = Path(place) / "straight", Path(place) / "broken"
            straight.mkdir()
            broken.mkdir()
            begin = time.perf_counter()
            finished(child(site, straight), site)
            lasted = time.perf_counter() - begin
            whole = told("count")
            told("reset")
            moments = []
            for _ in range(asked.kills + 6):
                if len(moments) == asked.kills:
                    break
                process = child(site, broken)
                # Each of the kills falls somewhere in its share of the whole, so that the last one still finds a walk.
                time.sleep(rng.uniform(0.1, 0.9) * lasted / asked.kills)
                if process.poll() is None:
                    process.kill()
                    process.communicate()
                    moments.append(told("count")["points"] / whole["points"])
                elif not moments:
                    # This walk was quicker than the first: begin again, and kill earlier.
                    shutil.rmtree(broken)
                    broken.mkdir()
                    told("reset")
                    lasted /= 2
            if not moments:
                raise SystemExit("no kill came before the end")
            finished(child(site, broken), site)
            resumed = told("count")
    finally:
        assert server.stdin is not None
        server.stdin.close()
        server.wait(30)
    more = 100 * (resumed["points"] - whole["points"]) / whole["points"]
    when = " and ".join(f"{share:.0%}" for share in moments)
    print("| walk | points | requests | more points | target |\n|---|---:|---:|---:|---:|")
    print(f"| {asked.size}, {site['groups']:,} groups, at one go | {whole['points']:,} | {whole['requests']:,} | | |")
    print(
        f"| … killed at {when} and continued | {resumed['points']:,} | {resumed['requests']:,} | {more:.2f} % "
        f"| {TARGET:.0f} % |"
    )


if __name__ == "__main__":
    main()
