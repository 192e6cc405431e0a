"""1.5 million memberships: in 400 MB for the whole process, and a frame of them in 3 s of CPU."""

from __future__ import annotations

import json
import subprocess
import sys

from spokekit.confluence.members import MemberTable
from spokekit.confluence.shapes import Member, Operation

SCRIPT = """
import json
from array import array
from spokekit.confluence.gateway import Raw
from spokekit.confluence.wire import decode
from spokekit.confluence.members import MemberTable
from spokekit.confluence.shapes import MEMBERS
import pandas

users, groups, size = 150_000, 7_500, 200

def body(start):
    rows = [
        {"type": "known", "accountId": f"712020:{n:08d}-0000-4000-8000-000000000000", "accountType": "atlassian",
         "email": f"person.{n}@example.com", "publicName": f"person {n}", "displayName": f"Person Number {n}",
         "timeZone": "Europe/Berlin", "isGuest": False,
         "operations": [{"operation": "use", "targetType": "application"}]}
        for n in ((start + i) % users for i in range(size))
    ]
    return json.dumps({"results": rows, "_links": {}}).encode()

table = MemberTable()
for number in range(groups // 10):
    text = body(number * size)
    for again in range(10):
        page = decode(Raw(200, {}, text), MEMBERS, "GET x")
        table.add(f"{number:08d}-0000-4000-8000-{again:012d}", array("i", [table.code(row) for row in page.results]))
frame = table.frame()
# Not getrusage: a child's peak there begins with the peak of its parent.
peak = next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmHWM")) / 1024
size = float(frame.memory_usage(deep=True).sum() / 1e6)
people = frame["account_id"].nunique()
print(json.dumps({"peak": peak, "rows": len(frame), "frame": size, "users": people}))
"""


def test_a_large_site_fits() -> None:
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True, timeout=300)
    got = json.loads(done.stdout)
    assert (got["rows"], got["users"]) == (1_500_000, 150_000)
    assert got["peak"] < 400
    assert got["frame"] < 120


def test_an_empty_table_has_the_same_columns_and_kinds_as_a_full_one() -> None:
    from array import array

    full = MemberTable()
    full.add("g", array("i", [full.code(Member("a", "Ann", None, "", "atlassian", True, [Operation()]))]))
    empty = MemberTable().frame()
    frame = full.frame()
    assert empty.dtypes.map(str).to_dict() == frame.dtypes.map(str).to_dict()
    assert len(empty) == 0
    assert {name: str(kind.categories.dtype) for name, kind in frame.dtypes.items() if str(kind) == "category"} == {
        name: str(kind.categories.dtype) for name, kind in empty.dtypes.items() if str(kind) == "category"
    }
    assert frame.iloc[0].tolist() == ["g", "a", "Ann", "", "", "atlassian", True, True]
