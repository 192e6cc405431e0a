"""The first actions, against a Confluence in memory."""

from __future__ import annotations

import inspect
import pydoc

import pytest

from spokekit.confluence import AsyncSpoke, Spoke
from spokekit.errors import GuardRefused, NotThere

from .fake import Fake


@pytest.fixture
def fake() -> Fake:
    return Fake(groups={"g1": ["a", "b"], "g2": [], "g3": [f"u{i}" for i in range(450)]})


def test_groups_have_their_columns_and_say_which_access_they_give(fake: Fake) -> None:
    with fake.spoke() as spoke:
        frame = spoke.look_up_groups()
    assert {name: str(kind) for name, kind in frame.dtypes.items()} == {
        "group_id": "str",
        "name": "str",
        "access": "str",
        "managed_by": "category",
        "usage_type": "category",
    }
    assert frame["group_id"].tolist() == ["g1", "g2", "g3"]
    assert frame["access"].tolist() == ["user, admin, site-admin", "", ""]
    assert frame.attrs["completeness"]["complete"] is True
    assert frame.attrs["site"] == "https://acme.atlassian.net"


@pytest.mark.parametrize("cap", [1, 7, 200])
def test_members_of_many_groups_are_complete_whatever_the_page_cap(fake: Fake, cap: int) -> None:
    fake.cap = cap
    with fake.spoke() as spoke:
        frame = spoke.look_up_members_by_group_id(list(fake.groups))
    pairs = set(zip(frame["group_id"], frame["account_id"], strict=True))
    assert pairs == {(group, one) for group, ids in fake.groups.items() for one in ids}
    assert len(frame) == len(pairs)
    assert frame["group_id"].cat.categories.tolist() == ["g1", "g2", "g3"]
    assert {name: str(kind) for name, kind in frame.dtypes.items()} == {
        **dict.fromkeys(["group_id", "account_id", "display_name", "public_name", "email", "account_type"], "category"),
        "is_guest": "bool",
        "licensed": "bool",
    }


def test_an_empty_group_and_an_unknown_one_differ(fake: Fake) -> None:
    with fake.spoke() as spoke:
        assert len(spoke.look_up_members_by_group_id("g2")) == 0
        with pytest.raises(NotThere, match="There is no group with the id nope"):
            spoke.look_up_members_by_group_id("nope")


def test_without_a_guard_no_group_is_changed(fake: Fake) -> None:
    with fake.spoke() as spoke:
        for change in (spoke.add_member_to_group_by_group_id, spoke.remove_member_from_group_by_group_id):
            with pytest.raises(GuardRefused):
                change("g1", "somebody")
    assert fake.requests == []


def test_a_guard_decides_group_by_group(fake: Fake) -> None:
    class OnlyG1:
        def check(self, group_id: str) -> None:
            if group_id != "g1":
                raise GuardRefused(f"{group_id} is not registered.")

    with fake.spoke(guard=OnlyG1()) as spoke:
        assert spoke.add_member_to_group_by_group_id("g1", "new")["status"] == 201
        assert spoke.remove_member_from_group_by_group_id("g1", "new")["status"] == 204
        with pytest.raises(GuardRefused):
            spoke.add_member_to_group_by_group_id("g2", "new")
    assert [(request.method, str(request.url.params)) for request in fake.requests] == [
        ("POST", "groupId=g1"),
        ("DELETE", "groupId=g1&accountId=new"),
    ]


def test_every_action_is_there_as_a_plain_call_with_its_signature_and_documentation() -> None:
    actions = [name for name in vars(AsyncSpoke) if not name.startswith("_")]
    assert len(actions) == 12
    for name in actions:
        here, there = inspect.signature(getattr(Spoke, name)), inspect.signature(getattr(AsyncSpoke, name))
        assert here.parameters == there.parameters, name
        assert inspect.getdoc(getattr(Spoke, name)) == inspect.getdoc(getattr(AsyncSpoke, name)) != None, name  # noqa: E711
        shown = pydoc.plain(pydoc.render_doc(getattr(Spoke, name)))
        assert "progress" in shown or len(here.parameters) == 1, name
        assert "Async" not in str(here), name
        assert not inspect.iscoroutinefunction(getattr(Spoke, name)), name
