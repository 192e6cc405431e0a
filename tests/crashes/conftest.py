"""A disk that fails, for all tests of this folder."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.crashes.disk import Disk, missing


@pytest.fixture(scope="session")
def disk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Disk]:
    if lacking := missing():
        pytest.skip(lacking)
    made = Disk(tmp_path_factory.mktemp("disk"))
    yield made
    made.close()
