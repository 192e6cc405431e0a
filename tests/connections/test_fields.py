"""What a person may type into the connection form, and the sentence that each mistake gets."""

from __future__ import annotations

import random

import pytest

from spokekit._secret import Secret, scrub
from spokekit.connections import fields
from spokekit.connections.connection import ConnectionDraft, check_client_secret
from spokekit.connections.scopes import parse_scopes
from spokekit.errors import InputError

CHECKS = {
    "name": fields.check_name,
    "label": fields.check_label,
    "url": fields.check_url,
    "auth_url": fields.check_auth_url,
    "scopes": parse_scopes,
    "client_id": fields.check_client_id,
    "client_secret": check_client_secret,
    "redirect_uri": fields.check_redirect_uri,
}
GOOD = {
    "name": "Confluence Cloud Spoke Connection",
    "label": "Berlin",
    "url": "https://api.atlassian.com/",
    "auth_url": "https://auth.atlassian.com/",
    "scopes": "read:me offline_access",
    "client_id": "Abc123",
    "client_secret": "s3cret-Abc",
    "redirect_uri": "http://localhost:8751/callback",
}
CLOUD = "1324a887-45db-1bf4-1e99-ef0ff456d421"


def refused(field: str, value: object) -> InputError:
    with pytest.raises(InputError) as caught:
        CHECKS[field](value)
    assert caught.value.field == field
    assert caught.value.message.startswith(fields.LABELS[field])
    # On the command line and in logs nothing of the sentence may be taken for a secret.
    assert scrub(str(caught.value)) == str(caught.value)
    return caught.value


@pytest.mark.parametrize("field", CHECKS)
def test_every_field_explains_the_same_mistakes(field: str) -> None:
    good = GOOD[field]
    CHECKS[field](good)
    assert "is empty" in refused(field, "").message
    assert "is empty" in refused(field, " \t\n").message
    assert "at most" in refused(field, good + "a" * 5000).message
    assert "has to be text, and nothing was given" in refused(field, None).message
    assert "a number was given" in refused(field, 7).message
    assert "bytes was given" in refused(field, good.encode()).message
    assert "zero bytes between its letters" in refused(field, good.encode("utf-16-le").decode("utf-8")).message
    assert "UTF-16" in str(refused(field, good[:3] + "\x00")) or field == "client_secret"
    assert "lost on the way" in refused(field, good + "\ufffd").message
    assert "lost on the way" in refused(field, good + "\udce4").message
    assert "invisible character" in refused(field, good[:2] + "\x07" + good[2:]).message
    assert "invisible character" in refused(field, good[:2] + "\u202e" + good[2:]).message


@pytest.mark.parametrize("field", ["name", "label", "url", "auth_url", "scopes", "client_id", "redirect_uri"])
def test_html_and_formulas_are_refused(field: str) -> None:
    html = f"{GOOD[field]}<b>x</b>"
    assert any(words in refused(field, html).message for words in ("HTML", "letters and", "has letters"))
    for sign in "=+-@":
        assert f"“{sign}”" in refused(field, sign + GOOD[field]).message


