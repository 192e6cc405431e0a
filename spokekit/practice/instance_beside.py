"""The practice instance that a practice site has beside it when a lesson asks for one.

It is served on a port of its own, by the same process: its address and key follow from the site's, it is kept with the
site over a restart, and **Get OAuth Token** on it asks this site's apps. Orders of `spokekit.practice.control` make it,
and do on it what is done by hand there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from spokekit.errors import InputError, NotFound
from spokekit.practice.exchange import Answer
from spokekit.practice.instance import InstanceSwitches, PracticeInstance
from spokekit.practice.instance.tables import SHOWN, columns
from spokekit.practice.instance.token import TYPED, digest
from spokekit.practice.pages.account import links
from spokekit.practice.pages.consent import page

if TYPE_CHECKING:
    from spokekit.practice.server import PracticeSite

_KEPT = (*SHOWN, "oauth_credential")
_MOST_VALUE = 10_000


class InstanceBeside:
    """The practice instance beside one site; None until it is made, and again once the site was put back.

    Attributes
    ----------
    made:
        The `PracticeInstance`, or None.
    """

    def __init__(self, site: PracticeSite) -> None:
        self._site = site
        self.made: PracticeInstance | None = None
        # Its server stays for the next one: an address that a notebook knows goes on.
        self._served: PracticeInstance | None = None
        self._serving = False
        self._port = 0

    # -- making it -----------------------------------------------------------------------------------------------------

    def make(self, faults: Sequence[str] = (), switches: Mapping[str, Any] | None = None) -> PracticeInstance:
        """Make the instance anew, as it is delivered; raises `InputError` for a fault or a switch that is none."""
        key = self._site.app_make.secret("instance").removeprefix("practice-secret-")
        new = PracticeInstance(
            faults=faults, api_key=key, ask=self._ask, changed=self._site.keep_soon, **(switches or {})
        )
        if self._served is None:
            self._served = new
        else:
            self._served.become(new)
        self.made = self._served
        self.start()
        return self.made

    def forget(self) -> None:
        """Take the instance away, as the site is put back; who asks it finds one that is as delivered."""
        if self._served is not None and self.made is not None:
            self.make()
        self.made = None

    def start(self) -> None:
        """Serve the instance, if there is one and the site is served; on the port of the day before if that is free."""
        if self._served is None or self._serving or not self._site.serving:
            return
        try:
            self._served.start(self._port)
        except InputError:
            self._served.start(0)
        self._serving, self._port = True, self._served.port

    def stop(self) -> None:
        """Stop serving."""
        if self._served is not None and self._serving:
            self._served.stop()
            self._serving = False

    # -- asking Atlassian ----------------------------------------------------------------------------------------------

    def _ask(self, client_id: str, secret: str, redirect_url: str, scopes: Sequence[str]) -> str:
        """Say why the site gives the instance no token; "" where it does."""
        app = self._site.auth.app(client_id)
        if app is None:
            return "Atlassian: there is no app with this client ID."
        if redirect_url not in app.redirect_uris:
            return f"Atlassian: redirect_uri is not registered for {app.name}."
        if lacking := [scope for scope in scopes if scope not in (*app.scopes, "offline_access")]:
            return f"Atlassian: {app.name} has not enabled {', '.join(lacking)} (invalid_scope)."
        if secret != digest(app.client_secret):
            return "Atlassian: invalid_client. The client secret is empty, unreadable, or of another app."
        return ""

    def secrets(self) -> dict[str, str]:
        """Return whose secret each registry holds: an app's name, ``another``, ``unreadable`` or ""."""
        if self.made is None:
            return {}
        names = {digest(app.client_secret): app.name for app in self._site.apps}
        held = {key: row.get("client_secret", "") for key, row in self.made.data.rows["oauth_entity"].items()}
        return {
            key: names.get(secret, "another") if secret.startswith(TYPED) else "unreadable" if secret else ""
            for key, secret in held.items()
        }

    # -- telling -------------------------------------------------------------------------------------------------------

    def there(self) -> PracticeInstance:
        """Return the instance; raises `NotFound` where there is none."""
        if self.made is None:
            raise NotFound("This practice site has no practice instance beside it; a lesson makes one.")
        return self.made

    def state(self) -> dict[str, Any] | None:
        """Return the instance as `spokekit.practice.state` tells it, without any secret; None where there is none."""
        if self.made is None:
            return None
        data = self.made.data
        shown = {name: [one for one, column in columns(name).items() if column.kind != "password2"] for name in SHOWN}
        return {
            "url": self.made.url if self._serving else "",
            "parent_sys_id": self.made.parent_sys_id,
            "records": {
                table: {key: {name: row.get(name, "") for name in names} for key, row in data.rows[table].items()}
                for table, names in shown.items()
            },
            "secrets": self.secrets(),
            "tokens": sorted({row.get("of", "") for row in data.rows["oauth_credential"].values()}),
            "imported": self.made.imported,
            "refused": self.made.refused,
        }

    def page(self, form: Mapping[str, str] | None) -> Answer:
        """Show the instance's records as a page of the site; with a form, do what it asks for first."""
        if self.made is None:
            words = "A lesson of the hand-over makes one when it begins."
            return page("No practice instance", f"{links('')}<h1>There is no practice instance</h1><p>{words}</p>")
        return self.made.page_of(form, links(""))

    # -- over a restart ------------------------------------------------------------------------------------------------

    def kept(self) -> dict[str, Any] | None:
        """Return what a restart must not lose; secrets that were typed are digests."""
        if self.made is None:
            return None
        rows = {table: dict(self.made.data.rows[table]) for table in _KEPT}
        return {"port": self._port, "rows": rows, "imported": self.made.imported, "refused": self.made.refused}

    def put_back(self, kept: Any) -> None:
        """Make the instance as `kept` found it; raises `ValueError`, `LookupError` or `TypeError` for what is none."""
        if kept is None:
            return
        rows = {
            table: {str(key): {str(name): _text(value) for name, value in row.items()} for key, row in found.items()}
            for table, found in kept["rows"].items()
            if table in _KEPT
        }
        port, imported, refused = (int(kept[name]) for name in ("port", "imported", "refused"))
        self._port = port if 0 <= port < 65536 else 0
        made = self.make()
        made.data.rows.update(rows)
        made.imported, made.refused = imported, refused


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError("text is expected")
    return value


