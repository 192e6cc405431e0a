"""What an auditor hands over: findings with states, files that are safe to open, pictures that can be read."""

from __future__ import annotations

import csv
import io
import re
import sqlite3
import zipfile
from contextlib import closing
from datetime import UTC, date, datetime, timedelta
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import sqlalchemy as sa

from spokekit.audit import Audit, Findings, Frames, Snapshots
from spokekit.audit.findings import decisions_table, findings_table
from spokekit.audit.show import export, plots
from spokekit.audit.show.picture import Picture, short
from spokekit.connections.store import Store
from spokekit.errors import InputError, NotFound, StoreError
from tests.audit.worlds import SITE, TABLES, account, four_days, frames_of, group_id, world

NOW = datetime(2026, 3, 20, tzinfo=UTC)


@pytest.fixture(scope="module")
def audit() -> Audit:
    return Audit.of_frames(frames_of())


@pytest.fixture(scope="module")
def past(tmp_path_factory: pytest.TempPathFactory) -> Audit:
    return four_days(tmp_path_factory.mktemp("history"))


# -- findings --------------------------------------------------------------------------------------------------


def test_a_finding_is_new_until_it_is_accepted_or_fixed(tmp_path: Path) -> None:
    findings = Findings(SITE, tmp_path)
    first = findings.review(Audit.of_frames(frames_of()), "inactive-in-groups", now=NOW)
    assert first["state"].to_list() == ["new"] * 4
    assert (first.attrs["new"], first.attrs["accepted"], first.attrs["fixed"]) == (4, 0, 0)
    chosen = first.loc[first["account_id"] == account(7), "finding_id"].item()
    findings.accept(chosen, reason="Handover until summer", by="Kim", until=date(2099, 6, 30))

    without = frames_of().memberships
    gone = (without["account_id"] == account(8)) & (without["group_id"] == group_id("procurement"))
    later = frames_of(day=1, memberships=without[~gone].reset_index(drop=True))
    second = findings.review(Audit.of_frames(later), "inactive-in-groups", now=NOW)
    assert second["state"].to_list() == ["new", "new", "accepted"]
    accepted = second.iloc[-1]
    assert (accepted["reason"], accepted["accepted_by"]) == ("Handover until summer", "Kim")
    assert accepted["accepted_until"] > pd.Timestamp("2099-06-30T23:59:00Z")
    assert second.attrs["fixed"] == 1
    assert findings.frame("fixed")["last_seen"].to_list() == [pd.Timestamp("2026-03-02T09:00:00Z")]
    assert findings.frame()["state"].to_list() == ["new", "new", "accepted", "fixed"]

    third = findings.review(Audit.of_frames(frames_of(day=2)), "inactive-in-groups", now=NOW)
    back = third[third["account_id"] == account(8)]
    assert back["state"].item() == "new"
    assert back["first_seen"].item() == pd.Timestamp("2026-03-04T09:00:00Z"), "it came back: a new finding"
    assert third.loc[third["account_id"] == account(7), "first_seen"].item() == pd.Timestamp("2026-03-02T09:00:00Z")


def test_a_column_of_the_question_may_be_called_like_one_of_a_finding(tmp_path: Path, audit: Audit) -> None:
    for question in ("group-sizes", "unused-groups", "groups-with-access"):
        review = Findings(SITE, tmp_path).review(audit, question)
        assert set(review["state"]) == {"new"} and set(review["row_state"]) == {"walked"}
        assert review.attrs["new"] == len(review) and review.attrs["question"] == question


def test_an_acceptance_ends(tmp_path: Path, audit: Audit) -> None:
    findings = Findings(SITE, tmp_path)
    one = findings.review(audit, "groups-without-members")["finding_id"].item()
    findings.accept([one], reason="soon", by="Kim", until=datetime.now(UTC) + timedelta(hours=1))
    assert findings.review(audit, "groups-without-members")["state"].item() == "accepted"
    in_two_hours = datetime.now(UTC) + timedelta(hours=2)
    assert findings.review(audit, "groups-without-members", now=in_two_hours)["state"].item() == "new"
    assert findings.reopen(one) == 1
    assert findings.review(audit, "groups-without-members")["state"].item() == "new"
    for wrong, words in (
        ({"reason": " ", "by": "Kim"}, "needs a reason"),
        ({"reason": "x", "by": ""}, "needs a name"),
        ({"reason": "x", "by": "Kim", "until": date(2020, 1, 1)}, "would have ended already"),
    ):
        with pytest.raises(InputError, match=words):
            findings.accept(one, **wrong)  # type: ignore[arg-type]
    with pytest.raises(NotFound, match="There is no finding nothing"):
        findings.accept("nothing", reason="x", by="y")


