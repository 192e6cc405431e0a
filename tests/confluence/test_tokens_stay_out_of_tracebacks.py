"""A request that breaks off must not carry its token into a verbose traceback, through the HTTP library's frames."""

from __future__ import annotations

import sys

import pytest
from IPython.core.ultratb import VerboseTB

from spokekit.confluence import RetryPolicy, Spoke
from spokekit.errors import TransportError
from spokekit.practice import PracticeSite
from spokekit.workspace import Workspace


@pytest.mark.parametrize("broken", ["reset", "stopped"])
def test_a_broken_request_shows_no_token(site: PracticeSite, connected: Workspace, broken: str) -> None:
    connection = connected.connection()
    spoke = Spoke(connection, connected.tokens.source(connection), retry=RetryPolicy(retries=0))
    token = connected.tokens.access_token(connection).reveal()
    if broken == "reset":
        site.faults.add("reset:1")
    else:
        site.stop()
    try:
        with spoke:
            spoke.look_up_groups()
    except TransportError as error:
        text = VerboseTB(theme_name="nocolor").text(*sys.exc_info())
        seen: BaseException | None = error
        while seen is not None:
            assert token not in f"{seen!r} {seen} {vars(seen)}"
            assert not type(seen).__module__.startswith("http")
            seen = seen.__cause__ or seen.__context__
        assert "look_up_groups" in text
        assert token not in text
    else:
        pytest.fail("The request was expected to break off.")
