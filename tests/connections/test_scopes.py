"""Scopes know themselves: what they permit, who needs them, what is missing for which step."""

from __future__ import annotations

import json
import re
import time

import pytest

from spokekit.check.probes import PROBES
from spokekit.connections import scopes
from spokekit.connections.scopes import (
    ACTIONS,
    DEFAULT_SCOPES,
    KNOWN,
    STEPS,
    advice,
    missing_by_step,
    missing_for,
    needed_for,
    parse_scopes,
    without_unpublished,
)
from spokekit.errors import InputError
from tests.contract.judge import DOCUMENTS, FOLDER

TICKED = ("search:confluence", "read:confluence-groups", "write:confluence-groups", "read:confluence-user")


def test_the_defaults_are_the_documented_nine_in_their_order() -> None:
    assert " ".join(DEFAULT_SCOPES) == (
        "ace:confluence read:page:confluence search:confluence read:confluence-groups write:confluence-groups "
        "read:confluence-user read:me read:account offline_access"
    )
    assert parse_scopes(", ".join(DEFAULT_SCOPES)) == DEFAULT_SCOPES == parse_scopes(DEFAULT_SCOPES)


def test_commas_spaces_and_lines_are_taken_order_is_kept_and_doubles_are_dropped() -> None:
    text = "read:me, offline_access\nread:me\t;search:confluence\r\n ,"
    assert parse_scopes(text) == ("read:me", "offline_access", "search:confluence")


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("Read:Me", "has capital letters. Write read:me."),
        ("https://api.atlassian.com", "is an address"),
        ("read::me", "cannot be a scope"),
        (",;", "is empty"),
        ([1], "a number was given"),
        (b"read:me", "bytes was given"),
        ("read:\u043ce", "cannot be a scope"),
    ],
)
def test_what_is_no_scope_is_explained(value: object, words: str) -> None:
    with pytest.raises(InputError) as caught:
        parse_scopes(value)  # type: ignore[arg-type]
    assert words in str(caught.value)


def test_a_hostile_text_is_refused_quickly() -> None:
    began = time.process_time()
    with pytest.raises(InputError):
        parse_scopes("a" * 1900 + ":" + "-" * 1900 + "!")
    assert time.process_time() - began < 10


def test_every_scope_says_what_it_permits_and_which_kind_it_is() -> None:
    for name, known in KNOWN.items():
        assert known.id == name
        assert known.permits
        assert known.kind in ("classic", "granular", "identity", "other")
        assert known.published == (name != "ace:confluence")
    assert scopes.scope("read:confluence-groups").kind == "classic"
    assert scopes.scope("read:group:confluence").kind == "granular"
    assert scopes.scope("offline_access").kind == "identity"
    assert scopes.scope("read:jira-work") == scopes.Scope("read:jira-work", "other", "not known to spokekit", False)


def test_a_scope_names_the_actions_that_can_use_it() -> None:
    assert scopes.scope("write:confluence-groups").actions == (
        "add_member_to_group_by_group_id",
        "remove_member_from_group_by_group_id",
    )
    assert scopes.scope("ace:confluence").actions == ()
    for action, ways in ACTIONS.items():
        assert all(name in KNOWN for way in ways for name in way), action


def test_a_classic_scope_alone_is_enough_and_granular_ones_are_needed_together() -> None:
    members = "look_up_members_by_group_id"
    assert missing_for(members, ["read:confluence-groups"]) == ()
    assert missing_for(members, ["read:group:confluence"]) == ("read:confluence-groups",)
    assert missing_for(members, ["read:group:confluence", "read:user:confluence"]) == ()
    assert missing_for("look_up_spaces", ["read:confluence-groups"]) == ("read:space:confluence",)
    assert missing_for("look_up_accessible_resources", []) == ()
    assert needed_for("look_up_groups") == (frozenset({"read:confluence-groups"}), frozenset({"read:group:confluence"}))
    with pytest.raises(InputError, match="no action “fly”"):
        needed_for("fly")


def test_the_defaults_are_enough_for_the_main_job() -> None:
    lacks = {step for step, missing in missing_by_step(DEFAULT_SCOPES).items() if missing}
    assert lacks == {"Audit spaces"}
    assert set(missing_by_step(())) == set(STEPS)
    assert missing_by_step(TICKED)["Sign in"] == ("read:me",)
    assert missing_by_step(TICKED)["Stay connected"] == ("offline_access",)


def test_the_unpublished_scope_is_flagged_and_goes_with_one_call() -> None:
    assert without_unpublished(DEFAULT_SCOPES) == DEFAULT_SCOPES[1:]
    notes = advice(DEFAULT_SCOPES)
    assert len(notes) == 1
    assert notes[0].startswith("ace:confluence is in ServiceNow's default list")
    assert advice(without_unpublished(DEFAULT_SCOPES)) == ()


def test_advice_is_given_without_forbidding_anything() -> None:
    notes = " ".join(advice(parse_scopes("read:confluence-group read:me")))
    assert "Did you mean read:confluence-groups?" in notes
    assert "consent again every hour" in notes
    assert "“Pick groups” needs read:confluence-groups besides." in notes
    assert "enabled on the app; no consent gives it" in " ".join(advice(["report:personal-data"]))
    assert "stay under 50" in advice([f"read:x{n}" for n in range(60)])[-1]


PATHS = {
    "look_up_groups": ("v1", "get", "/wiki/rest/api/group"),
    "look_up_members_by_group_id": ("v1", "get", "/wiki/rest/api/group/{groupId}/membersByGroupId"),
    "add_member_to_group_by_group_id": ("v1", "post", "/wiki/rest/api/group/userByGroupId"),
    "remove_member_from_group_by_group_id": ("v1", "delete", "/wiki/rest/api/group/userByGroupId"),
    "look_up_group_memberships_for_user": ("v1", "get", "/wiki/rest/api/user/memberof"),
    "look_up_current_user": ("v1", "get", "/wiki/rest/api/user/current"),
    "search_content": ("v1", "get", "/wiki/rest/api/search"),
    "look_up_spaces": ("v2", "get", "/spaces"),
    "look_up_pages": ("v2", "get", "/pages"),
}


# Without the documents the whole run says in one place (tests/contract) that nothing is held against them.
if FOLDER.is_dir():

    @pytest.mark.parametrize("action", PATHS)
    def test_what_actions_need_is_what_the_published_documents_say(action: str) -> None:
        version, method, path = PATHS[action]
        document = json.loads((FOLDER / DOCUMENTS[version]).read_text())
        listed = document["paths"][path][method]["x-atlassian-oauth2-scopes"]
        assert set(needed_for(action)) == {frozenset(entry["scopes"]) for entry in listed}

    def test_the_probes_of_the_check_ask_what_the_published_documents_say() -> None:
        documents = {version: json.loads((FOLDER / name).read_text()) for version, name in DOCUMENTS.items()}
        for probe in PROBES:
            version = "v2" if probe.path.startswith("/wiki/api/v2") else "v1"
            own = probe.path.removeprefix("/wiki/api/v2") if version == "v2" else probe.path
            (method,) = probe.name.lower().split()[:1]
            fitting = [
                operations[method]
                for path, operations in documents[version]["paths"].items()
                if method in operations and re.fullmatch(re.sub(r"\{[^}]+\}", "[^/]+", path), own)
            ]
            enough = {tuple(entry["scopes"]) for one in fitting for entry in one["x-atlassian-oauth2-scopes"]}
            single = {names[0] for names in enough if len(names) == 1}
            assert set(probe.scopes) == single, probe.name
