"""What a person may paste, and what each wrong thing is called."""

from __future__ import annotations

import json
import random
import secrets
from html import escape

import pytest
from hypothesis import given
from hypothesis import strategies as st

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


CODE, STATE = "AUTH_CODE-3f.Zx_9-a~Q", "k2-Q_7sVb-Zw4"
AMONG = f"{REDIRECT}?state={STATE}&code={CODE}"
SCHEMELESS = AMONG.removeprefix("http://")


@pytest.mark.parametrize(
    "text",
    [
        AMONG.replace("&", "&amp;"),
        AMONG.replace("&", "&#38;"),
        AMONG.replace("&", "&amp;amp;"),
        f"{AMONG} and then it says that the site cannot be reached",
        f"{AMONG}\n\nThanks, Ann",
        f"{AMONG}\nThanks",
        f"{AMONG}\nThis site can't be reached\nlocalhost refused to connect.",
        f"Here it is:\n{AMONG}.\nBest regards",
        f"It ended on {AMONG}, which does not load.",
        f"the page is:{AMONG}",
        f"see https://example.com/help?x=1 first, then {AMONG} please",
        f"'{AMONG}'",
        f"\u201c{AMONG}\u201d",
        f"\u00ab {AMONG} \u00bb",
        f"`{AMONG}`",
        f"> {AMONG}",
        f"> {AMONG[:50]}\n> {AMONG[50:]}",
        f"({AMONG})",
        f"[the page]({AMONG})",
        f"[the page](<{AMONG}>)",
        f"[{AMONG}]({AMONG})",
        f"[{AMONG[:30]}\u2026]({AMONG}) here",
        f"**{AMONG}**",
        f"_{AMONG}_",
        f"<{AMONG}>",
        f'<a href="{escape(AMONG)}">{escape(AMONG)}</a>',
        AMONG.replace("_", "\\_").replace("&", "\\&"),
        AMONG.replace("?", "\\?").replace("=", "\\=").replace("&", "\\&"),
        f"curl '{AMONG}' -v",
        f'curl "{AMONG.replace("&", "^&")}"',
        json.dumps({"url": AMONG}).replace("/", "\\/").replace("&", "\\u0026"),
        json.dumps(AMONG + "\n"),
        f"{AMONG[:60]}\\\n{AMONG[60:]}",
        f"{AMONG[:40]}\r\n    {AMONG[40:]}",
        f"\u200b{AMONG[:45]}\u200b{AMONG[45:]}\ufeff",
        SCHEMELESS,
        f"//{SCHEMELESS}",
        f"it says {SCHEMELESS} now",
        f"http:/{SCHEMELESS}",
        f"ttp://{SCHEMELESS}",
        f"https://{SCHEMELESS}",
        f"url:{SCHEMELESS}",
        f"URL={SCHEMELESS}",
        f"view-source:{AMONG}",
        f"GET /callback?state={STATE}&code={CODE} HTTP/1.1",
        f"state={STATE}&code={CODE} is all there is",
        "https://eur01.safelinks.example/?url=" + AMONG.replace(":", "%3A").replace("/", "%2F").replace("?", "%3F")
        .replace("=", "%3D").replace("&", "%26") + "&data=05",
        AMONG.replace(":", "%3A").replace("/", "%2F").replace("?", "%3F").replace("=", "%3D").replace("&", "%26"),
    ],
)  # fmt: skip
def test_the_address_is_found_in_what_stands_around_it(text: str) -> None:
    found = parse_callback(text, expected_redirect=REDIRECT)
    assert found.code is not None and found.state is not None
    assert (found.code.reveal(), found.state.reveal()) == (CODE, STATE)


@given(st.integers(0, 2**32), st.booleans(), st.sampled_from(["\n", "\r\n", "\n  ", " \n"]), st.integers(20, 120))
def test_a_break_anywhere_in_a_real_address_is_no_matter(seed: int, code_first: bool, gap: str, width: int) -> None:
    chance = random.Random(seed)
    letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    # The last signs hold a digit, since a rest such as "in" is a word as well.
    code, state = ("".join(chance.choices(letters, k=43)) + "7" for _ in range(2))
    fields = [f"code={code}", f"state={state}"]
    address = f"{REDIRECT}?{'&'.join(fields if code_first else reversed(fields))}"
    wrapped = gap.join(address[place : place + width] for place in range(0, len(address), width))
    found = parse_callback(wrapped, expected_redirect=REDIRECT)
    assert found.code is not None and found.state is not None
    assert (found.code.reveal(), found.state.reveal()) == (code, state)


@given(st.text(max_size=300))
def test_any_text_gets_an_answer(text: str) -> None:
    for whole in (text, f"{text}{AMONG}", f"{AMONG}{text}"):
        try:
            assert parse_callback(whole, expected_redirect=REDIRECT)
        except ConsentError as error:
            assert error.message


def test_two_answers_in_one_text_are_not_guessed_between() -> None:
    with pytest.raises(CallbackRefused, match="several addresses"):
        parse_callback(f"{AMONG} or {REDIRECT}?state=other&code={CODE}", expected_redirect=REDIRECT)


@pytest.mark.parametrize(
    "text",
    [
        f"evil.example/callback?code={CODE}&state={STATE}",
        f"see http://evil.example/callback?code={CODE}&state={STATE} please",
        f"/other?code={CODE}&state={STATE}",
    ],
)
def test_an_address_of_another_place_is_refused_among_words_too(text: str) -> None:
    with pytest.raises(CallbackRefused, match="does not begin with the redirect URI"):
        parse_callback(text, expected_redirect=REDIRECT)


def test_a_default_port_is_not_shown_by_browsers() -> None:
    text = f"localhost/callback?code={CODE}&state={secrets.token_urlsafe(8)}"
    assert parse_callback(text, expected_redirect="http://localhost:80/callback").code
