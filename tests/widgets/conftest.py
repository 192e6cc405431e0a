"""What the tests of the components share."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from spokekit.practice import PracticeSite


def free_redirect(site: PracticeSite) -> str:
    """Return a callback URL on a free port, registered with the site's apps."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        uri = f"http://localhost:{probe.getsockname()[1]}/callback"
    site.allow_redirect(uri)
    return uri


@pytest.fixture
def told(site: PracticeSite) -> dict[str, Any]:
    """What the practice site says of itself, with a callback URL whose port is free."""
    return site.describe() | {"redirect_uris": [free_redirect(site)]}
