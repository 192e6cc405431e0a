"""Chapter A: from nothing to a token, and back to one when something is in the way."""

from __future__ import annotations

from spokekit.training.doer import Doer
from spokekit.training.lesson import Lesson, Start, Turn
from spokekit.training.lessons._addresses import beside, differs_a_little, other_host
from spokekit.training.lessons.a_mending import MENDING, connection_name
from spokekit.training.seen import Seen, SiteState


class FirstConnection(Lesson):
    """First connection.

    ServiceNow's Confluence Cloud spoke needs a connection: an OAuth app's client ID and secret, and a person's consent.
    The app is there already, in the practice site's developer console. Nothing else is.
    """

    name = "first-connection"
    minutes = 10
    goal = "The default connection has a valid token, and its site is chosen."
    first = "Fill in the connection form: client ID and secret are in the console."
    tools = ("connection",)
    hints = (
        "Everything the form asks for is in the console: open it beside this page.",
        "Copy the client ID and the secret of “spokekit practice app”. The redirect URI is right already.",
        "Press “Save and Get OAuth Token”, then Accept on the page that opens, and come back here.",
    )
    turns = (
        Turn(
            "saved-without-secret",
            lambda s: s.connection is not None and not s.has_secret,
            "You saved “{saved}” without its client secret, so nobody can get a token for it. Edit it and put the "
            "secret from the console in.",
            lambda s: {"saved": connection_name(s)},
            lambda do: do.save(secret=False),
        ),
        Turn(
            "wrong-secret",
            lambda s: s.has_secret and not s.secret_fits and not s.has_token,
            "The client secret that you saved with “{typed}” is not the one of its app in the console. Copy it again.",
            lambda s: {"typed": connection_name(s)},
            lambda do: (do.save(), do.type_secret("mistyped")),
        ),
        Turn(
            "consent-not-answered",
            lambda s: s.has_secret and not s.has_token,
            "“{waiting}” is saved, and nobody has answered its consent page yet. Press “Get OAuth Token”, and Accept "
            "on the page that opens.",
            lambda s: {"waiting": connection_name(s)},
            lambda do: do.save(),
        ),
    )
    steps = (
        "Open the console and copy the client ID and the secret of “spokekit practice app”.",
        "Put both into the connection form and press “Save and Get OAuth Token”.",
        "Press Accept on the consent page; the form then says who is signed in and on which site.",
    )
    shown = "The connection has a token for its site: you have gone the whole way once."
    at_work = (
        "At work it is the same form and the same page; only the console is Atlassian's, and the account your own."
    )

    def attempted(self, seen: Seen) -> bool:
        return bool(seen.connections)

    def right(self, seen: Seen) -> bool:
        return seen.token_works and bool(seen.connection and seen.connection.cloud_id)

    def missing(self, seen: Seen) -> str:
        return "The connection has no token that the site takes yet, or no site. Look at its line in the list."

    def solve(self, do: Doer) -> None:
        do.save()
        do.consent()