# -- orders ------------------------------------------------------------------------------------------------------------

Order = Mapping[str, Any]


def _value(order: Order, name: str) -> str:
    value = order.get(name)
    if not isinstance(value, str) or len(value) > _MOST_VALUE:
        raise InputError(f"The order needs {name!r}, a text.", field=name)
    return value


def make(site: PracticeSite, order: Order) -> dict[str, str]:
    """Do ``make-instance``."""
    faults, switches = order.get("faults", []), order.get("switches", {})
    if not isinstance(faults, list) or not all(isinstance(one, str) for one in faults):
        raise InputError("faults is a list of texts.", field="faults")
    if not isinstance(switches, dict):
        raise InputError("switches is an object with switches of an instance.", field="switches")
    return site.instance_beside.make(faults, InstanceSwitches.read(switches)).describe()


def secret(site: PracticeSite, order: Order) -> str:
    """Do ``instance-secret``."""
    return site.instance_beside.there().save_secret(_value(order, "registry"), _value(order, "secret"))


def token(site: PracticeSite, order: Order) -> dict[str, str]:
    """Do ``instance-token``; a refusal is its result, as it is the page's."""
    made, credential = site.instance_beside.there(), _value(order, "credential")
    try:
        return {"told": made.get_token(credential), "refused": ""}
    except InputError as error:
        return {"told": "", "refused": error.message}


def change(site: PracticeSite, order: Order) -> None:
    """Do ``instance-record``."""
    data = site.instance_beside.there().data
    table, key, values = _value(order, "table"), _value(order, "sys_id"), order.get("values")
    if table not in _KEPT:
        raise NotFound(f"The practice instance has no table {table!r}.")
    if values is None:
        if data.rows[table].pop(key, None) is None:
            raise NotFound("There is no such record on the practice instance.")
        return
    if not isinstance(values, dict) or not all(isinstance(one, str) for one in values.values()):
        raise InputError("values is an object with texts.", field="values")
    data.put(table, values, key)
