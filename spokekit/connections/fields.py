"""The rules for what a person types into a connection form, each with the sentence that explains it.

Every check returns the clean value or raises `InputError` with ``field`` set. A blank at the ends of an id, an address
or a secret is dropped: no such value has one, and nobody sees it. Nothing else is repaired in silence.
"""

from __future__ import annotations

import difflib
import re
import unicodedata
from typing import Any, NoReturn
from urllib.parse import SplitResult, urlsplit

from spokekit._ids import BLANK
from spokekit._secret import Secret
from spokekit._surroundings import is_loopback
from spokekit.errors import InputError

LABELS = {
    "name": "Name",
    "label": "Label of the alias",
    "url": "Connection URL",
    "auth_url": "Authorisation server",
    "scopes": "Scopes",
    "client_id": "OAuth client id",
    "client_secret": "OAuth client secret",
    "redirect_uri": "Redirect URI",
    "grant": "Token",
    "read_only": "Read-only",
    "pkce": "PKCE",
    "active": "Active",
}
LIMITS = {
    "name": 100,
    "label": 100,
    "url": 500,
    "auth_url": 500,
    "scopes": 4000,
    "client_id": 200,
    "client_secret": 4096,
    "redirect_uri": 500,
}
GATEWAY_HOST = "api.atlassian.com"
AUTH_HOST = "auth.atlassian.com"
_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", re.IGNORECASE)
_BROWSER_HOSTS = ("admin", "developer", "home", "id", "start", "support", "team", "www")
_TYPE_WORDS = {"int": "a number", "float": "a number", "bool": "true or false", "bytes": "bytes", "NoneType": "nothing"}


def refuse(field: str, sentence: str, *, likely: str | None = None, hint: str | None = None) -> NoReturn:
    """Raise `InputError` for `field`; the sentence starts after the field's name."""
    # Whatever follows "secret:" is masked wherever text is scrubbed, so this one sentence is put differently.
    label = "OAuth client secret (not shown)" if field == "client_secret" else LABELS[field]
    raise InputError(f"{label}: {sentence}", field=field, likely=likely, hint=hint)


def check_text(field: str, value: Any, *, plain: bool = True, example: str = "") -> str:
    """Check what every field has in common: text, not empty, not too long, nothing invisible, nothing lost.

    Parameters
    ----------
    plain:
        The field takes ASCII only, and no spaces inside; those at its ends are dropped.
    """
    if not isinstance(value, str):
        kind = _TYPE_WORDS.get(type(value).__name__, f"a {type(value).__name__}")
        refuse(field, f"this has to be text, and {kind} was given.", hint=_for_example(example))
    if plain:
        value = value.strip(BLANK)
    if not value.strip():
        refuse(field, "this is empty.", hint=_for_example(example) or "Fill it in.")
    if len(value) > LIMITS[field]:
        refuse(
            field,
            f"this is {len(value):,} characters long; at most {LIMITS[field]:,} are taken.",
            likely="More than the value may have been pasted.",
            hint="Copy only the value itself.",
        )
    if "\x00" in value:
        refuse(
            field,
            "this holds zero bytes between its letters.",
            likely="It was read from a file in UTF-16.",
            hint="Save the file as UTF-8.",
        )
    if any(0xD800 <= ord(letter) <= 0xDFFF or letter == "\ufffd" for letter in value):
        refuse(
            field,
            "some characters were lost on the way.",
            likely="It was read in another encoding than it was written in.",
            hint="Use UTF-8, or type it by hand.",
        )
    text = value if plain else " ".join(value.split())
    for place, letter in enumerate(text, 1):
        if unicodedata.category(letter) in ("Cc", "Cf", "Co", "Cn"):
            name = unicodedata.name(letter, f"U+{ord(letter):04X}").lower()
            refuse(
                field,
                f"there is an invisible character ({name}) at place {place}.",
                likely="It came along when the text was copied.",
                hint="Delete it, or type the value by hand.",
            )
        if plain and letter.isspace():
            refuse(field, f"there is a space at place {place}.", hint="Take it out; the value has none.")
        if plain and not letter.isascii():
            name = unicodedata.name(letter, f"U+{ord(letter):04X}").lower()
            refuse(
                field,
                f"“{letter}” at place {place} is not a plain letter ({name}).",
                likely="It looks like one but is another sign, from another alphabet or a word processor.",
                hint="Type the value by hand, with plain letters.",
            )
    return text


