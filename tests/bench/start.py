"""How long a start takes: ``python -m tests.bench.start``. Prints a Markdown table; best and median of several runs."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time

CASES = {
    "`python -c pass`, for comparison": ["-c", "pass"],
    "`import spokekit`": ["-c", "import spokekit"],
    "`spokekit --help`": ["-m", "spokekit", "--help"],
    "`spokekit groups --help`": ["-m", "spokekit", "groups", "--help"],
    "`spokekit tour`": ["-m", "spokekit", "tour"],
}


def main(runs: int = 7) -> None:
    print("| start | best s | median s |\n|---|---|---|")
    for name, arguments in CASES.items():
        seconds = []
        for _ in range(runs):
            began = time.perf_counter()
            subprocess.run([sys.executable, *arguments], check=True, capture_output=True)
            seconds.append(time.perf_counter() - began)
        print(f"| {name} | {min(seconds):.2f} | {statistics.median(seconds):.2f} |", flush=True)


if __name__ == "__main__":
    main()