def test_an_incomplete_walk_fixes_nothing(tmp_path: Path, audit: Audit) -> None:
    findings = Findings(SITE, tmp_path)
    findings.review(audit, "app-users")
    nothing = Frames.of({}, site=SITE, taken_at=NOW, completeness={"complete": False})
    assert findings.review(Audit.of_frames(nothing), "app-users").attrs["fixed"] == 0
    assert set(findings.frame()["state"]) == {"new"}


def test_questions_with_other_parameters_are_other_findings(tmp_path: Path, audit: Audit) -> None:
    findings = Findings(SITE, tmp_path)
    assert len(findings.review(audit, "in-several-access-groups", at_least=3)) == 2
    assert findings.review(audit, "in-several-access-groups").attrs["new"] == 10
    assert findings.review(audit, "in-several-access-groups", at_least=3).attrs["fixed"] == 0


def test_a_team_with_one_store_shares_what_it_accepted(tmp_path: Path, audit: Audit) -> None:
    """Each with snapshots of their own, and somebody else's site in the same store."""
    url = f"sqlite:///{tmp_path / 'team.sqlite'}"
    ours, theirs = (Findings(SITE, tmp_path / who, store=Store(url)) for who in ("kim", "sam"))
    one = ours.review(audit, "groups-without-members")["finding_id"].item()
    ours.accept(one, reason="soon", by="Kim")
    review = theirs.review(audit, "groups-without-members")
    assert review[["state", "reason", "accepted_by"]].to_numpy().tolist() == [["accepted", "soon", "Kim"]]
    other = Findings("another-site", tmp_path, store=Store(url))
    assert other.frame().empty
    with pytest.raises(NotFound, match=f"There is no finding {one}"):
        other.reopen(one)
    theirs.reopen(one)
    theirs.accept(one, reason="later", by="Sam")
    with Store(url).read() as connection:
        told = connection.execute(sa.select(decisions_table).order_by("seq")).all()
    assert [(row.what, row.reason) for row in told] == [("accepted", "soon"), ("reopened", ""), ("accepted", "later")]
    for change in (sa.delete(decisions_table), sa.update(decisions_table).values(reason="other")):
        with pytest.raises(sa.exc.IntegrityError, match="append-only"), Store(url).write() as connection:
            connection.execute(change)


def test_findings_that_were_kept_in_a_file_are_taken_in_once(tmp_path: Path, audit: Audit) -> None:
    kept = Findings(SITE, tmp_path, store=Store("sqlite://"))
    sizes = kept.review(audit, "app-users")
    kept.accept(sizes["finding_id"][:1], reason="known", by="Kim", until=date(2099, 6, 30))
    path = Snapshots(SITE, tmp_path).folder / "findings.sqlite"
    path.parent.mkdir(parents=True)
    with closing(sqlite3.connect(path)) as file, kept.store.read() as connection:
        file.execute(
            "CREATE TABLE findings (finding_id TEXT PRIMARY KEY, question TEXT NOT NULL, params TEXT NOT NULL, "
            "about TEXT NOT NULL, first_seen TEXT NOT NULL, last_seen TEXT NOT NULL, fixed_at TEXT, "
            "reason TEXT, accepted_by TEXT, accepted_until TEXT, accepted_at TEXT)"
        )
        rows = connection.execute(
            sa.select(findings_table, decisions_table).outerjoin(
                decisions_table, findings_table.c.decision == decisions_table.c.seq
            )
        ).mappings()
        names = [column[1] for column in file.execute("PRAGMA table_info(findings)")]
        for row in rows:
            found = {**row, "accepted_at": row["at"]}
            texts = [v.isoformat() if isinstance(v := found[name], datetime) else v for name in names]
            file.execute(f"INSERT INTO findings VALUES ({', '.join('?' * len(names))})", texts)
        file.commit()
    again = Findings(SITE, tmp_path, store=Store(f"sqlite:///{tmp_path / 'store.sqlite'}"))
    pd.testing.assert_frame_equal(again.frame(), kept.frame())
    assert not path.exists() and path.with_name("findings.sqlite.taken-in").exists()
    again.reopen(sizes["finding_id"][0])
    # The file comes back, as from a backup: what was decided since stays decided.
    path.with_name("findings.sqlite.taken-in").rename(path)
    assert set(again.frame()["state"]) == {"new"}
    path.write_bytes(b"no database" * 1000)
    with pytest.raises(StoreError, match="cannot be read"):
        again.frame()


