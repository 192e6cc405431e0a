"""A request that breaks off must not carry its token into a verbose traceback, through the HTTP library's frames."""

from __future__ import annotations

import sys

import pytest
from IPython.core.ultratb import VerboseTB

from spokekit._secret import Secret
from spokekit._workspace import Workspace
from spokekit.confluence import RetryPolicy, Spoke
from spokekit.errors import TransportError, UnexpectedAnswer
from spokekit.practice import PracticeSite


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


@pytest.mark.parametrize("strange", ["\r\nX-Other: y", "\x00", "\N{SNOWMAN}", "\ud800"])
def test_a_token_that_no_header_can_carry_is_not_quoted(connected: Workspace, strange: str) -> None:
    planted = "PLANTED" + "0815"

    async def tokens(*, rejected: Secret | None = None) -> Secret:
        return Secret(planted + strange)

    with (
        Spoke(connected.connection(), tokens, retry=RetryPolicy(retries=0)) as spoke,
        pytest.raises(UnexpectedAnswer) as caught,
    ):
        spoke.look_up_groups()
    seen: BaseException | None = caught.value
    while seen is not None:
        assert planted not in f"{seen!r} {seen} {vars(seen)} {getattr(seen, 'object', '')}"
        seen = seen.__cause__ or seen.__context__
    shown = VerboseTB(theme_name="nocolor").text(caught.type, caught.value, caught.tb)
    assert planted not in shown.replace(f"planted = {planted!r}", "")