class RedirectMismatch(Lesson):
    """Redirect mismatch.

    A colleague created the app and typed its callback URL from memory. The connection is saved, and yet the consent
    page shows an error: Atlassian compares the redirect URI character for character, and tells the app nothing.
    """

    name = "redirect-mismatch"
    minutes = 6
    goal = "The connection has a token, and its app knows exactly one callback URL: the connection's redirect URI."
    first = "Press “Get OAuth Token” and read what the page says; then open the console."
    start = Start(step=2)
    tools = ("connection",)
    hints = (
        "The error page names the address that it was asked for. Lay it beside the one in the console.",
        "The redirect URI of the connection, {wanted}, is right. The app's callback URL is to be mended.",
        "In the console, replace the app's callback URL by {wanted}, press “Save changes”, and get the token.",
    )
    turns = (
        Turn(
            "other-host",
            lambda s: any(other_host(uri, _wanted(s)) for uri in _urls(s)),
            "You registered {registered}. localhost and 127.0.0.1 are the same computer and two different texts; "
            "Atlassian compares texts.",
            lambda s: {"registered": [uri for uri in _urls(s) if other_host(uri, _wanted(s))]},
            lambda do: do.callback_urls([_swapped(_wanted(do.look()))]),
        ),
        Turn(
            "slash-or-port",
            lambda s: any(differs_a_little(uri, _wanted(s)) for uri in _urls(s) if uri not in _first_urls(s)),
            "You registered {nearly}: nearly the redirect URI, but a slash or the port differs, and every character "
            "counts.",
            lambda s: {"nearly": [u for u in _urls(s) if u not in _first_urls(s) and differs_a_little(u, _wanted(s))]},
            lambda do: do.callback_urls([f"{_wanted(do.look())}/"]),
        ),
        Turn(
            "several-left",
            lambda s: _wanted(s) in _urls(s) and len(_urls(s)) > 1,
            "The right callback URL is there, and so is {left_over}. Each address that an app knows is one that a code "
            "may be sent to: take it out.",
            lambda s: {"left_over": [uri for uri in _urls(s) if uri != _wanted(s)]},
            lambda do: (do.callback_urls([*_urls(do.look()), _wanted(do.look())]), do.consent()),
        ),
        Turn(
            "connection-changed-to-fit",
            lambda s: _fitted(s),
            "It works: you changed the connection's redirect URI to {fitted} instead of the app. Mind that spokekit "
            "then has to listen there, and that everybody who uses this app has to do the same.",
            lambda s: {"fitted": s.connection.redirect_uri if s.connection else ""},
            lambda do: (do.edit(redirect_uri=_urls(do.look())[0]), do.consent()),
            remark=True,
        ),
    )
    steps = (
        "Open the console and find the app of the connection.",
        "Replace its callback URL by {wanted}, character for character, and press “Save changes”.",
        "Press “Get OAuth Token” and Accept.",
    )
    shown = "The app knows one callback URL, and it is the connection's redirect URI."
    at_work = (
        "At work, “redirect_uri is not registered” means: copy the redirect URI from the connection into the app's "
        "Authorization page, and nothing else."
    )

    def prepare(self, do: Doer) -> None:
        do.callback_urls([beside(do.connection.redirect_uri)])

    def facts(self, seen: Seen) -> dict[str, str]:
        return {"wanted": seen.marks.redirect_uri}

    def attempted(self, seen: Seen) -> bool:
        return _urls(seen) != _first_urls(seen) or seen.has_token or _fitted(seen)

    def right(self, seen: Seen) -> bool:
        return seen.token_works and bool(seen.connection) and _urls(seen) == [seen.connection.redirect_uri]  # type: ignore[union-attr]

    def missing(self, seen: Seen) -> str:
        if _wanted(seen) in _urls(seen):
            return "The callback URL is right. Now get the token: nobody has consented yet."
        return "The app still does not know the connection's redirect URI. Compare the two texts sign by sign."

    def solve(self, do: Doer) -> None:
        do.callback_urls([do.connection.redirect_uri])
        do.consent()


def _urls(seen: Seen, site: SiteState | None = None) -> list[str]:
    app = (site or seen.site).app(seen.marks.client_id)
    return list(app.redirect_uris) if app else []


def _first_urls(seen: Seen) -> list[str]:
    return _urls(seen, seen.before)


def _wanted(seen: Seen) -> str:
    return seen.marks.redirect_uri


def _fitted(seen: Seen) -> bool:
    return seen.connection is not None and seen.connection.redirect_uri != seen.marks.redirect_uri


def _swapped(uri: str) -> str:
    return (
        uri.replace("//localhost", "//127.0.0.1") if "//localhost" in uri else uri.replace("//127.0.0.1", "//localhost")
    )


LESSONS = (FirstConnection(), RedirectMismatch(), *MENDING)