def _for_example(example: str) -> str | None:
    return f"Example: {example}" if example else None


# ------------------------------------------------------------------------------------------------- names


def check_name(value: Any) -> str:
    """Return the name of a connection: one line of words; spaces at its edges do not count."""
    return _words("name", value, "Confluence Cloud Spoke Connection")


def check_label(value: Any) -> str:
    """Return the label of an alias, under the same rules as a name."""
    return _words("label", value, "Confluence Cloud, Berlin")


def _words(field: str, value: Any, example: str) -> str:
    text = unicodedata.normalize("NFC", check_text(field, value, plain=False, example=example))
    if any(sign in text for sign in "<>") or re.search(r"&#?\w+;", text):
        refuse(field, "HTML is not taken here.", hint="Write plain words, without < and >.")
    if text[0] in "=+-@":
        refuse(
            field,
            f"this starts with “{text[0]}”.",
            likely="A spreadsheet would take it for a formula when the list is exported.",
            hint="Start with a letter or a digit.",
        )
    for letter in text:
        if not (
            letter.isalnum() or unicodedata.category(letter).startswith("M") or letter in " _@./()#&+-=!*,:'\u2019"
        ):
            refuse(field, f"“{letter}” cannot be used here.", hint="Letters, digits, spaces and _@./()#&+-=!*,:' can.")
    if not any(letter.isalnum() for letter in text):
        refuse(field, "this holds no letter and no digit.", hint=_for_example(example))
    return text


# ------------------------------------------------------------------------------------------------- addresses


def host_of(url: str) -> str:
    """Return the host of an address that was checked before."""
    return (urlsplit(url).hostname or "").lower()


