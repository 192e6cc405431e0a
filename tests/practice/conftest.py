"""Practice sites for tests: one with any options, and one for tests that only read."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import httpx2
import pytest

from spokekit.practice import PracticeSite
from tests.contract.judge import off_contract  # noqa: F401 - a fixture
from tests.practice.support import ALL_SCOPES, Api


@pytest.fixture
def serve() -> Iterator[Callable[..., Api]]:
    """Start practice sites with any options and give a client for each."""
    with ExitStack() as stack:

        def start(*, scopes: Any = ALL_SCOPES, account: str = "", **options: Any) -> Api:
            site = stack.enter_context(PracticeSite(**{"strict": True, **options}))
            client = stack.enter_context(httpx2.Client(timeout=5))
            return Api(site, client, scopes=scopes, account=account)

        yield start


@pytest.fixture(scope="module")
def reading() -> Iterator[Api]:
    """A client of a site that the tests of a module share and do not change."""
    with PracticeSite(strict=True) as site, httpx2.Client(timeout=5) as client:
        yield Api(site, client)