# -- files -----------------------------------------------------------------------------------------------------


def evil() -> pd.DataFrame:
    texts = [
        "=1+1",
        "+1",
        "-1",
        "@x",
        "\t=1",
        " =1",
        "<script>alert(1)</script>",
        "a\x00b",
        "plain",
        'quo"te, comma\nline',
    ]
    frame = pd.DataFrame({"text": pd.Series(texts, dtype="str"), "number": range(-5, 5), "yes": [True, False] * 5})
    return frame.assign(at=pd.Timestamp("2026-03-02T09:00:00Z"), share=0.5)


def about(audit: Audit) -> export.About:
    return export.About.of(audit, title="Group <access>", made_by="Kim & Co", filters="group=x")


def test_csv_holds_no_formula(tmp_path: Path) -> None:
    path = export.to_csv(evil(), tmp_path / "a.csv")
    rows = list(csv.reader(io.StringIO(path.read_text("utf-8-sig"), newline="")))
    assert rows[0] == ["text", "number", "yes", "at", "share"]
    assert [row[0] for row in rows[1:7]] == ["'=1+1", "'+1", "'-1", "'@x", "'\t=1", "' =1"]
    assert rows[1][1:] == ["-5", "True", "2026-03-02T09:00:00Z", "0.5"]
    assert rows[10][0] == 'quo"te, comma\nline'
    assert oct(path.stat().st_mode & 0o777) == "0o600"


def test_parquet_keeps_the_types(tmp_path: Path, audit: Audit) -> None:
    answer = audit.ask("group-sizes")
    back = pd.read_parquet(export.to_parquet(answer, tmp_path / "a.parquet"))
    pd.testing.assert_frame_equal(back, answer)


def test_one_workbook_with_a_summary(tmp_path: Path, audit: Audit) -> None:
    from openpyxl import load_workbook

    frames = {"evil [1]": evil(), "evil ?1?": evil(), "open-spaces": audit.ask("open-spaces"), "x" * 40: pd.DataFrame()}
    path = export.to_xlsx(frames, tmp_path / "a.xlsx", about(audit))
    book = load_workbook(path)
    assert book.sheetnames == ["Summary", "evil  1", "evil  1 2", "open-spaces", "x" * 28]
    summary = {row[0].value: row[1].value for row in book["Summary"].iter_rows()}
    assert summary["Title"] == "Group <access>"
    assert (summary["Site"], summary["Snapshot taken"], summary["Made by"]) == (
        "Class",
        "2026-03-02 09:00 UTC",
        "Kim & Co",
    )
    assert summary["Filters"] == "group=x"
    assert summary["open-spaces"].startswith("3 rows. Which spaces are open to everybody? A grant to anonymous")
    cells = [cell for row in book["evil  1"].iter_rows() for cell in row]
    assert {cell.data_type for cell in cells} <= {"s", "n", "b"}, "no formula anywhere"
    assert [row[0].value for row in book["evil  1"].iter_rows(min_row=2, max_row=4)] == ["=1+1", "+1", "-1"]
    with zipfile.ZipFile(path) as parts:
        assert not any(b"<f>" in parts.read(name) for name in parts.namelist())


class Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.said = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.said += data


def test_the_html_report_needs_nothing_from_elsewhere(tmp_path: Path, audit: Audit) -> None:
    many = pd.concat([evil()] * 150, ignore_index=True)
    frames = {"evil": many, "open-spaces": audit.ask("open-spaces"), "nothing": audit.ask("changes-since")}
    path = export.to_html(frames, tmp_path / "a.html", about(audit), [plots.group_sizes(audit)])
    text = path.read_text("utf-8")
    page = Reader()
    page.feed(text)
    names = [tag for tag, _ in page.tags]
    assert "script" not in names and "link" not in names
    sources = [value for _, given in page.tags for key, value in given.items() if key in ("src", "srcset", "href")]
    assert sources and all(value and value.startswith("data:image/png;base64,") for value in sources)
    assert not re.search(r"url\(|@import|https?://(?!class\.example)", text)
    assert "<script>alert(1)</script>" in page.said, "shown as text"
    assert "Group <access>" in page.said and "1,500 rows, the first 1,000 are shown." in page.said
    assert "A grant to anonymous people opens a space" in page.said
    picture = next(given for tag, given in page.tags if tag == "img")
    assert "confluence-users with 74" in (picture["alt"] or "")


