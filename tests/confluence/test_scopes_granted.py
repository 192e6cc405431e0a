"""A missing scope is explained from what the consent covers, not from what the connection asks for."""

from __future__ import annotations

import pytest

from spokekit._workspace import Workspace
from spokekit.errors import ScopeMissing
from spokekit.practice import PracticeSite


@pytest.mark.parametrize(
    ("lacks", "action"),
    [
        ("read:confluence-groups", lambda spoke: spoke.look_up_groups()),
        ("read:space:confluence", lambda spoke: spoke.look_up_spaces().all()),
    ],
)
def test_a_scope_that_is_listed_and_not_granted_is_named(
    connected: Workspace, site: PracticeSite, lacks: str, action: object
) -> None:
    saved = connected.connection()
    scopes = tuple(dict.fromkeys((*saved.scopes, lacks)))
    connection = connected.connections.edit(saved.connection_id, scopes=scopes)
    granted = [name for name in scopes if name != lacks]
    connected.tokens.save_grant(connection, site.issue_token(scopes=granted))
    with connected.spoke() as spoke, pytest.raises(ScopeMissing) as caught:
        action(spoke)  # type: ignore[operator]
    assert caught.value.scopes == (lacks,)
    assert f"lacks the scope {lacks}" in str(caught.value)
    assert f"Enable {lacks} on the app, then press Get OAuth Token" in str(caught.value)
    assert "to the connection's scopes" not in str(caught.value), "it is there already"


def test_one_that_is_not_listed_goes_into_the_connection_first(connected: Workspace, site: PracticeSite) -> None:
    saved = connected.connection()
    scopes = tuple(name for name in saved.scopes if name != "read:confluence-groups")
    connection = connected.connections.edit(saved.connection_id, scopes=scopes)
    connected.tokens.save_grant(connection, site.issue_token(scopes=list(scopes)))
    with connected.spoke() as spoke, pytest.raises(ScopeMissing, match="to the connection's scopes") as caught:
        spoke.look_up_groups()
    assert caught.value.scopes == ("read:confluence-groups",)
