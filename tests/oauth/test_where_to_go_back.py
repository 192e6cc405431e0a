"""The page after the consent sends the person back to where they pressed or typed."""

from __future__ import annotations

import pytest

from spokekit.oauth.environment import where_to_go_back


@pytest.mark.parametrize(
    ("environ", "words"),
    [
        ({}, "the terminal"),
        ({"JPY_SESSION_NAME": "/srv/spokekit/03-get-the-oauth-token.ipynb", "JPY_PARENT_PID": "7"},
         "the browser tab of Jupyter with 03-get-the-oauth-token.ipynb"),
        ({"JPY_SESSION_NAME": "console-1-8d2f", "JPY_PARENT_PID": "7"}, "the browser tab of Jupyter"),
        ({"SERVER_SOFTWARE": "voila/0.5.8", "JPY_PARENT_PID": "7"}, "the browser tab from which you came"),
    ],
)  # fmt: skip
def test_the_place_is_named(environ: dict[str, str], words: str) -> None:
    assert where_to_go_back(environ) == words
