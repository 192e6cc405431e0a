"""Every action against every fault of the practice site's menu: all rows, or a clear word about which are missing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from spokekit.confluence.spoke import Spoke
from spokekit.errors import IncompleteResult, LicenceFull, ServiceError, SpokekitError, TokenRejected, TransportError
from spokekit.practice import FAULTS, PracticeSite

from .helpers import Anything, rows, spoke_on

if TYPE_CHECKING:
    import pandas as pd

# Quick forms of faults whose own numbers would make a test slow, and rare forms of those that would stop everything.
FORMS = {"stall": "stall:0.05", "slow-drip": "slow-drip:0.05", "huge": "huge:2", "401-after": "401-after:10"}
CALLS = sorted(name for name in FAULTS if not name.startswith("token-"))
READS = sorted(set(CALLS) - {"licence-full", "write-lost", "write-500"})
# These are met at every call, so nothing can come through them.
HOPELESS = {"401-always"}
# What must not look complete; faults that strike at every fifth call miss the short actions.
_MEMBERS = {"look_up_members_by_group_id"}
LOUD = {
    **dict.fromkeys(("missing-ids", "missing-results", "wrong-ids", "wrong-types"), _MEMBERS),
    **dict.fromkeys(("html-200", "truncated-json", "deep-json", "huge", "redirect", "not-utf8"), _MEMBERS),
    "vanishing": _MEMBERS | {"look_up_groups"},
    "empty-page": _MEMBERS | {"look_up_groups"},
    "foreign-next": _MEMBERS | {"look_up_groups", "look_up_spaces", "look_up_pages"},
}
# What a fault must not cost, since it can be waited out, repeated or read around.
HARMLESS = {
    "429",
    "429-no-retry-after",
    "503",
    "503-no-retry-after",
    "reset",
    "cut",
    "hang-up",
    "slow-drip",
    "stall",
    "short-pages",
    "duplicates",
    "401-after",
    "html-502",
    "null-fields",
    "too-heavy",
    "too-heavy-500",
    "byte-order-mark",
}


@pytest.fixture(scope="module")
def site() -> Iterator[PracticeSite]:
    with PracticeSite(size="class", seed=3, strict=True, report_scope="app") as running:
        yield running


@pytest.fixture(autouse=True)
def _no_faults_left(site: PracticeSite) -> Iterator[None]:
    site.faults.clear()
    yield
    site.faults.clear()
    assert site.defects == []


class Truth:
    def __init__(self, site: PracticeSite) -> None:
        self.frames = site.world.frames()
        self.groups = self.frames["groups"]
        self.by_group = {
            group: {(group, one) for one in part["account_id"].astype(str)}
            for group, part in self.frames["memberships"].groupby("group_id", observed=False)
        }
        self.accounts = self.frames["users"]["account_id"].tolist()
        self.person = self.frames["memberships"]["account_id"].astype(str).value_counts().index[0]
        grants = self.frames["grants"]
        self.by_space = {
            space: rows(part, "space_id", "principal_type", "principal_id", "operation", "target")
            for space, part in grants.groupby("space_id")
        }


@pytest.fixture(scope="module")
def truth(site: PracticeSite) -> Truth:
    return Truth(site)


def _members(spoke: Spoke, truth: Truth) -> None:
    frame = spoke.look_up_members_by_group_id(truth.groups["group_id"], partial="keep")
    _matches(frame, rows(frame, "group_id", "account_id"), truth.by_group)


def _permissions(spoke: Spoke, truth: Truth) -> None:
    frame = spoke.look_up_space_permissions(list(truth.by_space), partial="keep")
    _matches(frame, rows(frame, *GRANT), truth.by_space)


def _matches(frame: pd.DataFrame, got: set[Any], wanted: dict[str, set[Any]]) -> None:
    """All that was read to its end is complete; what is not, is named."""
    report = frame.attrs["completeness"]
    missing = {key for key, part in wanted.items() if not part <= got}
    assert missing <= set(report["failed"]) | set(report["partial"])
    assert got <= set().union(*wanted.values())
    for key in report["failed"]:
        assert not wanted[key] & got
        assert report["reasons"][key]
    for key in report["partial"]:
        assert wanted[key] & got
    assert report["complete"] is (not report["failed"] and not report["partial"])
    assert report["walked"] + len(report["failed"]) + len(report["partial"]) == report["listed"] == len(wanted)
    assert report["rows"] == len(frame)
    if not report["complete"]:
        raise IncompleteResult("as reported", frame=frame)


def _groups(spoke: Spoke, truth: Truth) -> None:
    frame = spoke.look_up_groups()
    assert rows(frame, "group_id", "name", "access") == rows(truth.groups, "group_id", "name", "access")
    assert frame["managed_by"].astype(str).tolist() == truth.groups["managed_by"].tolist()


def _memberships(spoke: Spoke, truth: Truth) -> None:
    frame = spoke.look_up_group_memberships_for_user(truth.person)
    pairs = truth.frames["memberships"]
    wanted = set(pairs["group_id"][pairs["account_id"] == truth.person])
    assert set(frame["group_id"]) == wanted


def _users(spoke: Spoke, truth: Truth) -> None:
    frame = spoke.look_up_users([*truth.accounts, "712020:nobody"])
    assert frame["account_id"].tolist() == truth.accounts
    assert frame["account_status"].tolist() == truth.frames["users"]["account_status"].tolist()
    assert frame.attrs["unknown"] == ["712020:nobody"]


def _spaces(spoke: Spoke, truth: Truth) -> None:
    frame = spoke.look_up_spaces().all()
    columns = ("space_id", "key", "name", "type", "status")
    assert rows(frame, *columns) == rows(truth.frames["spaces"], *columns)


def _pages(spoke: Spoke, _: Truth) -> None:
    frames = spoke.look_up_pages(page_size=250, query="status=current")
    assert len(frames.all()) == PAGES["current"]
    assert frames.report.complete


def _search(spoke: Spoke, _: Truth) -> None:
    frame = spoke.search_content(kind="page", page_size=200)
    assert len(frame) == PAGES["search"]


def _resources(spoke: Spoke, _: Truth) -> None:
    assert spoke.look_up_accessible_resources()["cloud_id"].tolist() == [spoke.connection.cloud_id]


def _report(spoke: Spoke, truth: Truth) -> None:
    then = datetime.now(UTC) - timedelta(days=1)
    frame = spoke.report_personal_data(dict.fromkeys(truth.accounts, then))
    closed = truth.frames["users"].query("account_status == 'closed'")["account_id"]
    assert frame["account_id"].tolist() == truth.accounts
    assert set(frame["account_id"][frame["status"] == "closed"]) == set(closed) != set()


GRANT = ("space_id", "principal_type", "principal_id", "operation", "target")
ACTIONS: dict[str, Callable[[Spoke, Truth], None]] = {
    "look_up_groups": _groups,
    "look_up_members_by_group_id": _members,
    "look_up_group_memberships_for_user": _memberships,
    "look_up_users": _users,
    "look_up_spaces": _spaces,
    "look_up_pages": _pages,
    "look_up_space_permissions": _permissions,
    "search_content": _search,
    "look_up_accessible_resources": _resources,
    "report_personal_data": _report,
}
PAGES: dict[str, int] = {}


@pytest.fixture(scope="module", autouse=True)
def _counts(site: PracticeSite) -> None:
    from spokekit.practice.api.contents import pages_of

    with spoke_on(site) as spoke:
        PAGES["search"] = len(spoke.search_content(kind="page", page_size=200))
    PAGES["current"] = sum(page.status == "current" for space in site.world.spaces for page in pages_of(space))


@pytest.mark.parametrize("fault", ["none", *READS])
def test_all_rows_or_a_clear_word(site: PracticeSite, truth: Truth, fault: str) -> None:
    unhurt, told = [], []
    for name, action in ACTIONS.items():
        site.faults.clear()
        if fault != "none":
            site.faults.add(FORMS.get(fault, fault))
        if fault in ("duplicates", "vanishing", "foreign-next", "empty-page"):
            site.faults.add("short-pages:7")
        with spoke_on(site) as spoke:
            try:
                action(spoke, truth)
            except SpokekitError as error:
                assert isinstance(error, IncompleteResult | ServiceError | TransportError), error
                told.append(name)
            else:
                unhurt.append(name)
    if fault == "none" or fault in HARMLESS:
        assert told == []
    assert LOUD.get(fault, set()) <= set(told)
    if fault in HOPELESS:
        assert set(unhurt) <= {"look_up_accessible_resources", "report_personal_data"}
    assert all(one.path.startswith(("/ex/", "/oauth/", "/app/")) for one in site.requests)


# -- the two writes -----------------------------------------------------------------------------------------

# What cannot be waited out or repeated: a change that may have been carried out, and a plain refusal.
OPEN = {"write-lost", "reset", "cut"}
REFUSED = {"401-always", "write-500", "html-200", "redirect"}
ONLY_ADDING = {"licence-full": LicenceFull, "write-lost": TransportError, "html-502": ServiceError}
ONLY_ADDING |= {"503-no-retry-after": ServiceError, "hang-up": TransportError}
ONLY_ADDING |= {"reset": TransportError, "cut": TransportError}


@pytest.fixture(scope="module")
def changing() -> Iterator[PracticeSite]:
    with PracticeSite(size="class", seed=4, strict=True) as running:
        yield running


@pytest.mark.parametrize("action", ["add", "remove"])
@pytest.mark.parametrize("fault", ["none", *CALLS])
def test_a_change_is_made_or_a_clear_word_says_that_it_was_not_or_may_be(
    changing: PracticeSite, fault: str, action: str
) -> None:
    world = changing.world
    group = world.find_group("confluence-users").group_id
    there = world.member_ids(group)
    everybody = [world.account_id(row) for row in range(world.user_count)]
    people = there[:6] if action == "remove" else [one for one in everybody if one not in there][:6]
    others = {one.group_id: world.member_ids(one.group_id) for one in map(world.group, world.group_order())}
    told: list[SpokekitError] = []
    changing.faults.clear()
    if fault != "none":
        changing.faults.add({"401-after": "401-after:4"}.get(fault, FORMS.get(fault, fault)))
    try:
        with spoke_on(changing, guard=Anything()) as spoke:
            change = getattr(spoke, f"{action}_member_{'to' if action == 'add' else 'from'}_group_by_group_id")
            for person in people:
                before = set(world.member_ids(group))
                try:
                    outcome = change(group, person)
                except (ServiceError, TransportError) as error:
                    assert "/group/userByGroupId" in error.message or isinstance(error, LicenceFull), error
                    assert error.hint or error.likely
                    told.append(error)
                    made = set(world.member_ids(group)) != before
                    # Whoever reads that it was refused must be able to rely on it.
                    assert made == (fault in OPEN and type(error) is TransportError)
                else:
                    assert outcome["account_id"] == person
                    assert (person in world.member_ids(group)) == (action == "add")
                assert set(world.member_ids(group)) ^ before <= {person}
    finally:
        changing.faults.clear()
        for person in people:
            (world.remove_member if action == "add" else world.add_member)(group, person)
    if fault in REFUSED or (fault in ONLY_ADDING and action == "add"):
        assert told
        assert all(isinstance(error, ONLY_ADDING.get(fault, ServiceError)) for error in told)
        assert fault != "401-always" or all(isinstance(error, TokenRejected) for error in told)
    else:
        assert told == []
    assert {one: set(world.member_ids(one)) for one in others} == {one: set(ids) for one, ids in others.items()}
    assert changing.defects == []
