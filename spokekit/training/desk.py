"""The practice site as a lesson steers it, over its control routes: state, start, and what others do on it.

The orders are those of the site's ``POST /practice/orders``: ``{"do": "add", "group": NAME, "account": ID}`` for a
colleague, ``advance`` for time, ``faults`` for the weather, and so on.
"""

from __future__ import annotations

import json
import os
import re
import weakref
from collections.abc import Iterable, Mapping
from functools import cached_property
from html import unescape
from typing import TYPE_CHECKING, Any

from spokekit._http import clean, client, json_of
from spokekit._secret import Secret
from spokekit._surroundings import is_loopback
from spokekit.connections.fields import host_of
from spokekit.errors import NotFound, SpokekitError
from spokekit.training.lesson import Start
from spokekit.training.seen import SiteState

if TYPE_CHECKING:
    import httpx2

    from spokekit.handover import SignIn

VARIABLE = "SPOKEKIT_PRACTICE"
HEADER = "X-Practice-Key"
START = "Start `spokekit lab`, or a command beside a site: spokekit practice COMMAND (bash, for example)."
_SECONDS = 30.0
_TOLD = {"url": str, "auth_url": str, "client_id": str, "key": str, "redirect_uris": list}


class Desk:
    """A running practice site.

    Parameters
    ----------
    about:
        What the site says of itself, its key included: the line of ``spokekit practice``.
    """

    def __init__(self, about: Mapping[str, Any]) -> None:
        self.about = dict(about)

    def __repr__(self) -> str:
        return f"Desk({self.about.get('url')!r})"

    @property
    def is_practice(self) -> bool:
        """True when the site is on this computer, where practice sites are."""
        return is_loopback(host_of(str(self.about.get("url", ""))))

    # -- asking --------------------------------------------------------------------------------------------------------

    def state(self) -> SiteState:
        """Return the site's state; raises `SpokekitError` when it does not answer."""
        try:
            return _read(self._ask("GET", "practice/state"))
        except (LookupError, TypeError, AttributeError, ValueError):
            raise SpokekitError(
                "What answers at the practice site's address is no practice site of this version.", hint=START
            ) from None

    def order(self, *orders: Mapping[str, Any]) -> None:
        """Carry orders out, one after the other; raises `SpokekitError` at the first one that cannot be."""
        self.results(*orders)

    def results(self, *orders: Mapping[str, Any]) -> list[Any]:
        """Carry orders out as `order` does, and return the result of each."""
        if not orders:
            return []
        return list(self._ask("POST", "practice/orders", {"orders": [dict(order) for order in orders]})["results"])

    def instance(self) -> Mapping[str, str]:
        """Return what the practice instance beside the site says of itself, for somebody who signs in there.

        Raises `SpokekitError` where there is none, and for one that is on another computer.
        """
        (told,) = self.results({"do": "instance"})
        if not is_loopback(host_of(str(told["url"]))):
            raise SpokekitError("A lesson hands over to a practice instance only.", hint=START)
        return dict(told)

    def sign_in(self) -> SignIn:
        """Return how somebody signs in at the practice instance; raises as `instance` does."""
        from spokekit.handover import SignIn

        return SignIn("api-key", Secret(self.instance()["api_key"]))

    def struck(self) -> list[tuple[tuple[str, int, str], int]]:
        """Return the faults at work that end by themselves, as name, times and operation, and how often each struck."""
        try:
            return [
                ((str(one["name"]), int(one["times"]), str(one["on"])), int(one["struck"]))
                for one in self._ask("GET", "practice/state")["faults"]
                if one["times"] is not None
            ]
        except (LookupError, TypeError, ValueError):
            raise SpokekitError("The practice site's faults cannot be read.", hint=START) from None

    def reset(self, start: Start, *, seed: int | None = None) -> None:
        """Make the site anew as a lesson begins; in the world of `seed`, else in the one that it has."""
        self.order(
            {
                "do": "reset",
                **({"seed": seed} if seed is not None else {}),
                "sites": start.sites,
                "signed_in": start.signed_in,
                "switches": dict(start.switches),
                "faults": list(start.faults),
            },
            *([{"do": "make-instance"}] if start.instance else []),
            *start.orders,
        )

    def console(
        self, client_id: str, *, redirect_uris: Iterable[str] | None = None, scopes: Iterable[str] | None = None
    ) -> None:
        """Change an app as in the developer console."""
        given = {"redirect_uris": redirect_uris, "scopes": scopes}
        changed = {name: list(value) for name, value in given.items() if value is not None}
        self.order({"do": "app", "client_id": client_id, **changed})

    def allow_redirect(self, uri: str) -> None:
        """Register a callback URL with every app that does not know it yet."""
        for app in self.state().apps:
            if uri not in app.redirect_uris:
                self.console(app.client_id, redirect_uris=(*app.redirect_uris, uri))

    def secret_of(self, client_id: str) -> Secret:
        """Return the client secret of an app, as the console shows it; raises `NotFound` when there is no such app."""
        page = unescape(self._send("GET", "console", None).text)
        for block in page.split("<section>"):
            found = re.search(r"practice-secret-[0-9a-f]+", block)
            if client_id in block and found:
                return Secret(found[0])
        raise NotFound("The practice site's console has no app with this client ID.", hint="Begin the lesson again.")

    # -- inside --------------------------------------------------------------------------------------------------------

    def _ask(self, method: str, path: str, body: Any = None) -> Any:
        answer = self._send(method, path, body)
        found = json_of(answer.content)
        if answer.status_code == 200 and isinstance(found, dict):
            return found
        told = found.get("message") if isinstance(found, dict) else None
        if answer.status_code == 403:
            told = "the key of this practice site is missing or another one"
        raise SpokekitError(f"The practice site refused: {clean(told or answer.status_code)}.", hint=START)

    @cached_property
    def _client(self) -> httpx2.Client:
        made = client(str(self.about["url"]), timeout=_SECONDS)
        weakref.finalize(self, made.close)
        return made

    def close(self) -> None:
        """Close the connections to the site."""
        if "_client" in self.__dict__:
            self._client.close()

    def _send(self, method: str, path: str, body: Any) -> Any:
        import httpx2

        headers = {HEADER: str(self.about.get("key", ""))}
        if body is not None:
            headers["Content-Type"] = "application/json"
        try:
            content = None if body is None else json.dumps(body).encode()
            return self._client.request(method, f"{self.about['url']}{path}", headers=headers, content=content)
        # An address that is none, and a key that no header takes, are found out only here.
        except (httpx2.HTTPError, httpx2.InvalidURL, ValueError) as error:
            raise SpokekitError(
                f"The practice site does not answer ({type(error).__name__}).",
                likely="It was stopped: it ends with what started it.",
                hint=f"{START} Your attempts are kept.",
            ) from None


