"""What does a night cost that reads only what changed, against a walk of everything?

    python -m tests.bench.audit_changed [--size M] [--share 3] [--nights 7] [--at-most 7 30]

Against a practice site of its own, without latency, for each number of days: one walk of all groups, then as many
nights, before each of which members are added to or removed from the given share of the groups (in per cent), drawn at
random. The clock moves by a day each time. Prints Markdown: the points of each night by the site's own count, all
nights together in whole walks, and whether the last snapshot is, group by group, what the site holds. A change that
leaves a group as large as it was is not among these: of those, `tests.audit.test_changed` shows what is claimed.
"""

from __future__ import annotations

import argparse
import os
import random
import tempfile
from pathlib import Path

import pytest

from spokekit.practice import PracticeSite


def measure(size: str, share: float, nights: int, at_most: int, seed: int) -> str:
    from spokekit._workspace import Workspace
    from spokekit.audit import Audit
    from tests.audit.test_changed import Nights
    from tests.conftest import connect

    rng = random.Random(seed)
    with (
        tempfile.TemporaryDirectory(prefix="spokekit-bench-") as place,
        pytest.MonkeyPatch.context() as patch,
        PracticeSite(size=size, quota=10**9) as site,
    ):
        patch.setenv("SPOKEKIT_HOME", f"{place}/home")
        patch.setenv("PYTHON_KEYRING_BACKEND", "keyring.backends.null.Keyring")
        work = Workspace()
        connect(work, site)
        here = Nights(site, work, patch, Path(place))
        here.walk(changed=False)
        whole = here.spent(0)
        world, groups = site.world, here.groups()
        people = world.frames(tables=("users",))["users"]["account_id"].to_list()
        spent = []
        for _ in range(nights):
            for group in rng.sample(groups, round(len(groups) * share / 100)):
                inside = world.member_ids(group)
                if inside and rng.random() < 0.5:
                    world.remove_member(group, rng.choice(inside))
                else:
                    world.add_member(group, next(p for p in iter(lambda: rng.choice(people), None) if p not in inside))
            before = len(site.requests)
            snapshot = here.walk(at_most=at_most)
            spent.append(here.spent(before))
            report = snapshot.completeness
            print(f"  night {len(spent)}: {spent[-1]:,} points, {report['words']}", flush=True)
        audit = Audit.of_snapshot(snapshot)
        held: dict[str, set[str]] = {group: set() for group in here.books[-1]}
        for group, account in audit.frame("memberships").astype(str).itertuples(index=False, name=None):
            held[group].add(account)
        wrong = sum(held[group] != members for group, members in here.books[-1].items())
        audit.close()
    return (
        f"| {size}, each group whole again after {at_most} days | {whole:,} | {max(spent):,} "
        f"| {max(spent) / whole:.1%} | {sum(spent) / whole:.2f} | {wrong} of {len(held):,} |"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", default="M")
    parser.add_argument("--share", type=float, default=3.0)
    parser.add_argument("--nights", type=int, default=7)
    parser.add_argument("--at-most", type=int, nargs="+", default=[7, 30])
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args()
    os.environ.setdefault("NO_PROXY", "127.0.0.1,localhost")
    rows = [measure(asked.size, asked.share, asked.nights, days, asked.seed) for days in asked.at_most]
    together = f"{asked.nights} nights, in whole ones"
    print(f"\n| walk | points of a whole one | of the dearest night | share | {together} | groups not as on the site |")
    print("|---|---:|---:|---:|---:|---:|")
    print("\n".join(rows))


if __name__ == "__main__":
    main()