@pytest.mark.parametrize("field", ["url", "auth_url", "client_id", "client_secret", "redirect_uri"])
def test_spaces_and_look_alike_letters_are_named(field: str) -> None:
    good = GOOD[field]
    for typed in (f"{good} ", f"\u00a0{good}", f"\t{good}\r\n", f"\ufeff{good}\u200b"):
        # What typing and copying leave at the ends is no part of the value.
        assert CHECKS[field](typed) == CHECKS[field](good)
    assert "this is empty" in refused(field, "\u200b ").message
    assert "a space at place 3" in refused(field, good[:2] + " " + good[2:]).message
    error = refused(field, good[:2] + "\uff41" + good[2:])
    if field == "client_secret":
        assert "\uff41" not in str(error)
    else:
        assert "fullwidth latin small letter a" in error.message


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("http://api.atlassian.com/", "http:// to api.atlassian.com is not encrypted"),
        ("http://127.0.0.1.example.com/", "is not encrypted"),
        ("http://2130706433/", "is not encrypted"),
        ("http://0.0.0.0:80/", "is not encrypted"),
        ("https://northwind.atlassian.net", "the address of the site itself"),
        ("https://northwind.atlassian.net/wiki/spaces/TEST?x=1", "the address of the site itself"),
        ("https://admin.atlassian.com/s/1324a887-45db-1bf4-1e99-ef0ff456d421/apps", f"ex/confluence/{CLOUD}"),
        ("https://admin.atlassian.com/o/x/products/conf/1324a887-45db-1bf4-1e99-ef0ff456d421", CLOUD),
        ("https://developer.atlassian.com/console/myapps/", "an address from the browser"),
        ("https://api.atlassian.com/wiki/home", "an address from the browser"),
        ("https://auth.atlassian.com/", "the authorisation server"),
        ("https://dev1234.service-now.com/", "a ServiceNow instance"),
        (f"https://api.atlassian.com/ex/jira/{CLOUD}/", "leads to Jira"),
        (f"https://api.atlassian.com/ex/bitbucket/{CLOUD}/", "does not lead to Confluence"),
        ("https://api.atlassian.com/ex/confluence/", "cloud id after ex/confluence/ is missing"),
        ("https://api.atlassian.com/ex/confluence/northwind", "is not a cloud id"),
        (f"https://api.atlassian.com/ex/confluence/{CLOUD}/wiki/rest/api/group", "address of a single call"),
        ("https://api.atlassian.com/me", "a path, /me"),
        ("https://api.atlassian.com/?a=b", "a ? or # part"),
        ("https://api.atlassian.com/?", "a ? or # part"),
        ("https://api.atlassian.com/#top", "a ? or # part"),
        ("https://me:secret@api.atlassian.com/", "a user name or password"),
        ("https://api.atlassian.com@evil.example/", "a user name or password"),
        ("https://api.atlasian.com/", "nearly, but not quite"),
        ("https://xn--tlassian-u0a.com/", "another alphabet"),
        ("https://api.atlassian.com:port/", "host or port"),
        ("https://api.atlassian.com:99999/", "host or port"),
        ("http://127.0.0.1:0/", "port 0"),
        ("https://[::1/", "host or port"),
        ("https:///x", "no usable host"),
        ("api.atlassian.com", "https:// is missing"),
        ("https:\\\\api.atlassian.com", "backslash"),
        ("ftp://api.atlassian.com", "not a kind of address"),
        ("javascript://api.atlassian.com", "not a kind of address"),
        ("https://\u0430pi.atlassian.com/", "cyrillic small letter a"),
        ("https://api.atl%61ssian.com/", "no usable host"),
    ],
)
def test_wrong_connection_urls_are_explained(value: str, words: str) -> None:
    error = refused("url", value)
    assert words in str(error)
    assert error.hint


@pytest.mark.parametrize(
    ("value", "clean", "cloud_id"),
    [
        ("https://api.atlassian.com", "https://api.atlassian.com/", None),
        ("HTTPS://API.Atlassian.COM:443//", "https://api.atlassian.com/", None),
        (f"https://api.atlassian.com/ex/confluence/{CLOUD}", "https://api.atlassian.com/", CLOUD),
        (f"https://api.atlassian.com/ex/Confluence/{CLOUD.upper()}/", "https://api.atlassian.com/", CLOUD),
        ("http://127.0.0.1:8750/", "http://127.0.0.1:8750/", None),
        ("http://localhost:8750", "http://localhost:8750/", None),
        ("http://[::1]:8750/", "http://[::1]:8750/", None),
        ("https://gateway.example.com/", "https://gateway.example.com/", None),
    ],
)
def test_right_connection_urls(value: str, clean: str, cloud_id: str | None) -> None:
    assert fields.check_url(value) == (clean, cloud_id)


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("https://api.atlassian.com/", "is the connection URL"),
        ("https://id.atlassian.com/", "gives no tokens"),
        ("https://northwind.atlassian.net/", "gives no tokens"),
        ("https://auth.atlasian.com/", "nearly, but not quite"),
        ("https://auth.atlassian.com/authorize", "without /authorize"),
        ("https://login.example.com/realm/oauth/token", "without /realm/oauth/token"),
        ("http://auth.example.com/", "is not encrypted"),
        ("https://a:b@auth.atlassian.com/", "a user name or password"),
        ("https://auth.atlassian.com/?x", "a ? or # part"),
    ],
)
def test_wrong_authorisation_servers_are_explained(value: str, words: str) -> None:
    assert words in refused("auth_url", value).message


