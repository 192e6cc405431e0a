"""What a person may paste, and what each wrong thing is called."""

from __future__ import annotations

import pytest

from spokekit.errors import CallbackRefused, ConsentError, RedirectMismatch, SiteAdminMustAuthorize
from spokekit.oauth.callbacks import parse_callback

REDIRECT = "http://localhost:8751/callback"


@pytest.mark.parametrize(
    "text",
    [
        f"{REDIRECT}?code=abc.def-1&state=s-1",
        f"  {REDIRECT}?code=abc.def-1&state=s-1\n",
        f'"{REDIRECT}?code=abc.def-1&state=s-1"',
        f"<{REDIRECT}?state=s-1&code=abc.def-1&extra=1>",
        f"{REDIRECT}?code=abc.d\n ef-1&state=s-1",
        "HTTP://LOCALHOST:8751/callback?code=abc.def-1&state=s-1",
        f"{REDIRECT}/?code=abc.def-1&state=s-1#top",
        "code=abc.def-1&state=s-1",
        "?code=abc.def-1&state=s-1",
    ],
)
def test_what_is_understood(text: str) -> None:
    found = parse_callback(text, expected_redirect=REDIRECT)
    assert found.code is not None and found.state is not None and found.error is None
    assert (found.code.reveal(), found.state.reveal()) == ("abc.def-1", "s-1")
    assert "abc" not in repr(found) and "s-1" not in repr(found)


def test_an_error_counts_before_a_code() -> None:
    found = parse_callback(
        f"{REDIRECT}?code=abc&error=access_denied&error_description=User+said+no&state=s", expected_redirect=REDIRECT
    )
    assert (found.error, found.error_description, found.code) == ("access_denied", "User said no", None)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "Nothing was pasted"),
        ("   \n", "Nothing was pasted"),
        ("eyJhbGciOi.abc.def", "bare code"),
        ("hello there", "bare code"),
        ("code=abc", None),
        (REDIRECT, "neither a code nor an error"),
        (f"{REDIRECT}?state=s", "neither a code nor an error"),
        (f"{REDIRECT}?code=&state=s", "neither a code nor an error"),
        (f"{REDIRECT}?code=a&code=b&state=s", "twice"),
        (f"{REDIRECT}?code=a&state=s&state=t", "twice"),
        ("https://auth.atlassian.com/authorize?client_id=x&state=s", "address of the consent page"),
        ("http://localhost:8752/callback?code=a&state=s", "does not begin with the redirect URI"),
        ("http://127.0.0.1:8751/callback?code=a&state=s", "does not begin with the redirect URI"),
        ("http://localhost:8751/other?code=a&state=s", "does not begin with the redirect URI"),
        ("http://localhost:8751.evil.example/callback?code=a&state=s", "does not begin|not a valid"),
        ("http://[::1/callback?code=a", "not a valid address"),
        ("http://localhost:8751/callback?code=" + "a" * 20_000, "too long"),
    ],
)
def test_what_is_refused_and_how_it_is_called(text: str, words: str | None) -> None:
    if words is None:
        # Without a state it is understood here, and refused at the door of the attempt.
        assert parse_callback(text, expected_redirect=REDIRECT).state is None
        return
    with pytest.raises(CallbackRefused, match=words) as problem:
        parse_callback(text, expected_redirect=REDIRECT)
    assert problem.value.hint


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        (
            "https://id.atlassian.com/error?error=unauthorized_client&error_description=redirect_uri%20is%20not%20"
            "registered%20for%20client:%20http://127.0.0.1:1",
            RedirectMismatch,
        ),
        (
            "https://id.atlassian.com/error?error=access_denied&error_description=Your%20site%20admin%20must%20"
            "authorize%20this%20app",
            SiteAdminMustAuthorize,
        ),
    ],
)
def test_the_address_of_an_error_page_of_atlassian_says_what_is_wrong(text: str, kind: type[ConsentError]) -> None:
    with pytest.raises(kind):
        parse_callback(text, expected_redirect=REDIRECT)


def test_a_hub_sends_on_to_the_own_server() -> None:
    expected = "https://hub.example/hub/user-redirect/spokekit/oauth/callback"
    own = "https://hub.example/user/ann/spokekit/oauth/callback?code=a&state=s"
    assert parse_callback(own, expected_redirect=expected).code is not None
    with pytest.raises(CallbackRefused):
        parse_callback(own.replace("hub.example", "other.example"), expected_redirect=expected)
