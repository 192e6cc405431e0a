"""Another seed is another world: what is right beside one is wrong here, so answers cannot be passed on."""

from __future__ import annotations

import pytest

from spokekit.practice.world import World
from spokekit.practice.world.seed_structure import Structure, structure_of
from spokekit.training.attempts import Attempts
from spokekit.training.course import lesson
from spokekit.training.doer import Doer
from spokekit.training.testing import own_site


def test_the_first_world_is_the_documented_one_and_others_differ() -> None:
    assert structure_of(1) == Structure()
    found = [structure_of(seed) for seed in range(1, 31)]
    assert found == [structure_of(seed) for seed in range(1, 31)]
    assert {one.editor for one in found} == {"finance-reports", "finance_reports"}
    for what in ("leavers", "guests", "opened"):
        assert len({getattr(one, what) for one in found}) > 2


@pytest.mark.parametrize("seed", range(2, 12))
def test_every_world_holds_the_situations(seed: int) -> None:
    world, wanted = World("class", seed), structure_of(seed)
    frames = world.frames()
    names = dict(zip(frames["groups"]["group_id"], frames["groups"]["name"], strict=True))
    people = frames["users"].set_index("account_id")
    rows = frames["memberships"].assign(group=frames["memberships"]["group_id"].map(names))
    # Categories cannot hold lists in each version of pandas.
    inside = rows.astype({"account_id": object}).groupby("group")["account_id"].agg(list)
    gone = [one for one in inside["confluence-users"] if people.loc[one, "account_status"] != "active"]
    guests = [one for one in inside["agency-partners"] if people.loc[one, "is_guest"]]
    assert len(gone) == len(wanted.leavers) >= 2
    assert 1 <= len(guests) == wanted.guests < len(inside["agency-partners"])


@pytest.mark.parametrize(
    ("name", "turn", "do"),
    [
        ("near-duplicate-names", "the-other-one", lambda do: do.register("finance-reports")),
        ("guest-in-many-groups", "other-spaces", lambda do: do.answer("PARTNER", "SALES")),
    ],
)
def test_the_neighbours_answer_is_wrong_here(name: str, turn: str, do: object) -> None:
    with own_site(2) as (desk, root):
        attempt = Attempts(desk, root).begin(lesson(name))
        do(Doer(attempt))  # type: ignore[operator]
        verdict = attempt.check()
        assert (verdict.outcome, verdict.turn) == ("not yet", turn), verdict.words


def test_on_a_game_day_what_others_do_is_not_held_against_the_learner_and_an_undo_counts() -> None:
    with own_site() as (desk, root):
        attempt = Attempts(desk, root).begin(lesson("game-day"))
        do, turns = Doer(attempt), {turn.name: turn for turn in attempt.lesson.turns}
        turns["nobody-asked"].make(do)
        told = attempt.check()
        assert (told.turn, told.words[:17]) == ("nobody-asked", "1 of 3 are mended")
        do.undo()
        told = attempt.check()
        assert told.turn == "came-back" and told.words.startswith("1 of 3 are mended."), told.words
        # A trainer's order on the site is nobody's write.
        outside = min(set(do.site.people) - do.site.members("marketing"))
        do.order({"do": "add", "group": "marketing", "account": outside})
        do.resume()
        assert attempt.check().words.startswith("2 of 3 are mended")
        left = [one for one in do.site.members("confluence-users") if do.site.people[one].status != "active"]
        do.change("remove", "confluence-users", left)
        assert attempt.check().outcome == "right"
