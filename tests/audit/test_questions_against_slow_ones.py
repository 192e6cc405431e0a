"""Each question on a generated world with history against `slow`, on nothing at all, and through another engine."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from spokekit.audit import Audit, Frames, Snapshots, empty_frames, question
from spokekit.audit.questions.registry import REGISTRY, QuestionList
from spokekit.errors import InputError, NotFound
from tests.audit import slow
from tests.audit.worlds import DAY_ONE, SITE, TABLES, account, frames_of, world

QUESTIONS = sorted(REGISTRY.questions)


def generated_history() -> list[Frames]:
    """Four pulls of a world of 200 groups and 10,000 memberships, with random changes between them."""
    rng = np.random.default_rng(11)
    raw = world("S").frames(tables=TABLES)
    # Spaces of the generated world name groups alone: a few people and a class that exists in no other test.
    some = {"operation": "read", "target": "space", "role": ""}
    extra = [
        {"space_id": space, "principal_type": "user", "principal_id": account, **some}
        for space, account in zip(raw["spaces"]["space_id"][:6], raw["users"]["account_id"][3:9], strict=True)
    ]
    extra.append({**extra[0], "principal_type": "access-class", "principal_id": "all-product-admins"})
    raw["grants"] = pd.concat([raw["grants"], pd.DataFrame(extra)], ignore_index=True)
    made = []
    for day in (0, 5, 11, 14):
        if day:
            pairs, groups, users, grants = (raw[n] for n in ("memberships", "groups", "users", "grants"))
            pairs = pairs.astype(str)[rng.random(len(pairs)) > 0.02]
            joined = pd.DataFrame(
                {
                    "group_id": rng.choice(groups["group_id"].to_numpy(), 150),
                    "account_id": rng.choice(users["account_id"].to_numpy(), 150),
                }
            )
            gone = groups["group_id"].sample(2, random_state=day).to_list()
            groups = groups[~groups["group_id"].isin(gone)].copy()
            renamed = groups.sample(3, random_state=day).index
            groups.loc[renamed, "name"] = groups.loc[renamed, "name"] + f"-{day}"
            opened = groups.sample(2, random_state=day + 1).index
            groups.loc[opened, "access"] = "user"
            pairs = pd.concat([pairs, joined]).drop_duplicates(ignore_index=True)
            pairs = pairs[~pairs["group_id"].isin(gone)].reset_index(drop=True)
            left = users.sample(20, random_state=day).index
            users = users.copy()
            users.loc[left, "account_status"] = "inactive"
            grants = grants[~grants["principal_id"].isin(gone) & (rng.random(len(grants)) > 0.01)]
            raw = {**raw, "memberships": pairs, "groups": groups, "users": users, "grants": grants}
        made.append(Frames.of(raw, site=SITE, taken_at=DAY_ONE + timedelta(days=day)))
    return made


@pytest.fixture(scope="module")
def pulls() -> list[Frames]:
    return generated_history()


@pytest.fixture(scope="module")
def past(pulls: list[Frames]) -> list[slow.State]:
    return [slow.State(pull.taken_at, pull) for pull in pulls]


@pytest.fixture(scope="module")
def audit(pulls: list[Frames], tmp_path_factory: pytest.TempPathFactory) -> Audit:
    store = Snapshots(SITE, tmp_path_factory.mktemp("snapshots"))
    for pull in pulls:
        store.write(pull)
    return Audit.of_site(SITE, folder=store.folder.parent)


def chosen(past: list[slow.State]) -> dict[str, Any]:
    """Things to ask about: the largest groups, somebody in many of them, a space with several grants."""
    last = past[-1]
    largest = sorted(last.groups, key=lambda g: (-len(last.members[g]), g))
    person = max(last.users, key=lambda a: (len(last.groups_of[a]), a))
    space = max(last.spaces, key=lambda i: (sum(g["space_id"] == i for g in last.grants), i))
    return {"group": largest[3], "person": person, "space": space, "all_of": largest[:2], "none_of": largest[2:4]}


def params_of(name: str, past: list[slow.State]) -> tuple[dict[str, Any], dict[str, Any]]:
    """What to ask with, and the same for the slow function, with defaults."""
    have = chosen(past)
    asked = REGISTRY.questions[name]
    given = {p.name: have[p.name] for p in asked.params if p.name in have and (p.required or p.name == "none_of")}
    full = {p.name: given.get(p.name, p.default) for p in asked.params}
    return given, {key: None if value == "" else value for key, value in full.items()}


def rows(frame: pd.DataFrame) -> list[tuple[Any, ...]]:
    made = []
    for row in frame.itertuples(index=False, name=None):
        made.append(tuple(_plain(value) for value in row))
    return sorted(made, key=repr)


def _plain(value: Any) -> Any:
    if isinstance(value, pd.Timestamp):
        return value.to_pydatetime()
    if value is pd.NaT or value is pd.NA:
        return None
    return round(value, 6) if isinstance(value, float) else value


@pytest.mark.parametrize("name", QUESTIONS)
def test_the_same_rows_as_by_loops(name: str, audit: Audit, past: list[slow.State]) -> None:
    given, full = params_of(name, past)
    wanted = sorted((tuple(row) for row in slow.answers()[name](past, **full)), key=repr)
    got = rows(audit.ask(name, **given))
    assert got == wanted
    if name not in ("similar-groups", "same-name-accounts"):
        assert wanted, "the generated world has nothing to compare for this question"


def test_optional_parameters_too(audit: Audit, past: list[slow.State]) -> None:
    have = chosen(past)
    group = have["group"]
    assert rows(audit.ask("members-of-groups", group=group)) == rows_of(slow.members_of_groups(past, group))
    assert rows(audit.ask("changes-since", days=100, group=group)) == rows_of(slow.changes_since(past, 100, group))
    assert rows(audit.ask("membership-over-time", groups=have["all_of"])) == rows_of(
        slow.membership_over_time(past, have["all_of"])
    )
    assert rows(audit.ask("similar-groups", alike=30)) == rows_of(slow.similar_groups(past, 30, 2000))
    assert slow.similar_groups(past, 30, 2000)
    assert rows(audit.ask("changed-grants", days=100)) == rows_of(slow.changed_grants(past, 100))


def rows_of(made: slow.Answer) -> list[tuple[Any, ...]]:
    return sorted((tuple(row) for row in made), key=repr)


@pytest.mark.parametrize("name", QUESTIONS)
def test_frames_with_nothing_in_them(name: str) -> None:
    empty = Audit.of_frames(empty_frames())
    asked = REGISTRY.questions[name]
    looked_up = [p for p in asked.params if p.required]
    if looked_up:
        with pytest.raises(NotFound, match=r"There is no (group|person|space) 'nobody'"):
            empty.ask(name, **{p.name: "nobody" for p in looked_up})
        # And the query itself, as on a site where the thing is known but nothing else is.
        known = {p.name: (1,) if p.kind == "groups" else 1 for p in asked.params}
        assert empty.sql(asked.function(**known), **{k: v for k, v in known.items() if v == 1}).empty
        return
    answer = empty.ask(name)
    full = Audit.of_frames(frames_of()).ask(name)
    if name == "membership-over-time":
        return
    assert len(answer) == 0
    assert answer.dtypes.to_dict() == full.dtypes.to_dict()


def test_the_order_is_the_same_each_time(audit: Audit) -> None:
    for name in ("members-of-groups", "licensed-people", "space-admins", "changes-since"):
        first, again = audit.ask(name), audit.ask(name)
        assert first.equals(again)


def test_answers_say_what_they_are_of(audit: Audit) -> None:
    answer = audit.ask("open-spaces")
    assert answer.attrs["site"] == "Class"
    assert answer.attrs["title"] == "Which spaces are open to everybody?"
    assert "guests" in answer.attrs["cannot_know"]
    assert answer.attrs["taken_at"] == "2026-03-16T09:00:00+00:00"


def test_names_are_looked_up_kindly() -> None:
    audit = Audit.of_frames(frames_of())
    assert audit.ask("spaces-of-group", group="CONFLUENCE-admins").equals(
        audit.ask("spaces-of-group", group="confluence-admins")
    )
    with pytest.raises(NotFound, match=r"There is no group 'confluence-admin' in this snapshot. Did you mean conf"):
        audit.ask("spaces-of-group", group="confluence-admin")
    twins = frames_of().users.set_index("account_id").loc[account(5), "display_name"]
    with pytest.raises(InputError, match=r"Several have the name.*Ask by id"):
        audit.ask("spaces-of-person", person=twins)
    assert len(audit.ask("spaces-of-person", person=account(5)))
    with pytest.raises(NotFound, match=r"There is no question named open-space. Did you mean open-spaces"):
        audit.ask("open-space")
    with pytest.raises(NotFound, match="organisation's admin API"):
        audit.ask("inactive-seats")
    with pytest.raises(InputError, match="needs a group"):
        audit.ask("spaces-of-group")
    with pytest.raises(InputError, match=r"has no parameter grup. It takes: group"):
        audit.ask("spaces-of-group", grup="x")
    with pytest.raises(InputError, match="no number of days"):
        audit.ask("changes-since", days="a week")


def test_a_name_is_never_sql() -> None:
    audit = Audit.of_frames(frames_of())
    for evil in ("'; DROP VIEW groups; --", "$group", "a' OR '1'='1", "{}", "%s"):
        with pytest.raises(NotFound):
            audit.ask("spaces-of-group", group=evil)
    assert len(audit.frame("groups")) == 26


def test_a_question_of_ones_own(tmp_path: Path) -> None:
    own = QuestionList()

    @question(
        "shouting-groups",
        "Which group names are loud?",
        needs=("groups",),
        columns={"name": "text", "letters": "int"},
        registry=own,
    )
    def shouting_groups() -> str:
        return "SELECT name, length(name) AS letters FROM groups WHERE name LIKE '%Sales%'"

    @question("in-pandas", "The same in pandas", needs=("groups",), columns={"name": "text"}, registry=own)
    def in_pandas(audit: Audit) -> pd.DataFrame:
        groups = audit.frame("groups")
        return groups[groups["name"].str.startswith("=")]

    audit = Audit(frames_of(), registry=own)
    assert audit.ask("shouting-groups").to_dict("records") == [{"name": "=Sales(Berlin)", "letters": 14}]
    assert audit.ask("in-pandas")["name"].to_list() == ["=Sales(Berlin)"]
    assert audit.questions()["name"].to_list() == ["in-pandas", "shouting-groups"]
    with pytest.raises(InputError, match="no kind of column"):
        question("x", "y", needs=(), columns={"a": "number"}, registry=own)

    @question("broken", "Lacks a column", needs=(), columns={"there": "text"}, registry=own)
    def broken() -> str:
        return "SELECT 1 AS other"

    with pytest.raises(InputError, match="lacks the column there"):
        audit.ask("broken")
