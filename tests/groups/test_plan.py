"""The rules of a plan against a state written out by hand: every refusal has its row and its sentence."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spokekit.errors import InputError, NotFound, PlanError, SpokekitError
from spokekit.groups import planfile
from spokekit.groups.plan import COLUMNS, Plan, Row, build
from spokekit.groups.preview import Cost, Preview, Seats, check_words, dangers, grave, seats
from spokekit.groups.recheck import unlike
from spokekit.groups.site_state import GroupNow, Person, Place, Present, differences
from spokekit.groups.wishes import Wish, WishList
from spokekit.widgets._membership_views import preview_markup

HERE = Place("alias", "connection", "Our connection", "cloud-1", "https://one.atlassian.net")
ELSEWHERE = "0b1c2d3e-0000-4000-8000-000000000000"


def group(group_id: str, *members: str, **more: object) -> GroupNow:
    return GroupNow(
        **{"group_id": group_id, "name": group_id, "registered_name": group_id, "members": frozenset(members)} | more  # type: ignore[arg-type]
    )


GROUPS = (
    group("writers", "ada", "bob"),
    group("staff", "ada", "bob", "robot", "me", access="user"),
    group("chiefs", "me", "ada", access="site-admin"),
    group("owners", "bob", access="site-admin"),
    group("synced", "ada", managed_by="EXTERNAL"),
    group("new-name", "ada", name="people", registered_name="humans"),
    group("gone", there=False),
    group("twin-1", name="Twins", registered_name="Twins"),
    group("twin-2", name="twins", registered_name="twins"),
    group("stranger", "ada", registered=False, name="Strangers"),
    group(ELSEWHERE, registered=False, there=False, name=""),
)
PEOPLE = (
    Person("ada", "Ada <b>L</b>"),
    Person("bob", "Bob"),
    Person("cleo", "Cleo"),
    Person("me", "Me"),
    Person("robot", "Robot", account_type="app"),
    Person("gus", "Gus", status="inactive"),
    Person("guest", "Guest", is_guest=True),
)


def present(**more: object) -> Present:
    names: dict[str, tuple[str, ...]] = {}
    for one in GROUPS:
        if one.registered:
            names[one.registered_name.casefold()] = (*names.get(one.registered_name.casefold(), ()), one.group_id)
    values: dict[str, object] = {
        "place": HERE,
        "me": "me",
        "groups": {one.group_id: one for one in GROUPS},
        "people": {one.account_id: one for one in PEOPLE},
        "names": names,
        "mails": {"ada@example.com": ("ada",), "shared@example.com": ("bob", "cleo")},
        "admins": {"chiefs": frozenset({"me", "ada"}), "owners": frozenset()},
        "licensing": frozenset({"staff"}),
    }
    return Present(**values | more)  # type: ignore[arg-type]


def plan(mode: str, *pairs: tuple[str, str], only: str = "", **more: object) -> Plan:
    wishes = WishList(tuple(Wish(where, who, line) for line, (where, who) in enumerate(pairs, start=2)))
    return build(wishes, mode, only, present(**more))  # type: ignore[arg-type]


def one(mode: str, where: str, who: str, **more: object) -> Row:
    (row,) = plan(mode, (where, who), **more).rows
    return row


@pytest.mark.parametrize(
    ("mode", "where", "who", "reason", "sentence"),
    [
        ("add", "stranger", "cleo", "not_registered", "The group Strangers is not registered"),
        ("add", "No Such Group", "cleo", "not_registered", "No Such Group is not the name or id of a registered group"),
        ("add", "=cmd|' /C calc'!A0", "cleo", "not_registered", "would be a formula"),
        ("add", ELSEWHERE, "cleo", "other_site", "may belong to another site"),
        ("add", "Twins!", "cleo", "not_registered", "Twins! is not"),
        ("add", "tWiNs", "cleo", "ambiguous_group", "2 registered groups are called tWiNs"),
        ("add", "gone", "cleo", "stale_registration", "no longer on the site"),
        ("remove", "new-name", "ada", "renamed", "was called humans when it was registered and is now people"),
        ("remove", "synced", "ada", "external", "synced from outside"),
        ("add", "writers", "nobody", "unknown_account", "does not know the account nobody"),
        ("remove", "writers", "nobody", "unknown_account", "does not know the account nobody"),
        ("add", "writers", "hidden@example.com", "hidden_mail", "may be hidden"),
        ("add", "writers", "shared@example.com", "ambiguous_account", "2 accounts show the address"),
        ("add", "writers", "robot", "app_account", "belongs to an app"),
        ("remove", "staff", "robot", "app_account", "belongs to an app"),
        ("add", "writers", "gus", "inactive", "The account is inactive"),
        ("remove", "staff", "me", "oneself", "That is you"),
    ],
)
def test_what_is_refused_and_why(mode: str, where: str, who: str, reason: str, sentence: str) -> None:
    row = one(mode, where, who)
    assert (row.status, row.reason) == ("refused", reason)
    assert sentence in row.message


def test_what_is_planned_and_what_is_so_already() -> None:
    assert one("add", "writers", "cleo").status == "planned"
    assert one("add", "Writers", "ADA@example.com").reason == "member"
    assert one("remove", "writers", "ada").status == "planned"
    assert one("remove", "writers", "cleo").reason == "no_member"
    assert one("add", "twins", "cleo").group_id == "twin-2", "the exact spelling decides between near-equal names"
    assert one("remove", "writers", "gus").status == "already so", "who is not in it cannot be inactive in it"


def test_the_last_site_admin_stays_also_when_a_plan_removes_them_one_after_the_other() -> None:
    admins = {"chiefs": frozenset({"ada", "cleo"}), "owners": frozenset({"bob"})}
    crew = {g.group_id: g for g in (*GROUPS, group("chiefs", "ada", "cleo", "gus", access="site-admin"))}
    made = plan("remove", ("chiefs", "ada"), ("owners", "bob"), ("chiefs", "cleo"), admins=admins, groups=crew)
    assert [row.reason for row in made.rows] == ["", "", "last_site_admin"]


def test_sync_adds_removes_and_keeps() -> None:
    made = plan("sync", ("writers", "bob"), ("writers", "cleo"))
    assert [(row.account_id, row.action, row.status) for row in made.rows] == [
        ("bob", "add", "already so"),
        ("cleo", "add", "planned"),
        ("ada", "remove", "planned"),
    ]
    assert [row.account_id for row in plan("sync", ("writers", "cleo"), only="add-only").planned] == ["cleo"]
    removing = plan("sync", ("writers", "cleo"), only="remove-only")
    assert [(row.account_id, row.action) for row in removing.planned] == [("ada", "remove"), ("bob", "remove")]
    assert "remove-only leaves them out" in removing.notes[0]


@pytest.mark.parametrize("who", ["hidden@example.com", "mistyped", ""])
def test_sync_removes_nobody_on_a_list_with_a_line_that_may_mean_them(who: str) -> None:
    made = build(
        WishList(
            (Wish("writers", who, 2, problem="" if who else "Line 2 names no account."), Wish("writers", "bob", 3))
        ),
        "sync",
        "",
        present(),
    )
    assert not made.planned
    assert {row.reason for row in made.rows if row.action == "remove"} == {"list_unclear"}


def test_one_person_named_twice_counts_once() -> None:
    made = plan("remove", ("writers", "ada"), ("Writers", "ada@example.com"), ("writers", "ada"))
    assert len(made.rows) == 1
    assert made.notes == ("2 lines name a membership a second time; once counts.",)


def test_an_exported_plan_is_not_used_for_the_opposite() -> None:
    made = build(WishList((Wish("writers", "ada", 2, action="remove"),)), "add", "", present())
    assert made.rows[0].reason == "contradiction"


def test_columns_and_fingerprint() -> None:
    made = plan("add", ("writers", "cleo"), ("writers", "ada"))
    assert tuple(made.frame.columns) == COLUMNS
    assert {str(kind) for kind in made.frame.dtypes} == {"str"}
    again = plan("add", ("writers", "cleo"), ("writers", "ada"))
    assert made.fingerprint == again.fingerprint
    assert made.fingerprint != plan("add", ("writers", "ada"), ("writers", "cleo")).fingerprint
    moved = replace(present(), groups={**present().groups, "writers": group("writers", "ada", "bob", "gus")})
    other = build(WishList((Wish("writers", "cleo"), Wish("writers", "ada"))), "add", "", moved)
    assert made.fingerprint != other.fingerprint, "another ground is another plan"


def test_differences_name_who_and_what() -> None:
    ground = plan("add", ("writers", "cleo")).ground
    now = present(groups={"writers": group("writers", "ada", "cleo", name="authors", managed_by="EXTERNAL")})
    found = {difference.change: difference.message for difference in differences(ground, now)}
    assert set(found) == {"renamed", "managed", "joined", "left"}
    assert found["left"] == "Bob (bob) has left writers since the preview."
    assert {d.change for d in differences(ground, present(groups={}))} == {"gone"}


def test_modes_that_do_not_exist() -> None:
    with pytest.raises(InputError, match="no mode"):
        plan("replace", ("writers", "ada"))
    with pytest.raises(InputError, match="sync alone"):
        plan("add", ("writers", "ada"), only="add-only")


def preview(made: Plan, left: int | None = None) -> Preview:
    cost = Cost(1000, 10.0, left)
    counted = seats(made.planned, present(), {})
    return Preview(made, counted, cost, dangers(made, present(), counted, cost, unfinished=1))


def test_dangers_are_said() -> None:
    made = plan("remove", ("writers", "ada"), ("writers", "bob"), ("staff", "ada"), ("staff", "bob"))
    text = preview(made, left=10).words
    for sentence in (
        "writers will be empty.",
        "staff gives access to Confluence: 2 people may lose it",
        "It costs 1,000 points and 10 are left this hour",
        "1 earlier apply is not finished: resume or drop first.",
    ):
        assert f"Danger: {sentence}" in text
    adding = preview(plan("add", ("chiefs", "cleo"), ("staff", "guest"), ("writers", "robot"))).words
    assert "1 person will become site admin by chiefs." in adding
    assert "1 person to be added to staff is a guest." in adding
    assert "1 row is refused" in adding
    assert "<script" not in replace(preview(made), dangers=("<script>",))._repr_html_(), (
        "names and sentences are escaped in HTML"
    )


def test_seats_count_only_what_is_known() -> None:
    made = plan("add", ("staff", "cleo"), ("staff", "guest"), ("writers", "cleo"))
    known = {"cleo": frozenset[str](), "guest": frozenset({"another-licensing-group"})}
    assert seats(made.planned, present(), known) == Seats(taken=1)
    assert seats(made.planned, present(), {}) == Seats(unclear=2)
    leaving = plan("remove", ("staff", "ada"), ("staff", "bob"))
    known = {"ada": frozenset({"staff"}), "bob": frozenset({"staff", "other"})}
    assert seats(leaving.planned, present(), known) == Seats(freed=1)


def test_confirmation_is_asked_above_the_threshold() -> None:
    few = preview(plan("add", ("writers", "cleo")))
    assert few.confirmation == ""
    many = replace(few, plan=replace(few.plan, rows=few.plan.rows * 21))
    assert many.confirmation == "change 21 memberships"


@pytest.mark.parametrize(
    ("mode", "pair", "sentence"),
    [
        ("add", ("chiefs", "cleo"), "1 person will become site admin by chiefs."),
        ("remove", ("chiefs", "ada"), "1 person will no longer be site admin by chiefs."),
        ("add", ("rulers", "cleo"), "1 person will administer Confluence by rulers."),
        ("remove", ("staff", "ada"), "staff gives access to Confluence: 1 person may lose it"),
        ("remove", ("owners", "bob"), "owners will be empty."),
        ("add", ("writers", "me"), "One of the people is you"),
    ],
)
def test_whatever_is_grave_wants_its_words_at_any_number_of_rows(
    mode: str, pair: tuple[str, str], sentence: str
) -> None:
    more = {one.group_id: one for one in (*GROUPS, group("rulers", "ada", access="user, admin"))}
    made = plan(mode, pair, groups=more, admins={"owners": frozenset({"bob"}), "chiefs": frozenset({"me", "ada"})})
    now = present(groups=more)
    shown = Preview(made, Seats(), Cost(1, 1.0), dangers(made, now, Seats(), Cost(1, 1.0), 0), grave(made, now))
    assert any(one.startswith(sentence) for one in shown.grave)
    assert set(shown.grave) <= set(shown.dangers)
    assert shown.confirmation == "change 1 membership"
    check_words(shown, " Change 1  MEMBERSHIP")
    with pytest.raises(InputError, match="confirmed in words"):
        check_words(shown, "")


def test_counts_by_group() -> None:
    made = preview(plan("sync", ("writers", "cleo"), ("writers", "bob"), ("synced", "bob")))
    counted = made.groups.set_index("group_id")
    assert counted.loc["writers"].to_dict() == {
        "group": "writers",
        "members_now": 2,
        "add": 1,
        "remove": 1,
        "members_after": 2,
        "already_so": 1,
        "refused": 0,
    }
    assert counted.loc["synced", "refused"] == 1


def test_a_group_that_was_not_read_has_no_known_number() -> None:
    counted = preview(plan("add", ("nowhere", "cleo"), ("writers", "cleo"))).groups.set_index("group_id")
    assert counted["members_now"].isna().to_dict() == {"nowhere": True, "writers": False}
    assert counted["members_after"].isna().to_dict() == {"nowhere": True, "writers": False}
    said = preview_markup(preview(plan("add", ("nowhere", "cleo"))))
    assert ">unknown</td>" in said and ">0</td><td class=sk-number>0</td><td class=sk-number>0</td>" not in said


# -- plan files --------------------------------------------------------------------------------------------------------


def test_a_plan_file_comes_back_as_it_was(tmp_path: Path) -> None:
    made = preview(plan("sync", ("writers", "cleo"), ("staff", "=evil"), ("synced", "ada")))
    path = planfile.save(made, tmp_path / "plan.json", lambda data: "ours")
    assert path.stat().st_mode & 0o077 == 0
    back = planfile.load(path, lambda data, signature: signature == "ours")
    assert back == made
    assert back.plan.rows == made.plan.rows
    assert back.fingerprint == made.fingerprint


def _edit(change: Callable[[dict[str, object]], object]) -> Callable[[str], str]:
    def edited(text: str) -> str:
        content = json.loads(text)
        change(content)
        return json.dumps(content)

    return edited


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda text: text.replace('"cleo"', '"ada"', 1), "was changed after it was written"),
        (_edit(lambda c: c["rows"][0].__setitem__(6, "already so")), "was changed after it was written"),  # type: ignore[index]
        (_edit(lambda c: c["place"].__setitem__("cloud_id", "cloud-2")), "was changed after it was written"),  # type: ignore[attr-defined]
        (_edit(lambda c: c.pop("seal")), "was changed after it was written"),
        (_edit(lambda c: c.__setitem__("version", 99)), "another version"),
        (lambda text: text[: len(text) // 2], "not JSON, or it was cut short"),
        (lambda _: "[1, 2]", "is not a plan file"),
        (lambda _: "", "not JSON"),
        (lambda _: "[" * 100_000, "is not a plan file"),
    ],
    ids=["text", "row", "site", "seal", "version", "cut", "list", "empty", "deep"],
)
def test_an_edited_plan_file_is_refused(tmp_path: Path, change: Callable[[str], str], sentence: str) -> None:
    path = planfile.save(preview(plan("add", ("writers", "cleo"))), tmp_path / "plan.json")
    path.write_text(change(path.read_text()))
    with pytest.raises(PlanError) as caught:
        planfile.load(path)
    assert sentence in str(caught.value)
    assert "plan.json" in str(caught.value)


def test_a_resealed_forgery_is_still_no_plan_when_its_fingerprint_is_wrong(tmp_path: Path) -> None:
    content = json.loads(planfile.dumps(preview(plan("add", ("writers", "cleo")))))
    content["rows"][0][2] = "ada"
    with pytest.raises(PlanError, match="was changed"):
        planfile.loads(_sealed(content))
    with pytest.raises(NotFound):
        planfile.load(tmp_path / "nowhere.json")


def _sealed(content: dict[str, Any]) -> str:
    content.pop("seal", None)
    content["seal"] = planfile._seal(content)
    return json.dumps(content)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("rows", 0, 4), "ADD"),
        (("rows", 0, 6), "done"),
        (("rows", 0), ["writers"]),
        (("rows", 0, 2), "a\ud800"),
        (("rows", 0, 3), "a\ud800"),
        (("rows", 0, 3), "a\x00"),
        (("rows", 0, 2), " "),
        (("rows",), {"a": 1}),
        (("notes",), "note"),
        (("made_at",), "0001-01-01T00:00:00+14:00"),
        (("made_at",), "9999-12-31T23:59:59-14:00"),
        (("preview", "cost", "points"), float("nan")),
        (("preview", "cost", "points"), 10**4000),
        (("preview", "cost", "points"), None),
        (("preview", "seats", "taken"), None),
        (("ground", 0, "registered"), "no"),
        (("ground", 0, "access"), None),
        (("preview", "grave"), "ab"),
        (("mode",), "replace" * 20),
        (("only",), ["add-only"]),
        (("made_at",), "2026-01-01T00:00:00"),
        (("made_at",), 5),
        (("place", "site"), None),
        (("place",), []),
        (("by",), {"x": 1}),
        (("notes",), [1]),
        (("ground", 0, "members"), [None]),
        (("ground",), {}),
        (("preview", "dangers"), [["x"]]),
        (("preview", "cost", "points"), "many"),
        (("preview", "seats", "taken"), [1]),
        (("preview",), None),
        (("fingerprint",), None),
    ],
)
def test_a_file_with_a_good_seal_and_senseless_content_is_refused_in_a_sentence(
    path: tuple[str | int, ...], value: object
) -> None:
    content = json.loads(planfile.dumps(preview(plan("add", ("writers", "cleo")))))
    inside: Any = content
    for step in path[:-1]:
        inside = inside[step]
    inside[path[-1]] = value
    with pytest.raises(PlanError, match="was changed after it was written"):
        planfile.loads(_sealed(content))


@pytest.mark.parametrize("forged", [{"action": "ADD"}, {"action": ""}, {"status": "done"}, {"status": "Planned"}])
def test_a_forged_row_is_refused_though_seal_and_fingerprint_are_right(forged: dict[str, str]) -> None:
    """What is neither add nor remove must not be taken for one of them."""
    made = plan("add", ("writers", "cleo"))
    text = planfile.dumps(preview(replace(made, rows=(replace(made.rows[0], **forged),))))
    with pytest.raises(PlanError, match="was changed"):
        planfile.loads(text)


def test_age_is_counted_from_the_reading() -> None:
    made = replace(plan("add", ("writers", "cleo")), made_at=datetime.now(UTC) - timedelta(hours=3))
    assert preview(made).age_words == "The groups were read 3.0 hours ago."


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4) | st.sampled_from(["\ud800", "\x00"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)


def _places(value: Any, path: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    found = [path] if path else []
    steps = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for step, inner in steps:
        found += _places(inner, (*path, step))
    return found


FILE = json.loads(planfile.dumps(preview(plan("sync", ("writers", "cleo"), ("staff", "guest"), ("synced", "ada")))))
PLACES = [path for path in _places(FILE) if path != ("seal",)]


@given(st.lists(st.tuples(st.sampled_from(PLACES), json_values), min_size=1, max_size=3))
@settings(max_examples=400, derandomize=True)
def test_whatever_stands_in_a_sealed_file_ends_in_a_preview_or_an_error_of_ours(
    changes: list[tuple[tuple[str | int, ...], Any]],
) -> None:
    content = copy.deepcopy(FILE)
    for path, value in changes:
        inside: Any = content
        with suppress(LookupError, TypeError):
            for step in path[:-1]:
                inside = inside[step]
            # The keys of a JSON object are texts.
            inside[str(path[-1]) if isinstance(inside, dict) else path[-1]] = value
    with suppress(ValueError, TypeError, AttributeError, LookupError):
        # As somebody would who knows how the fingerprint is made: what lies behind it must stand alone.
        content["fingerprint"] = planfile._preview(content).fingerprint
    try:
        back = planfile.loads(_sealed(content))
    except SpokekitError:
        return
    assert back.foreign
    # Everything that is done with a preview before it is applied.
    _ = back.words, back._repr_html_(), back.frame, back.groups, back.confirmation, back.plan.age, repr(back)
    assert unlike(back, present()) is not None
    planfile.dumps(back)