def origin(url: str) -> str:
    """Return scheme, host and port of an address that was checked before."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"


def same_server(one: str, other: str) -> bool:
    """Tell whether two addresses lead to the same server; a practice site gets another port at each start."""
    return origin(one) == origin(other) or (is_loopback(host_of(one)) and is_loopback(host_of(other)))


def check_url(value: Any) -> tuple[str, str | None]:
    """Return the connection URL with its slash, and the cloud id if the address names one.

    Accepted: ``https://api.atlassian.com``, with and without the slash, with ``ex/confluence/<cloud id>``, and a
    practice site's ``http://127.0.0.1:PORT/`` or ``http://localhost:PORT/``.
    """
    text = check_text("url", value, example="https://api.atlassian.com/")
    parts = _split("url", text, "https://api.atlassian.com/")
    host = (parts.hostname or "").lower()
    _explain_host(host, text)
    _common("url", parts, text)
    path = re.sub("/{2,}", "/", parts.path).rstrip("/")
    cloud_id: str | None = None
    if path:
        cloud_id = _cloud_id(path)
    return f"{parts.scheme}://{_netloc(parts)}/", cloud_id


def _explain_host(host: str, text: str) -> None:
    usual = "Write https://api.atlassian.com/ here."
    if host == "atlassian.net" or host.endswith((".atlassian.net", ".jira.com")):
        refuse(
            "url",
            f"{host} is the address of the site itself.",
            likely="Tokens of an OAuth app are accepted by Atlassian's gateway only, never on the site's own address.",
            hint=usual + " The site is chosen when you consent.",
        )
    if host == AUTH_HOST:
        refuse("url", "this is the authorisation server.", hint=usual + " The other address belongs under Advanced.")
    if host in {f"{name}.atlassian.com" for name in _BROWSER_HOSTS} or host in ("atlassian.com", "confluence.com"):
        found = re.search(rf"/(?:s|conf)/({_UUID.pattern})", text, re.IGNORECASE)
        if found:
            usual = f"Write https://api.atlassian.com/ex/confluence/{found[1].lower()} here."
        refuse("url", "this is an address from the browser, a page for people.", hint=usual)
    if host.endswith(".service-now.com"):
        refuse("url", "this is the address of a ServiceNow instance.", hint=usual)
    if host.startswith("xn--") or ".xn--" in host:
        refuse(
            "url",
            "this address is written with letters of another alphabet.",
            likely="Such addresses are used to look like a known one.",
            hint=usual,
        )
    if host != GATEWAY_HOST and difflib.SequenceMatcher(None, host, GATEWAY_HOST).ratio() > 0.85:
        refuse("url", f"{host} is nearly, but not quite, {GATEWAY_HOST}.", hint=usual)


def _cloud_id(path: str) -> str:
    usual = "Write https://api.atlassian.com/ or https://api.atlassian.com/ex/confluence/<cloud id>."
    parts = path.strip("/").split("/")
    product = parts[1].lower() if len(parts) > 1 and parts[0].lower() == "ex" else ""
    if product == "jira":
        refuse("url", "ex/jira leads to Jira, not to Confluence.", hint=usual)
    if product and product != "confluence":
        refuse("url", f"ex/{parts[1]} does not lead to Confluence.", hint=usual)
    if product and len(parts) == 2:
        refuse("url", "the cloud id after ex/confluence/ is missing.", hint=usual)
    if product and not _UUID.fullmatch(parts[2]):
        refuse(
            "url",
            "what follows ex/confluence/ is not a cloud id.",
            likely="A cloud id has 32 digits and letters a to f in five groups.",
            hint=usual + " Without a cloud id, the site is chosen when you consent.",
        )
    if product and len(parts) > 3:
        refuse("url", "this is the address of a single call; only its beginning belongs here.", hint=usual)
    if product:
        return parts[2].lower()
    if parts[0].lower() in ("wiki", "jira", "spaces", "display"):
        refuse("url", "this is an address from the browser, a page for people.", hint=usual)
    refuse("url", f"there is a path, {path}, behind the host.", hint=usual)


def check_auth_url(value: Any) -> str:
    """Return the address of the authorisation server with its slash."""
    text = check_text("auth_url", value, example="https://auth.atlassian.com/")
    parts = _split("auth_url", text, "https://auth.atlassian.com/")
    host = (parts.hostname or "").lower()
    usual = "Write https://auth.atlassian.com/ here."
    if host == GATEWAY_HOST:
        refuse("auth_url", "this is the connection URL, not the authorisation server.", hint=usual)
    if host.endswith(".atlassian.net") or host in {f"{name}.atlassian.com" for name in _BROWSER_HOSTS}:
        refuse("auth_url", f"{host} gives no tokens.", hint=usual)
    if host.startswith("xn--") or ".xn--" in host:
        refuse("auth_url", "this address is written with letters of another alphabet.", hint=usual)
    if host != AUTH_HOST and difflib.SequenceMatcher(None, host, AUTH_HOST).ratio() > 0.85:
        refuse("auth_url", f"{host} is nearly, but not quite, {AUTH_HOST}.", hint=usual)
    _common("auth_url", parts, text)
    path = re.sub("/{2,}", "/", parts.path).rstrip("/")
    if re.search(r"/(authorize|oauth/token)$", path) or (host == AUTH_HOST and path):
        refuse("auth_url", f"only the server belongs here, without {path}.", hint=usual)
    return f"{parts.scheme}://{_netloc(parts)}{path}/"


def check_pair(url: str, auth_url: str) -> None:
    """Refuse a practice site's address beside a real one: real secrets and tokens would go to a local program."""
    if is_loopback(host_of(url)) != is_loopback(host_of(auth_url)):
        refuse(
            "auth_url",
            f"{origin(auth_url)} and the connection URL {origin(url)} do not belong together.",
            likely="One is on this computer (a practice site), the other is not.",
            hint="A practice site has one address for both; your own site has https://auth.atlassian.com/ and "
            "https://api.atlassian.com/.",
        )


def check_redirect_uri(value: Any) -> str:
    """Return the redirect URI exactly as typed, but for blanks around it: Atlassian compares it sign by sign."""
    example = "http://localhost:8751/callback"
    text = check_text("redirect_uri", value, example=example)
    if text.lower().startswith("urn:"):
        refuse("redirect_uri", "Atlassian's apps do not know this kind.", hint=f"Use {example}.")
    parts = _split("redirect_uri", text, example)
    if parts.hostname and parts.hostname.endswith(".service-now.com"):
        refuse(
            "redirect_uri",
            "this belongs to a ServiceNow instance, so the answer would go there and not to you.",
            hint=f"Use {example}, here and in the app.",
        )
    _common("redirect_uri", parts, text)
    return text


