"""A practice site in a process of its own, for benchmarks: prints its address and a token, then answers questions.

Each line on standard input is a question: ``reset`` forgets the requests, ``count`` tells how many there were, how many
points they cost, and how many pages were asked for more than once. The end of the input stops it.
"""

from __future__ import annotations

import json
import sys
from collections import Counter

from spokekit.practice import PracticeSite


def main() -> None:
    size, latency_ms = sys.argv[1], float(sys.argv[2])
    with PracticeSite(size=size, latency_ms=latency_ms, quota=10**9) as site:
        world = site.world
        sizes = [len(world.members(row)) for row in world.group_order()]
        first = site.sites[0]
        told = {
            "url": site.url,
            "cloud_id": first.cloud_id,
            "site_url": first.url,
            "token": site.issue_token()["access_token"],
            "groups": len(sizes),
            "memberships": sum(sizes),
            "largest": max(sizes),
            # What the documents charge for reading all of it: 1 a page and 2 a row, groups and memberships.
            "points": sum(2 * rows + max(1, -(-rows // 200)) for rows in [len(sizes), *sizes]),
        }
        print(json.dumps(told), flush=True)
        for line in sys.stdin:
            if line.strip() == "reset":
                site.requests.clear()
                answer = {}
            else:
                asked = Counter((one.path, one.query) for one in site.requests if one.path.startswith("/ex/"))
                answer = {
                    "requests": sum(asked.values()),
                    "points": sum(one.points for one in site.requests),
                    "twice": sum(times - 1 for times in asked.values()),
                }
            print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