def test_files_appear_whole_or_not_at_all(tmp_path: Path) -> None:
    (tmp_path / "old.csv").write_text("old")
    with pytest.raises(InputError, match="cannot be written"):
        export.to_csv(evil(), tmp_path / "missing" / "a.csv")
    with pytest.raises(InputError, match="is a folder"):
        export.to_csv(evil(), tmp_path)
    mode = tmp_path.stat().st_mode
    export.to_csv(evil(), tmp_path / "old.csv")
    assert (tmp_path / "old.csv").read_text("utf-8-sig").startswith("text,number")
    assert tmp_path.stat().st_mode == mode, "somebody's folder keeps its mode"
    assert [p.name for p in tmp_path.iterdir()] == ["old.csv"]


# -- pictures --------------------------------------------------------------------------------------------------


def pixels(picture: Picture, *, dark: bool) -> np.ndarray:
    from matplotlib.image import imread

    return np.asarray(imread(io.BytesIO(picture.png(dark=dark)))[:, :, :3])


def test_pictures_of_a_small_site(past: Audit) -> None:
    made = plots.overview(past)
    assert [p.title for p in made][:1] == ["Largest groups"]
    assert len(made) == 5
    for picture in made:
        light, dark = pixels(picture, dark=False), pixels(picture, dark=True)
        assert light[0, 0].mean() > 0.95 and dark[0, 0].mean() < 0.2
        assert light.std() > 0.05, "something is drawn"
        assert len(picture.alt) > 60
        assert picture._repr_html_().count("alt='") == 2
    assert "72" not in made[0].alt and "confluence-users with 74" in made[0].alt
    assert "100 percent of okta-engineering are in confluence-users" in made[1].alt
    assert re.search(r"people are in confluence-users only", made[2].alt)
    assert "marketing-emea: from 8 to 9" in made[3].alt


def test_pictures_of_five_thousand_groups_gather_the_rest() -> None:
    audit = Audit.of_frames({**world("M").frames(tables=("groups", "users", "memberships"))})
    sizes = plots.group_sizes(audit)
    assert "5,000 groups" in sizes.alt and "Not shown: 4,975 with" in sizes.alt
    for picture in (sizes, plots.overlap(audit), plots.combinations(audit)):
        height, width, _ = pixels(picture, dark=False).shape
        assert 300 < width < 1500 and 300 < height < 1500
    assert "rarer combinations" in plots.combinations(audit).alt


def test_labels_stay_inside_their_pictures_and_run_no_formula() -> None:
    raw = world("class").frames(tables=TABLES)
    names = ["$\\frac{1}{0}$", "x" * 200, "a\u202eb\nc", "漢字", "<b>&amp;"]
    groups = raw["groups"].head(5).assign(name=names, access="user")
    kept = raw["memberships"][raw["memberships"]["group_id"].isin(groups["group_id"])]
    audit = Audit.of_frames({"groups": groups, "users": raw["users"], "memberships": kept})
    for picture in (plots.group_sizes(audit), plots.overlap(audit), plots.combinations(audit)):
        edge = pixels(picture, dark=False)
        assert edge[:, :2].min() > 0.9 and edge[:, -2:].min() > 0.9, "nothing runs over the edge"
    assert short("a\u202eb\nc") == r"a\u202eb c"
    assert len(short("x" * 200)) == 34
    with pytest.raises(InputError, match="More than 12 groups"):
        plots.combinations(Audit.of_frames(frames_of()), frames_of().groups["group_id"].to_list())


def test_more_lines_than_plain_styles(audit: Audit) -> None:
    groups = audit.frame("groups")["group_id"].to_list()[:7]
    assert plots.over_time(audit, groups).png().startswith(b"\x89PNG")


def test_pictures_of_nothing(audit: Audit) -> None:
    empty = Audit.of_frames({})
    assert plots.overview(empty) == ()
    for picture in (plots.group_sizes, plots.overlap, plots.combinations, plots.over_time, plots.grants_by_space):
        assert picture(empty).png().startswith(b"\x89PNG")
    named = plots.overlap(audit, ["marketing", "confluence-users"])
    assert "100 percent of marketing are in confluence-users" in named.alt
