"""Requests that schemathesis draws from Atlassian's documents, sent to the practice site: no defect, no violation."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from spokekit.practice import PracticeSite
from spokekit.practice.api.gateway import ROUTES, Route
from tests.contract.judge import DOCUMENTS, FOLDER, MISSING, Judge, the_judge
from tests.practice.support import ALL_SCOPES

EXAMPLES = 12


@pytest.fixture(scope="module")
def site() -> Iterator[PracticeSite]:
    with PracticeSite(space_role_mode="ROLES_TRANSITION", quota=10**9) as running:
        yield running


@pytest.fixture(scope="module")
def schemas() -> dict[str, Any]:
    if the_judge() is None:
        pytest.skip(MISSING)
    import schemathesis

    loaded = {}
    for version, name in DOCUMENTS.items():
        content = json.loads((FOLDER / name).read_text("utf-8"))
        content["servers"] = [{"url": "/"}]
        loaded[version] = schemathesis.openapi.from_dict(content)
    return loaded


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: route.name)
def test_drawn_requests_are_answered_within_the_contract(
    site: PracticeSite, schemas: dict[str, Any], judged: Judge, route: Route
) -> None:
    version = "v2" if "/api/v2/" in route.path else "v1"
    path = route.path.removeprefix("/wiki/api/v2") if version == "v2" else route.path
    base = site.api_base + ("/wiki/api/v2" if version == "v2" else "")
    token = site.issue_token([*ALL_SCOPES, "read:group:confluence", "write:group:confluence"])["access_token"]
    world = site.world
    # Drawn ids are never those of the world, so half of the requests get real ones.
    real = {
        "groupId": [world.group_id(row) for row in world.group_order()[:10]],
        "accountId": [world.account_id(row) for row in range(0, 120, 12)],
        "id": [space.space_id for space in world.spaces] + [str(int(space.space_id) + 1) for space in world.spaces],
    }
    real["id"] = real["groupId"] if version == "v1" else real["id"]
    operation = schemas[version][path][route.method]
    answered = 0

    @settings(
        max_examples=EXAMPLES,
        derandomize=True,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy(), data=st.data())
    def send(case: Any, data: st.DataObject) -> None:
        nonlocal answered
        if data.draw(st.booleans()):
            for part in (case.path_parameters, case.query):
                for name in (part or {}).keys() & real.keys():
                    part[name] = data.draw(st.sampled_from(real[name]))
        answer = case.call(base_url=base, headers={"Authorization": f"Bearer {token}"}, timeout=5)
        assert answer.status_code < 500 or route.name == "add"
        answered += 1

    send()
    assert answered >= EXAMPLES / 2
    assert site.defects == []
    # What is drawn may be odd on purpose; only what the site answers is held against the documents here.
    assert [complaint for complaint in judged.settle() if " answer: " in complaint] == []
