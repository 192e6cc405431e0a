"""A practice site with a callback URL of its own: lessons consent on this computer, and tests run side by side."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from spokekit.practice import PracticeSite
from spokekit.training.testing import free_ports


@pytest.fixture
def site() -> Iterator[PracticeSite]:
    """Serve a strict practice site with a callback URL of its own."""
    with PracticeSite(strict=True, redirect_uris=[f"http://localhost:{free_ports()}/callback"]) as running:
        yield running
