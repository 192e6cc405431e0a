"""The registered groups: kept by id and alias, never by name, and the guard that refuses everything else."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd
import pytest

from spokekit.connections.connection import Connection, ConnectionDraft, Connections
from spokekit.connections.store import Store
from spokekit.errors import GuardRefused, InputError, NotConfigured, NotFound
from spokekit.groups.registry import COLUMNS, Registry

if TYPE_CHECKING:
    from spokekit._workspace import Workspace
    from spokekit.practice import PracticeSite

ONE, TWO = "1324a887-45db-1bf4-1e99-ef0ff456d421", "2324a887-45db-1bf4-1e99-ef0ff456d422"
A, B, C = ("a0000000-0000-4000-8000-00000000000" + n for n in "123")


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(f"sqlite:///{tmp_path}/store.sqlite")


def connected(store: Store, name: str = "One", cloud_id: str | None = ONE) -> Connection:
    connections = Connections(store)
    saved = connections.add(ConnectionDraft(name=name, client_id="Abc"))
    if cloud_id:
        saved = connections.set_site(saved.connection_id, cloud_id, name, f"https://{name}.atlassian.net")
    return connections.set_account(saved.connection_id, "712020:x", "Ada Admin")


@pytest.fixture
def registry(store: Store) -> Registry:
    return Registry(store, connected(store))


def listed(**names: str) -> pd.DataFrame:
    ids = {"a": A, "b": B, "c": C}
    return pd.DataFrame(
        {
            "group_id": [ids[key] for key in names],
            "name": list(names.values()),
            "access": ["user"] * len(names),
            "managed_by": pd.Categorical(["ADMINS"] * len(names)),
            "usage_type": pd.Categorical(["USERBASE_GROUP"] * len(names)),
        }
    )


def test_registering_keeps_what_was_known_and_by_whom(registry: Registry) -> None:
    assert registry.add([B, A, B], groups=listed(a="Zebra", b="<b>apple</b>")) == (B, A)
    frame = registry.frame()
    assert tuple(frame.columns) == COLUMNS
    assert frame["group_id"].tolist() == [B, A]
    assert frame["name"].tolist() == ["<b>apple</b>", "Zebra"]
    assert frame["registered_by"].tolist() == ["Ada Admin"] * 2
    assert (datetime.now(UTC) - frame["registered_at"].iloc[0]) < timedelta(minutes=1)
    assert not frame["renamed"].any()
    assert not frame["missing"].any()
    assert registry.ids() == {A, B}
    assert A in registry
    assert C not in registry
    assert len(registry) == 2


def test_the_columns_have_their_types_with_rows_and_without(store: Store, registry: Registry) -> None:
    empty = registry.frame()
    registry.add(A, groups=listed(a="One"))
    for frame in (empty, registry.frame()):
        types = {name: str(dtype) for name, dtype in frame.dtypes.items()}
        assert types["registered_at"] == "datetime64[us, UTC]"
        assert types["managed_by"] == types["usage_type"] == "category"
        assert types["renamed"] == types["missing"] == "bool"
        assert types["group_id"] == types["name"] == str(pd.Series([], dtype="str").dtype)


def test_registering_again_changes_nothing(registry: Registry) -> None:
    registry.add(A, groups=listed(a="First"), by="Grace")
    before = registry.frame()
    assert registry.add([A], groups=listed(a="Second"), by="Mallory") == ()
    pd.testing.assert_frame_equal(registry.frame(), before)


def test_a_name_is_not_an_id(registry: Registry) -> None:
    with pytest.raises(NotFound) as caught:
        registry.add([A, "marketing"], groups=listed(a="sales", b="marketing"))
    assert f"“marketing” is the name of the group {B}" in str(caught.value)
    assert registry.ids() == frozenset()
    for wrong in ([None], [""], 7, b"x", [A, 3], ["a" * 201], ["\x00"], ["\ud800"]):
        with pytest.raises(InputError):
            registry.add(wrong)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="lacks the column name"):
        registry.add(A, groups=pd.DataFrame({"group_id": [A]}))


def test_ids_alone_can_be_registered_and_get_their_names_later(registry: Registry) -> None:
    registry.add([A])
    assert registry.frame()["name"].tolist() == [""]
    registry.refresh(listed(a="Sales"))
    row = registry.frame().iloc[0]
    assert (row["name"], row["current_name"], row["renamed"]) == ("Sales", "Sales", False)


def test_a_changed_name_is_shown_and_the_id_goes_on_counting(registry: Registry) -> None:
    registry.add([A, B], groups=listed(a="Sales", b="Ops"))
    # The name is given away: another group now has the old one.
    registry.refresh(listed(a="Sales (old)", b="Ops", c="Sales"))
    row = registry.frame().set_index("group_id").loc[A]
    assert (row["name"], row["current_name"], row["renamed"]) == ("Sales", "Sales (old)", True)
    registry.check(A)
    with pytest.raises(GuardRefused):
        registry.check(C)


def test_a_group_that_is_gone_is_marked_and_comes_back(registry: Registry) -> None:
    registry.add([A, B], groups=listed(a="Sales", b="Ops"))
    partly = listed(b="Ops")
    partly.attrs["completeness"] = {"complete": False}
    registry.refresh(partly)
    registry.refresh(listed(b="Ops"), all_groups=False)
    assert not registry.frame()["missing"].any()
    registry.refresh(listed(b="Ops"))
    assert registry.frame().set_index("group_id")["missing"].to_dict() == {A: True, B: False}
    registry.refresh(listed(a="Sales", b="Ops"))
    assert not registry.frame()["missing"].any()


def test_names_that_no_database_keeps(registry: Registry) -> None:
    registry.add(A, groups=listed(a="a zero\x00 byte"), by="\x00")
    registry.refresh(listed(a="a zero\x00 byte"))
    row = registry.frame().iloc[0]
    assert (row["name"], row["renamed"], row["registered_by"]) == ("a zero\ufffd byte", False, "\ufffd")


def test_removing_is_all_or_nothing(registry: Registry) -> None:
    registry.add([A, B], groups=listed(a="Sales", b="Ops"))
    with pytest.raises(NotFound, match=f"{C} is not registered; nothing was removed"):
        registry.remove([A, C])
    assert registry.ids() == {A, B}
    assert registry.remove(A) == (A,)
    assert registry.ids() == {B}


def test_the_guard_denies_by_default(store: Store, registry: Registry) -> None:
    for group_id in (A, "", "%", "' OR 1=1 --", A.upper()):
        with pytest.raises(GuardRefused, match="nothing was sent") as caught:
            registry.check(group_id)
        assert caught.value.next_step == "register_group"
    registry.add(A, groups=listed(a="Sales"))
    registry.check(A)
    registry.remove(A)
    with pytest.raises(GuardRefused):
        registry.check(A)


def test_groups_belong_to_their_alias_and_their_site(store: Store, registry: Registry) -> None:
    registry.add(A, groups=listed(a="Sales"))
    other = Registry(store, connected(store, "Two", TWO))
    assert other.ids() == frozenset()
    with pytest.raises(GuardRefused):
        other.check(A)
    # The same alias led to another site since: what was registered for the first does not count there.
    connections = Connections(store)
    moved = connections.set_site(connections.get("One").connection_id, TWO, "Two", "https://two.atlassian.net")
    there = Registry(store, moved)
    assert there.frame().empty
    with pytest.raises(GuardRefused, match="registered for another site"):
        there.check(A)
    assert there.add(A, groups=listed(a="Sales")) == (A,)
    there.check(A)


def test_without_a_site_nothing_is_registered_or_allowed(store: Store) -> None:
    registry = Registry(store, connected(store, cloud_id=None))
    with pytest.raises(NotConfigured, match="has no site yet"):
        registry.add(A)
    with pytest.raises(GuardRefused):
        registry.check(A)


def test_a_child_alias_takes_its_groups_with_it(store: Store, registry: Registry) -> None:
    child = connected(store, "Child", ONE)
    Registry(store, child).add(A, groups=listed(a="Sales"))
    registry.add(B, groups=listed(b="Ops"))
    Connections(store).remove(child.connection_id)
    with pytest.raises(NotFound, match="was removed meanwhile"):
        Registry(store, child).add(A)
    assert registry.ids() == {B}
    # The default alias stays, and so do its groups.
    Connections(store).remove("One")
    assert Registry(store, connected(store, "Again", ONE)).ids() == {B}


def test_two_kernels_register_at_the_same_time(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/both.sqlite"
    connection = connected(Store(url))
    ids = [f"g{number}" for number in range(40)]
    new: list[tuple[str, ...]] = []

    def work(mine: list[str]) -> None:
        new.append(Registry(Store(url), connection).add(mine))

    threads = [threading.Thread(target=work, args=(ids[start : start + 30],)) for start in (0, 5, 10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert sorted(name for names in new for name in names) == sorted(ids)


def test_with_a_practice_site(connected: Workspace, site: PracticeSite) -> None:
    registry = connected.registry()
    with connected.spoke() as spoke:
        groups = spoke.look_up_groups()
        chosen = groups.loc[groups["name"].str.contains("=|<", regex=True), "group_id"].tolist()
        assert len(chosen) == 2
        registry.add(chosen, groups=groups)
        before = registry.frame()
        site.world.rename_group(chosen[0], "Renamed upstream")
        registry.refresh(spoke.look_up_groups())
    after = registry.frame().set_index("group_id")
    assert after.loc[chosen[0], "current_name"] == "Renamed upstream"
    assert after["renamed"].to_dict() == {chosen[0]: True, chosen[1]: False}
    assert set(before["name"]) == set(after["name"])


def test_the_gateway_asks_this_guard(connected: Workspace, site: PracticeSite) -> None:
    with connected.spoke() as spoke:
        groups = spoke.look_up_groups(with_access=False)
        group_id = groups.loc[groups["managed_by"] == "ADMINS", "group_id"].iloc[0]
        with pytest.raises(GuardRefused):
            spoke.remove_member_from_group_by_group_id(group_id, "712020:nobody")
    assert not [request for request in site.requests if request.method != "GET"]