def desk_here() -> Desk:
    """Return the practice site that ``SPOKEKIT_PRACTICE`` names; raises `SpokekitError` where there is none."""
    said = os.environ.get(VARIABLE, "").strip()
    if not said:
        raise SpokekitError("There is no practice site here, and lessons begin on one only.", hint=START)
    found = json_of(said.encode())
    if not isinstance(found, dict) or not all(isinstance(found.get(name), kind) for name, kind in _TOLD.items()):
        raise SpokekitError(f"{VARIABLE} does not hold what `spokekit practice` prints.", hint=START)
    return Desk(found)


def _read(found: Mapping[str, Any]) -> SiteState:
    first, signed_in = found["sites"][0], found["signed_in"]
    authorised = {one["client_id"] for one in found["authorised"]}
    told = {
        "signed_in": signed_in["role"],
        "account_id": signed_in["account_id"],
        "sites": [(site["cloud_id"], site["name"]) for site in found["sites"]],
        "apps": [{**app, "authorized": app["client_id"] in authorised} for app in found["apps"]],
        "groups": [{**group, "access": ", ".join(group["access"])} for group in first["groups"]],
        "people": [{**one, "is_guest": one["guest"], "is_app": one["type"] == "app"} for one in first["people"]],
        "counts": found["requests"],
        "licensed": first["licensed"],
        "instance": found.get("instance") or None,
        "writes": [{**write, "action": write["name"]} for write in found["writes"] if write["changed"]],
    }
    return SiteState.from_json({**found, **told})