def test_an_authorisation_server_may_have_a_path_of_its_own() -> None:
    assert fields.check_auth_url("https://login.example.com/realms/one") == "https://login.example.com/realms/one/"


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("http://192.168.1.4:8751/callback", "is not encrypted"),
        ("http://localhost:8751/callback#x", "a ? or # part"),
        ("http://localhost:8751/callback?x=1", "a ? or # part"),
        ("urn:ietf:wg:oauth:2.0:oob", "do not know this kind"),
        ("localhost:8751/callback", "https:// is missing"),
        ("https://dev1234.service-now.com/oauth_redirect.do", "belongs to a ServiceNow instance"),
    ],
)
def test_wrong_redirect_uris_are_explained(value: str, words: str) -> None:
    assert words in refused("redirect_uri", value).message


def test_a_redirect_uri_is_kept_sign_by_sign() -> None:
    for uri in ("http://LOCALHOST:8751/callback", "https://hub.example.com:443/user/a%20b/spokekit/oauth/callback"):
        assert fields.check_redirect_uri(uri) == uri


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("me@example.com", "an e-mail address"),
        ("https://developer.atlassian.com", "an address"),
        ("ATOAabcdefgh", "the secret or an API token"),
        ("abc$", "letters, digits"),
    ],
)
def test_wrong_client_ids_are_explained(value: str, words: str) -> None:
    assert words in refused("client_id", value).message


def test_no_sentence_quotes_the_client_secret() -> None:
    plain = "Zq9-planted\u00e9-secret"
    for value in (plain, Secret(plain), plain + " ", "ATATT" + plain.replace("\u00e9", "e"), plain * 400):
        error = refused("client_secret", value)
        assert "planted" not in str(error)
        assert "\u00e9" not in str(error)
        assert error.__cause__ is None
    assert check_client_secret(Secret("abcdef")) == Secret("abcdef")


def test_names_take_the_words_of_people() -> None:
    for name in ("Zürich & Bern (Test) #2", "カンファレンス", "Anna\u2019s site, 100!", "مدينة", "q+1=2*2"):
        assert fields.check_name(name) == name
    assert fields.check_name("  two   words ") == "two words"
    assert fields.check_name("Zu\u0308rich") == "Zürich"
    assert "“\u2603”" in refused("name", "snow \u2603").message
    assert "no letter and no digit" in refused("name", "()").message
    assert "HTML" in refused("name", "a &amp; b").message


def test_a_draft_collects_all_errors_in_the_order_of_the_form() -> None:
    draft = ConnectionDraft(
        name="", url="http://x.example", auth_url="x", scopes="", client_id="", redirect_uri="", pkce="yes"
    )
    assert list(draft.validate()) == ["name", "url", "scopes", "client_id", "redirect_uri", "auth_url", "pkce"]
    with pytest.raises(InputError, match="Name: this is empty"):
        draft.values()
    assert "either on or off" in draft.validate()["pkce"].message
    assert ConnectionDraft(client_id="abc").validate() == {}


def test_practice_and_real_addresses_are_never_mixed() -> None:
    mixed = ConnectionDraft(url="http://127.0.0.1:8750/", client_id="abc")
    assert "do not belong together" in mixed.validate()["auth_url"].message
    mixed = ConnectionDraft(auth_url="http://localhost:8750/", client_id="abc")
    assert "do not belong together" in mixed.validate()["auth_url"].message
    own = ConnectionDraft(url="http://127.0.0.1:8750", auth_url="", client_id="abc")
    assert own.values()["auth_url"] == "http://127.0.0.1:8750/"
    assert ConnectionDraft(auth_url="", client_id="abc").values()["auth_url"] == "https://auth.atlassian.com/"


def test_whatever_is_typed_is_either_explained_or_clean() -> None:
    chance = random.Random(7)
    starts = [
        *GOOD.values(),
        "http://127.0.0.1:8750/",
        f"https://api.atlassian.com/ex/confluence/{CLOUD}",
        "http://[::1]",
    ]
    signs = "/:@?#[]%\\<>\"' \t\n\x00\u202e\ufeffä\uff41.,;-+=()0aZ\U0001f680\udc80"
    for _ in range(2000):
        text = list(chance.choice(starts))
        for _ in range(chance.randint(1, 4)):
            place = chance.randrange(len(text) + 1)
            text[place : place + chance.randint(0, 2)] = chance.choices(signs, k=chance.randint(0, 2))
        typed = "".join(text)
        for field, check in CHECKS.items():
            try:
                clean = check(typed)
            except InputError as error:
                assert error.field == field
                assert error.message
                continue
            if field in ("url", "auth_url"):
                address = clean[0] if field == "url" else clean
                again = check(address)
                assert (again[0] if field == "url" else again) == address
                assert address.startswith("https://") or fields.is_loopback(fields.host_of(address))