def _split(field: str, text: str, example: str) -> SplitResult:
    if any(sign in text for sign in "<>\"'`"):
        refuse(field, "HTML and quotation marks are not taken here.", hint=f"Only the address itself, like {example}")
    if "\\" in text:
        refuse(field, "there is a backslash in the address.", hint=f"Addresses have / only, like {example}")
    if text[0] in "=+-@":
        refuse(field, f"this starts with “{text[0]}”, like a formula.", hint=f"Example: {example}")
    scheme, found, _ = text.partition("://")
    if not found:
        refuse(field, "the beginning https:// is missing.", hint=f"Example: {example}")
    if scheme.lower() not in ("http", "https"):
        refuse(field, f"{scheme}:// is not a kind of address that can be used.", hint=f"Example: {example}")
    try:
        parts = urlsplit(text)
        _ = parts.port
    except ValueError:
        refuse(field, "host or port of the address cannot be read.", hint=f"Example: {example}")
    if not parts.hostname or "%" in parts.netloc:
        refuse(field, "there is no usable host in the address.", hint=f"Example: {example}")
    if parts.port == 0:
        refuse(field, "port 0 is not a port that can be reached.", hint=f"Example: {example}")
    return parts


def _common(field: str, parts: SplitResult, text: str) -> None:
    if parts.username is not None or parts.password is not None or "@" in parts.netloc:
        refuse(
            field,
            "there is a user name or password in the address.",
            hint="Take out everything up to the @; secrets have a field of their own.",
        )
    if "?" in text or "#" in text:
        refuse(
            field,
            "there is a ? or # part at the end of the address.",
            likely="It was copied from the browser's address line.",
            hint="Take out the ? or # and what follows.",
        )
    if parts.scheme == "http" and not is_loopback(parts.hostname):
        refuse(
            field,
            f"http:// to {parts.hostname} is not encrypted.",
            likely="Everybody on the way could read the token; http:// is for this computer only.",
            hint="Write https:// instead.",
        )


def _netloc(parts: SplitResult) -> str:
    host = (parts.hostname or "").lower()
    if ":" in host:
        host = f"[{host}]"
    usual = 443 if parts.scheme == "https" else 80
    return host if parts.port in (None, usual) else f"{host}:{parts.port}"


# ------------------------------------------------------------------------------------------------- id and secret


def check_client_id(value: Any) -> str:
    """Return the client id of the OAuth app."""
    text = check_text("client_id", value, example="the Client ID under Settings of your app")
    where = "Copy the Client ID from Settings of your app in the developer console."
    if text[0] in "=+-@":
        refuse("client_id", f"this starts with “{text[0]}”, like a formula.", hint=where)
    if "@" in text:
        refuse("client_id", "this looks like an e-mail address.", hint=where)
    if "://" in text:
        refuse("client_id", "this is an address.", hint=where)
    if text.startswith(("ATOA", "ATAT")):
        refuse("client_id", "this looks like the secret or an API token.", hint=where)
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._~-]*", text):
        refuse("client_id", "a client id has letters, digits and - . _ ~ only.", hint=where)
    return text


def check_client_secret(value: Any) -> Secret:
    """Return the client secret of the OAuth app as a `Secret`; no sentence ever quotes it."""
    where = "Copy the Secret from Settings of your app in the developer console."
    text = value.reveal() if isinstance(value, Secret) else value
    try:
        text = check_text("client_secret", text)
    except InputError as error:
        # The sentences for other fields may quote a character of the value; a secret's may not.
        if "“" in error.message:
            error = InputError(
                "OAuth client secret (not shown): it holds a character that is not a plain letter, digit or sign.",
                field="client_secret",
                hint=where,
            )
        raise InputError(error.message, field="client_secret", likely=error.likely, hint=where) from None
    if text.startswith("ATATT"):
        refuse("client_secret", "this is an API token, not the secret of an OAuth app.", hint=where)
    return Secret(text)
