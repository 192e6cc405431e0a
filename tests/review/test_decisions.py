"""Who may decide what, worksheets out and back, and the database that refuses to rewrite any of it."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import openpyxl
import pandas as pd
import pytest
import sqlalchemy as sa

from spokekit.audit import Audit
from spokekit.errors import Conflict, IncompleteResult, InputError
from spokekit.practice import PracticeSite
from spokekit.review import Campaign, Reviews
from spokekit.review.worksheet import COLUMNS
from tests.review.conftest import decide_all

Look = Callable[..., Audit]


def test_nobody_decides_about_their_own_row(campaign: Campaign, site: PracticeSite) -> None:
    own = [row.row_id for row in campaign.rows if row.account_id == site.account_id]
    assert own
    made = campaign.decide(own, "keep", reason="mine")
    assert made.taken == 0 and all("your own" in words for _, words in made.refused)
    made = campaign.keep_shown([row.row_id for row in campaign.rows], reason="known")
    assert {row_id for row_id, _ in made.refused} == set(own)
    assert campaign.sums()["undecided"] == len(own)


def test_reasons_days_and_states(campaign: Campaign) -> None:
    advised = next(row for row in campaign.rows if row.advice == "remove" and not row.routed_out)
    routed = next(row for row in campaign.rows if row.routed_out)
    assert "needs a reason" in campaign.decide(advised.row_id, "keep").refused[0][1]
    assert "last day" in campaign.decide(advised.row_id, "exception", reason="x").refused[0][1]
    assert "needs a reason" in campaign.decide(advised.row_id, "exception", until="2099-01-01").refused[0][1]
    assert "routed out" in campaign.decide(routed.row_id, "remove").refused[0][1]
    for day in ("2020-01-01", "soon"):
        with pytest.raises(InputError):
            campaign.decide(advised.row_id, "exception", reason="x", until=day)
    with pytest.raises(InputError, match="no decision"):
        campaign.decide(advised.row_id, "approve")
    with pytest.raises(InputError, match="Only an exception has a last day"):
        campaign.decide(advised.row_id, "remove", until="2099-01-01")
    assert campaign.decide(advised.row_id, "exception", reason="until the audit", until="2099-01-01").taken == 1
    assert campaign.decide(advised.row_id, "remove").changed == (
        (advised.row_id, "exception until 2099-01-01", "remove"),
    )
    decide_all(campaign)
    campaign.sign("Kim", "Head of IT")
    with pytest.raises(Conflict, match="Decided"):
        campaign.decide(advised.row_id, "keep", reason="late")
    with pytest.raises(Conflict, match="Decided"):
        campaign.close("nowhere")


def test_who_acts_on_an_old_view_writes_nothing(campaign: Campaign, reviews: Reviews) -> None:
    other = reviews.get(campaign.name)
    decide_all(other)
    other.sign("Kim", "Head of IT")
    assert campaign.state == "Open"
    with pytest.raises(Conflict):
        campaign.decide(campaign.rows[0].row_id, "ask")
    assert campaign.state == "Decided"


def test_an_exception_that_ran_out_opens_itself_again(
    reviews: Reviews, look: Look, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = reviews.open("2026-Q3", audit=look())
    row = next(row for row in first.rows if not row.routed_out and not row.advice)
    first.decide(row.row_id, "exception", reason="project", until="2099-01-01")
    monkeypatch.setattr("spokekit.review.campaign.today_here", lambda: datetime(2099, 2, 1, tzinfo=UTC).date())
    monkeypatch.setattr("spokekit.review.reviews.today_here", lambda: datetime(2099, 2, 1, tzinfo=UTC).date())
    assert first.decision(row.row_id) is None
    again = next(r for r in reviews.open("2099-Q1", audit=look()).rows if r.pair == row.pair)
    assert again.advice == "ask" and "of 2026-Q3 has run out" in again.recommendation


def test_an_incomplete_population_is_refused_or_named(reviews: Reviews, look: Look) -> None:
    short = look(completeness={"complete": False, "words": "1 group could not be read."})
    with pytest.raises(IncompleteResult, match="1 group could not be read"):
        reviews.open("2026-Q4", audit=short)
    assert reviews.names() == ()
    campaign = reviews.open("2026-Q4", audit=short, partial=True)
    assert campaign.missing and campaign.report().count(b"1 group could not be read") >= 2


def test_lists_from_elsewhere_make_recommendations(reviews: Reviews, look: Look) -> None:
    audit = look()
    users = audit.frame("users")
    active = users[(users["account_type"] == "atlassian") & (users["account_status"] == "active") & ~users["is_guest"]]
    absent, idle = active["account_id"].iloc[0], active["account_id"].iloc[1]
    people = pd.DataFrame(
        {
            "account_id": [absent, idle],
            "in_list": [False, True],
            "last_seen": [pd.NaT, pd.Timestamp("2026-01-01")],
            "as_of": [pd.Timestamp("2026-11-01")] * 2,
        }
    )
    rows = reviews.open("2026-Q4", scope="access", people=people, audit=audit).rows
    said = {row.recommendation for row in rows if row.account_id == absent}
    assert said <= {"remove: in no list of people (list of 2026-11-01)"}
    said = {row.recommendation for row in rows if row.account_id == idle}
    assert said <= {"remove: inactive for 304 days, last seen 2026-01-01 (list of 2026-11-01)"}


def test_a_list_of_people_is_compared_and_its_word_is_the_recommendation(reviews: Reviews, look: Look) -> None:
    from spokekit.audit.compare_people import compare_list

    audit = look()
    users = audit.frame("users")
    person = users[(users["account_type"] == "atlassian") & (users["account_status"] == "active") & ~users["is_guest"]]
    here, left, idle, *_ = person["account_id"]
    lines = f"account_id,status,last_seen\n{here},active,\n{left},terminated,\n{idle},active,2026-01-01\n"
    found = compare_list(audit, lines.encode(), as_of=datetime(2026, 11, 1, tzinfo=UTC))
    rows = reviews.open("2026-Q4", scope="access", people=found, audit=audit).rows
    said = {account: {r.recommendation for r in rows if r.account_id == account} for account in (here, left, idle)}
    assert not any("remove" in words for words in said[here])
    assert said[left] <= {"remove: leaver, by the list of 2026-11-01"}
    assert said[idle] <= {"remove: inactive for 304 days, last seen 2026-01-01 (list of 2026-11-01)"}
    assert any("in no list of people" in row.recommendation for row in rows)


@pytest.mark.parametrize("kind", ["csv", "xlsx"])
def test_a_worksheet_goes_out_and_comes_back(campaign: Campaign, tmp_path: Path, kind: str) -> None:
    path = campaign.worksheet(tmp_path / f"sheet.{kind}")
    lines = cells_of(path)
    assert tuple(lines[0]) == COLUMNS
    at = {name: COLUMNS.index(name) for name in COLUMNS}
    for line in lines[1:]:
        line[at["decision"]], line[at["reviewer"]], line[at["reason"]] = "Keep ", "Robin Other", "needed"
    lines[1][at["decision"]] = "perhaps"
    lines[2][at["reviewer"]] = ""
    lines[3][at["decision"]] = ""
    lines[3][at["reason"]] = ""
    lines[5][at["until"]] = "2099-01-01"
    own = [n for n, line in enumerate(lines) if line[at["account_id"]] == campaign.actor.account_id]
    assert own
    sheet = campaign.read_worksheet(as_csv(lines))
    assert sheet.refused[0][1].startswith("“perhaps”") and sheet.empty == 1
    assert len(sheet.refused) == 3 and len(sheet.choices) == len(lines) - 5
    assert "only an exception has" in sheet.refused[2][1]
    made = campaign.take(sheet.choices)
    assert made.taken == len(sheet.choices) and not made.refused
    frame = campaign.frame()
    assert "Robin Other (as stated in the worksheet" in frame["decided_by"].max()

    # A second upload says what it changes, and what is so already is left out.
    lines[5][at["decision"]] = ""
    lines[5][at["until"]] = lines[5][at["reason"]] = ""
    lines[4][at["decision"]] = "ask"
    sheet = campaign.read_worksheet(as_csv(lines))
    assert sheet.changes == ((int(lines[4][at["row_id"]]), "keep", "ask"),) and len(sheet.choices) == 1


def test_a_worksheet_that_was_changed_is_taken_not_at_all(campaign: Campaign, tmp_path: Path) -> None:
    lines = cells_of(campaign.worksheet(tmp_path / "sheet.csv"))
    group = COLUMNS.index("group")

    def refused(changed: list[list[str]], words: str) -> None:
        with pytest.raises(InputError, match=words):
            campaign.read_worksheet(as_csv(changed))

    refused(lines[:-1], "1 row missing")
    refused([*lines, lines[-1]], "a second time")
    refused([lines[0], *([*lines[1][:group], "other", *lines[1][group + 1 :]],), *lines[2:]], "has another group")
    refused([line[:-1] for line in lines], "lacks the column reviewer")
    refused([[*line, "x"] for line in lines], "new column x")
    refused([["no"], ["worksheet"]], "not the worksheet")
    refused([lines[0], *([["2026-Q1", *line[1:]] for line in lines[1:]])], "is of the review 2026-Q1")
    assert campaign.sums()["undecided"] == len(lines) - 1


def test_the_person_of_the_row_is_no_reviewer_of_it_in_a_worksheet(campaign: Campaign, tmp_path: Path) -> None:
    lines = cells_of(campaign.worksheet(tmp_path / "sheet.csv"))
    at = {name: COLUMNS.index(name) for name in COLUMNS}
    lines[1][at["decision"]], lines[1][at["reviewer"]] = "ask", lines[1][at["person"]].upper()
    made = campaign.take(campaign.read_worksheet(as_csv(lines)).choices)
    assert made.taken == 0 and "somebody else" in made.refused[0][1]


def test_the_database_refuses_to_rewrite_a_review(campaign: Campaign) -> None:
    campaign.decide([campaign.rows[0].row_id], "ask")
    store = campaign.records.store
    for table, column in (("review_campaigns", "name"), ("review_rows", "group_name"), ("review_events", "reason")):
        for change in (f"UPDATE {table} SET {column} = 'x'", f"DELETE FROM {table}"):
            with pytest.raises(sa.exc.IntegrityError, match="append-only"), store.write() as connection:
                connection.execute(sa.text(change))
    # Names may have to be forgotten.
    account = next(row.account_id for row in campaign.rows if row.account_id != campaign.actor.account_id)
    assert campaign.records.forget_people([account]) == 1
    assert Campaign(campaign.records, campaign.head, campaign.actor).called(account) == account


def cells_of(path: Path) -> list[list[str]]:
    if path.suffix == ".csv":
        return list(csv.reader(io.StringIO(path.read_text("utf-8-sig"), newline="")))
    sheet = openpyxl.load_workbook(path)["Rows"]
    rows = [[str(cell) if cell is not None else "" for cell in row] for row in sheet.iter_rows(values_only=True)]
    # A workbook has its ids last.
    order = [["_".join(cell.split()) for cell in rows[0]].index(name) for name in COLUMNS]
    return [list(COLUMNS), *([row[at] for at in order] for row in rows[1:])]


def as_csv(lines: list[list[str]]) -> bytes:
    sink = io.StringIO()
    csv.writer(sink).writerows(lines)
    return sink.getvalue().encode()
