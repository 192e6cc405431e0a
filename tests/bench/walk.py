"""How fast, how complete and how lean is a walk over all groups and their members?

    python -m tests.bench.walk --size 2000x100 --size M --latency-ms 50

Against a practice site in a process of its own, each contender in a process of its own, one after another:

- the command, ``spokekit audit walk --all``, with 8 and with 16 requests in flight: from the start of its process to
  its end, with the estimate, the look-up of accounts, the second look at the list of groups and the snapshot; then once
  more beside that snapshot, and with ``--changed``, at once, so that every group's size is the one of before;
- spokekit's read alone (groups and members as frames), with as many;
- atlassian-python-api with its own helpers: ``get_all_groups`` and, for each group, ``get_all_members`` (or
  ``get_group_members`` where the site refuses what the helper asks for);
- atlassian-python-api paged by hand, as correctly as spokekit pages: 200 rows asked, on by what came, to the end.

A serial client needs an hour for a large site, so the peers may be given fewer groups (``--peer-groups``); their
wall time and CPU time are then scaled by the number of requests that the whole walk takes, and the table says so.
Prints Markdown. Wall times leave out imports, except the command's; CPU and peak memory are of the whole process.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
_NO_KEYRING = "keyring.backends.null.Keyring"


# -- contenders: each runs in a child process and returns what it got ----------------------------------------


def spokekit_walk(site: dict[str, Any], in_flight: int) -> dict[str, Any]:
    import pandas as pd

    from spokekit._secret import Secret
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
    with tempfile.TemporaryDirectory() as folder:
        ledger = Ledger(Store(f"sqlite:///{folder}/bench.sqlite"), "bench")
        with Spoke(connection, Tokens(), in_flight=in_flight, ledger=ledger) as spoke:
            spoke.look_up_accessible_resources()
            begin = time.perf_counter()
            groups = spoke.look_up_groups(with_access=False)
            listed = time.perf_counter()
            members = spoke.look_up_members_by_group_id(groups["group_id"], confirm_empty=False)
            wall = time.perf_counter() - begin
    report = members.attrs["completeness"]
    assert isinstance(members["account_id"].dtype, pd.CategoricalDtype)
    return {
        "groups": len(groups),
        "memberships": len(members),
        "wall": wall,
        "listing": listed - begin,
        "complete": report["complete"],
        "frame_mb": members.memory_usage(deep=True).sum() / 1e6,
    }


def _peer(site: dict[str, Any]) -> Any:
    from atlassian.confluence import ConfluenceCloud

    url = f"{site['url'].rstrip('/')}/ex/confluence/{site['cloud_id']}/wiki"
    return ConfluenceCloud(url=url, token=site["token"], cloud=True)


def peer_helpers(site: dict[str, Any], most: int) -> dict[str, Any]:
    import requests

    client = _peer(site)
    begin = time.perf_counter()
    groups = client.get_all_groups()
    rows, refused = 0, 0
    for group in groups[:most]:
        try:
            rows += len(client.get_all_members(group["id"]))
        except requests.HTTPError:
            refused += 1
            rows += len(client.get_group_members(group["id"]).get("results", []))
    wall = time.perf_counter() - begin
    return {"groups": len(groups), "memberships": rows, "wall": wall, "refused": refused}


def peer_by_hand(site: dict[str, Any], most: int) -> dict[str, Any]:
    client = _peer(site)
    begin = time.perf_counter()
    groups: list[dict[str, Any]] = []
    while True:
        page = client.get_groups(start=len(groups), limit=200)
        groups += page["results"]
        if not page["results"] or "next" not in page["_links"]:
            break
    rows: list[dict[str, Any]] = []
    for group in groups[:most]:
        start = 0
        while True:
            page = client.get_group_members(group["id"], start=start, limit=200, expand="operations")
            rows += [{"group_id": group["id"], **row} for row in page["results"]]
            start += len(page["results"])
            if not page["results"] or "next" not in page["_links"]:
                break
    import pandas as pd

    keep = ("group_id", "accountId", "displayName", "publicName", "email", "accountType", "isGuest")
    frame = pd.DataFrame([{key: row.get(key) for key in keep} for row in rows])
    wall = time.perf_counter() - begin
    return {"groups": len(groups), "memberships": len(frame), "wall": wall, "walked": min(most, len(groups))}


def prepared_home(site: dict[str, Any], home: str) -> None:
    """Save a connection to the site in an empty home, as after Save and Get OAuth Token."""
    from spokekit._secret import Secret
    from spokekit._workspace import Workspace
    from spokekit.connections.connection import ConnectionDraft

    os.environ.update(SPOKEKIT_HOME=home, PYTHON_KEYRING_BACKEND=_NO_KEYRING)
    work = Workspace()
    draft = ConnectionDraft(
        name="bench", url=site["url"], auth_url=site["url"], client_id="bench",
        redirect_uri="http://localhost:8765/callback",
    )  # fmt: skip
    connection = work.connections.save(draft)
    work.tokens.set_client_secret(connection, Secret("not asked for in the hour of a benchmark"))
    grant = {"access_token": site["token"], "refresh_token": "none", "expires_in": 3600, "token_type": "Bearer"}
    work.tokens.save_grant(connection, {**grant, "scope": " ".join(connection.scopes)})
    work.connections.set_site(connection.connection_id, site["cloud_id"], "bench", site["site_url"])


def bare_walk(site: dict[str, Any], in_flight: int) -> dict[str, Any]:
    """The floor: the same requests by bare sockets, nothing parsed but the group list. What site and machine allow."""
    from urllib.parse import urlsplit

    place = urlsplit(site["url"])
    base = f"/ex/confluence/{site['cloud_id']}/wiki/rest/api/group"

    async def ask(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, path: str) -> bytes:
        writer.write(f"GET {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {site['token']}\r\n\r\n".encode())
        head = (await reader.readuntil(b"\r\n\r\n")).lower().split(b"\r\n")
        length = next(int(line.split(b":")[1]) for line in head if line.startswith(b"content-length"))
        return await reader.readexactly(length)

    async def walk() -> tuple[int, float]:
        reader, writer = await asyncio.open_connection(place.hostname, place.port, limit=2**24)
        begin = time.perf_counter()
        ids: list[str] = []
        while True:
            page = json.loads(await ask(reader, writer, f"{base}?start={len(ids)}&limit=200"))
            ids += [row["id"] for row in page["results"]]
            if "next" not in page["_links"]:
                break
        left = iter(ids)

        async def work() -> None:
            reader, writer = await asyncio.open_connection(place.hostname, place.port, limit=2**24)
            for one in left:
                start = 0
                while True:
                    query = f"expand=operations&start={start}&limit=200"
                    body = await ask(reader, writer, f"{base}/{one}/membersByGroupId?{query}")
                    if b'"next":' not in body[-600:]:
                        break
                    start += 200
            writer.close()

        await asyncio.gather(*[work() for _ in range(in_flight)])
        writer.close()
        return len(ids), time.perf_counter() - begin

    groups, wall = asyncio.run(walk())
    return {"groups": groups, "memberships": 0, "wall": wall}


def child(kind: str, site: dict[str, Any], given: str) -> None:
    if kind == "home":
        prepared_home(site, given)
        return
    number = int(given)
    run = {"spokekit": spokekit_walk, "helpers": peer_helpers, "hand": peer_by_hand, "bare": bare_walk}[kind]
    import pandas as pd

    pd.DataFrame()
    result = run(site, number)
    spent = resource.getrusage(resource.RUSAGE_SELF)
    result |= {"cpu": spent.ru_utime + spent.ru_stime, "rss_mb": spent.ru_maxrss / 1024}
    print(json.dumps(result))


# -- the run ----------------------------------------------------------------------------------------------


class Site:
    """The practice site's process."""

    def __init__(self, size: str, latency_ms: float) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.bench._site", size, str(latency_ms)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT,
        )  # fmt: skip
        self.about = self._line()

    def _line(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        return json.loads(self._process.stdout.readline())

    def ask(self, question: str) -> dict[str, Any]:
        assert self._process.stdin is not None
        self._process.stdin.write(question + "\n")
        self._process.stdin.flush()
        return self._line()

    def run(self, kind: str, number: int) -> dict[str, Any]:
        self.ask("reset")
        done = subprocess.run(
            [sys.executable, "-m", "tests.bench.walk", "--child", kind, json.dumps(self.about), str(number)],
            capture_output=True, text=True, cwd=ROOT, env={**os.environ, "PYTHONWARNINGS": "ignore"}, check=False,
        )  # fmt: skip
        if done.returncode:
            raise SystemExit(f"{kind} failed:\n{done.stderr}")
        return json.loads(done.stdout.strip().splitlines()[-1]) | self.ask("count")

    def command(self, in_flight: int, *options: str, home: str | None = None) -> dict[str, Any]:
        """Run ``spokekit audit walk --all`` in a process and (unless given) a home of its own."""
        with tempfile.TemporaryDirectory() as folder:
            if home is None:
                home = folder
                self.prepare(home)
            self.ask("reset")
            begin = time.perf_counter()
            process = subprocess.Popen(
                [sys.executable, "-m", "spokekit", "audit", "walk", "--all", "--yes", "--in-flight", str(in_flight),
                 "--format", "json", *options],
                stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, cwd=ROOT,
                env={**os.environ, "SPOKEKIT_HOME": home, "PYTHON_KEYRING_BACKEND": _NO_KEYRING},
            )  # fmt: skip
            assert process.stdout is not None
            out = process.stdout.read()
            _, status, spent = os.wait4(process.pid, 0)
            wall = time.perf_counter() - begin
            process.returncode = status
            if status:
                raise SystemExit(f"the command failed: {status} {out}")
        [row] = json.loads(out)
        return {
            "groups": row["groups_walked"],
            "memberships": row["memberships"],
            "wall": wall,
            "complete": row["complete"],
            "words": row["words"],
            "cpu": spent.ru_utime + spent.ru_stime,
            "rss_mb": spent.ru_maxrss / 1024,
        } | self.ask("count")

    def prepare(self, home: str) -> None:
        """Make a home with a connection to this site."""
        command = [sys.executable, "-m", "tests.bench.walk", "--child", "home", json.dumps(self.about), home]
        subprocess.run(command, cwd=ROOT, env={**os.environ, "PYTHONWARNINGS": "ignore"}, check=True)

    def close(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(10)


def measure(size: str, latency_ms: float, peer_groups: int, floor: bool) -> str:
    site = Site(size, latency_ms)
    about = site.about
    try:
        results: list[tuple[str, int, dict[str, Any]]] = []
        for in_flight in (8, 16):
            with tempfile.TemporaryDirectory() as home:
                site.prepare(home)
                results.append(
                    (f"**spokekit audit walk**, {in_flight} in flight", in_flight, site.command(in_flight, home=home))
                )
                if in_flight == 8:
                    again = site.command(in_flight, home=home)
                    results.append((f"… once more, beside that snapshot, {in_flight} in flight", in_flight, again))
                    again = site.command(in_flight, "--changed", home=home)
                    results.append((f"… once more with --changed, {in_flight} in flight", in_flight, again))
            results.append(
                (f"spokekit's read alone, {in_flight} in flight", in_flight, site.run("spokekit", in_flight))
            )
            if floor:
                results.append((f"bare sockets, {in_flight} in flight", in_flight, site.run("bare", in_flight)))
        results.append(("atlassian-python-api, its helpers", 1, site.run("helpers", peer_groups)))
        results.append(("atlassian-python-api, paged by hand", 1, site.run("hand", peer_groups)))
    finally:
        site.close()
    return table(size, latency_ms, about, results)


def table(size: str, latency_ms: float, about: dict[str, Any], results: list[tuple[str, int, dict[str, Any]]]) -> str:
    whole = next(result["requests"] for name, _, result in results if "alone" in name)
    hand = results[-1][2]
    share = hand["requests"] / whole
    serial = hand["wall"] / min(1.0, share)
    lines = [
        f"**{size}**: {about['groups']:,} groups, {about['memberships']:,} memberships, largest group "
        f"{about['largest']:,}; {latency_ms:g} ms a request.",
        "",
        "| client | groups | memberships returned | wall s | times as fast | CPU s | peak MB | requests | points "
        "| wall ÷ (requests · latency ÷ in flight) |",
        "|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for name, in_flight, result in results:
        ideal = result["requests"] * latency_ms / 1000 / in_flight
        rows = f"{result['memberships']:,} of {about['memberships']:,}" if "bare" not in name else "not parsed"
        wall, cpu, marks = result["wall"], result["cpu"], ""
        if result is hand and share < 0.99:
            wall, cpu, marks = serial, result["cpu"] / share, "\\*"
            rows = f"{result['memberships']:,} of the first {result['walked']:,} groups"
        faster = {"helpers": "incomplete", "--changed": ""}.get(
            next((word for word in ("helpers", "--changed") if word in name), ""), f"{serial / wall:.1f}"
        )
        lines.append(
            f"| {name} | {result['groups']:,} | {rows} | {wall:,.1f}{marks} | {faster} | {cpu:,.1f}{marks} "
            f"| {result['rss_mb']:,.0f} | {result['requests']:,} | {result['points']:,} "
            f"| {result['wall'] / ideal:.2f} |"
        )
    best = next(result for name, _, result in results if "alone" in name)
    lines.append("")
    lines.append("The command's row is end to end: from the start of its process to the snapshot on disk.")
    lines.append(
        f"Documented points for all of it: {about['points']:,}; the read alone spent {best['points']:,} "
        f"({(best['points'] / about['points'] - 1) * 100:+.2f} %) and asked for {best['twice']} pages twice."
    )
    if share < 0.99:
        lines.append(f"\\* Measured on the first {hand['walked']:,} groups and scaled to {whole:,} requests.")
    refused = next(result for name, _, result in results if "helpers" in name)["refused"]
    if refused:
        lines.append(
            f"The helper `get_all_members` asks for 1,000 rows, which the site refuses with 400 ({refused:,} times); "
            "`get_group_members`, which returns one page, was counted instead."
        )
    return "\n".join(lines)


def main() -> None:
    if "--child" in sys.argv:
        at = sys.argv.index("--child")
        child(sys.argv[at + 1], json.loads(sys.argv[at + 2]), sys.argv[at + 3])
        return
    parser = argparse.ArgumentParser(description="Compare walks over all groups and members.")
    parser.add_argument("--size", action="append", help="S, M, L or GROUPSxMEMBERS; may be repeated")
    parser.add_argument("--latency-ms", type=float, default=50.0)
    parser.add_argument("--peer-groups", type=int, default=10**9, help="groups whose members the serial peers read")
    parser.add_argument("--floor", action="store_true", help="add bare sockets: what site and machine allow")
    options = parser.parse_args()
    for size in options.size or ["2000x100"]:
        print(measure(size, options.latency_ms, options.peer_groups, options.floor), flush=True)
        print()


if __name__ == "__main__":
    main()
