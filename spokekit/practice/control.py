"""Steering a practice site while it runs: what programs of the same person may ask of it over HTTP.

Every route here wants the site's key in the header ``X-Practice-Key``; it is ``key`` in the site's JSON line (the
environment variable ``SPOKEKIT_PRACTICE``). Without it the answer is 403, with a page of another origin as well. A body
is a JSON object with ``Content-Type: application/json`` (415 otherwise). An answer that refuses is
``{"message": "a sentence", ...}``.

``GET /practice/state``
    What the site is like now, `spokekit.practice.state.state_of`::

        {"layout": 1, "at": POSIX seconds by the site's clock, "quiet": true,
         "begun": a word that is another one after each reset,
         "start": {"size", "seed", "sites", "signed_in", "faults", "switches"},
         "signed_in": {"role": "admin", "account_id", "name"},
         "sites": [{"cloud_id", "name", "whole": true, "licensed": 93,
                    "groups": [{"group_id", "name", "access": ["user"], "managed_by", "members": [account ids]}],
                    "people": [{"account_id", "name", "type", "status", "guest", "licensed", "site_admin"}]}],
         "apps": [{"name", "client_id", "scopes", "redirect_uris", "distribution", "secrets_made"}],
         "consents": [{"client_id", "account_id", "scopes", "sites", "access_tokens": 1, "renewable": true}],
         "authorised": [{"client_id", "cloud_id"}],
         "limits": [{"client_id", "spent", "left"}],
         "switches": {those that are not as usual}, "faults": [{"name", "value", "every", "times", "on", "struck"}],
         "triggers": [{"at", "nth", "when", "seen", "done": whether its orders were done, "problem": why one was not}],
         "requests": {operation: how many}, "refused": {operation: how many with a status of 400 or more},
         "writes": [{"at", "name": "add" or "remove", "cloud_id", "group_id", "group", "account_id", "by", "client_id",
                     "status", "changed", "request"}],
         "instance": null, or {"url", "parent_sys_id", "records": {table: {sys_id: {column: value}}},
                    "secrets": {registry: an app's name, "another", "unreadable" or ""}, "tokens": [profiles],
                    "imported": records that came as XML, "refused": how often no token came}}

    ``whole`` is false for a world of more than 5,000 people: ``groups`` and ``people`` are empty then. ``writes`` are
    the membership writes that came over the API, oldest first, refused ones included; ``by`` is the account id of whose
    token it was, ``changed`` whether somebody is in or out of the group since.

``POST /practice/orders``, body ``{"orders": [{"do": VERB, ...}, ...]}``
    Does the orders one after the other and answers ``{"done": how many, "results": [one for each]}``. The first one
    that cannot be done ends it: 400, or 409 for "not now", with ``{"message", "field", "order": its index, "done"}``.
    Where there are several sites, ``site`` is the number of one, 0 when left out. Verbs:

    ==================  =======================================================================================
    ``reset``           ``size, seed, sites, signed_in, switches, faults, triggers``, each optional: a new world,
                        in place, nothing consented to, no point spent, clock at the present. Port, key, client
                        ids and secrets stay, and the quota window unless ``switches`` names another one.
                        Result: the sites, as in the JSON line.
    ``advance``         ``seconds`` (more than 0): the clock goes forward. 409 as long as somebody is in the middle
                        of a consent or a request (``quiet`` is false); ``"even": true`` does it all the same.
    ``switches``        ``set``: ``{name: value}``, see `Switches`.
    ``sign-in``         ``as``: ``admin``, ``member``, ``guest`` or ``outsider``: who is signed in in the browser.
    ``faults``          ``clear``: true or a list of names; ``add``: a list of texts for `Fault.parse`.
    ``spend``           ``client_id`` (the first app when left out) and ``points``, or ``leave``: how many are to be
                        left in this quota window.
    ``change-password`` ``account`` (who is signed in when left out): ends the refresh tokens.
    ``remove-app``      ``account``, ``client_id`` (all apps when left out): takes the consent back.
    ``kill-access``     Ends every access token given until now; a refresh helps.
    ``app``             ``client_id``, and what is to change of ``scopes``, ``redirect_uris``, ``distribution``;
                        ``"new-secret": true`` makes the secret anew.
    ``create-app``      ``name``, and optionally ``scopes``, ``redirect_uris``. Result: ``{"client_id"}``.
    ``create-account``  ``name``, and optionally ``scopes``, ``account``, ``sites`` (cloud ids): a service account's
                        credential. Result: ``{"client_id", "client_secret", "account_id"}``.
    ``revoke-account``  ``client_id``: a service account's credential and its tokens end.
    ``authorise``       ``client_id``, and ``"allowed": false`` to take it back: the admin's authorisation for all.
    ``add``             ``group`` (name or id) and ``account`` (account id or display name): a colleague puts somebody
                        into a group, past the API; ``remove`` takes somebody out. Result: whether it changed anything.
    ``create-group``    ``name``, ``access`` (list of user, admin, site-admin). Result: ``{"group_id"}``.
    ``rename-group``    ``group``, ``name``.
    ``delete-group``    ``group``.
    ``status``          ``account``, ``status``: active, inactive or closed.
    ``rename-person``   ``account``, ``name``.
    ``trigger``         ``at`` (an operation, or ``write`` for add and remove), ``nth`` (1), ``when`` (``before`` the
                        request is answered, or ``after``) and ``orders``: done once, at that request. Orders in it
                        are any but reset, restore and the two on triggers.
    ``clear-triggers``  Takes all triggers away.
    ``make-instance``   ``faults``, ``switches``, each optional: a practice instance beside the site, as delivered, at
                        an address that stays. Result: its address and what somebody signs in with. A reset takes it
                        away.
    ``instance``        Result: the same of the one that is there.
    ``instance-secret`` ``registry`` (sys_id), ``secret``: somebody types the client secret there. Result: in words.
    ``instance-token``  ``credential`` (sys_id): somebody presses **Get OAuth Token**. Result: ``{"told", "refused"}``.
    ``instance-record`` ``table``, ``sys_id``, ``values``: somebody edits or makes a record there; without ``values``,
                        deletes it.
    ``restore``         ``kept``: what ``GET /practice/kept`` gave.
    ==================  =======================================================================================

``GET /practice/kept``
    All of the site that a restart would keep (`spokekit.practice.kept.kept_of`), for ``restore``: worlds, apps,
    consents, tokens as digests, clock, switches, triggers, and of the faults those that end by themselves
    (``xTIMES``); no request log.

``GET /practice/happened``
    What happened, in words, oldest first, 200 lines at most (`spokekit.practice.happened`)::

        {"lines": [{"at", "who": "a display name or empty", "words", "outcome", "points", "count"}]}

``GET /practice/known``
    Whether an access token, sent as ``Authorization: Bearer ...``, works now, and whether the site gave it, alive or
    dead: ``{"known": true, "given": true}``. It asks for no key: who has the token may ask, as at any other route.

``GET`` and ``POST /practice/faults``
    The faults at work and the menu; ``{"clear": true, "add": ["429:3"]}`` as with the verb ``faults``.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from spokekit.errors import Conflict, InputError, NotFound, SpokekitError
from spokekit.practice import instance_beside
from spokekit.practice.exchange import Answer, json_answer, read_object
from spokekit.practice.faults import FAULTS
from spokekit.practice.happened import answer_happened
from spokekit.practice.kept import kept_of, restore
from spokekit.practice.service_accounts import READING_SCOPES, make_service_account, revoke
from spokekit.practice.start import OPERATIONS, as_start, build
from spokekit.practice.state import state_of
from spokekit.practice.triggers import Trigger
from spokekit.practice.world.seeds import ACCESS_WORDS, STATUSES

if TYPE_CHECKING:
    from spokekit.practice.apps import App
    from spokekit.practice.server import PracticeSite
    from spokekit.practice.world import World

Order = dict[str, Any]
MOST_ORDERS = 100


def answer_orders(site: PracticeSite, body: bytes) -> Answer:
    """Answer ``POST /practice/orders``."""
    orders = (read_object(body) or {}).get("orders")
    if (
        not isinstance(orders, list)
        or len(orders) > MOST_ORDERS
        or not all(isinstance(order, dict) for order in orders)
    ):
        return json_answer(400, {"message": 'Send {"orders": [{"do": "reset"}]}, a JSON object.', "done": 0}, points=0)
    results: list[Any] = []
    for number, order in enumerate(orders):
        try:
            results.append(do(site, order))
        except SpokekitError as error:
            words = {"message": error.message, "order": number, "done": number}
            if isinstance(error, InputError) and error.field:
                words["field"] = error.field
            return json_answer(409 if isinstance(error, Conflict) else 400, words, points=0)
    return json_answer(200, {"done": len(results), "results": results}, points=0)


def answer_faults(site: PracticeSite, body: bytes | None) -> Answer:
    """Answer ``/practice/faults``; without a body, what is at work."""
    if body is not None:
        try:
            _faults(site, json.loads(body))
        except (ValueError, AttributeError, TypeError, RecursionError, InputError) as error:
            words = error.message if isinstance(error, InputError) else 'Send {"clear": true, "add": ["429:3"]}.'
            return json_answer(400, {"message": words}, points=0)
    active = [
        {"name": f.name, "value": f.value, "every": f.every, "times": f.times, "on": f.on} for f in site.faults.active
    ]
    return json_answer(200, {"active": active, "menu": FAULTS}, points=0)


ANSWERS: dict[str, tuple[list[str], Callable[[PracticeSite, Any], Answer]]] = {
    "state": (["GET"], lambda site, _: json_answer(200, state_of(site), points=0)),
    "kept": (["GET"], lambda site, _: json_answer(200, kept_of(site), points=0)),
    "happened": (["GET"], lambda site, _: answer_happened(site)),
    "orders": (["POST"], answer_orders),
    "faults": (["GET", "POST"], answer_faults),
}
"""What stands after ``/practice/``, its methods, and what makes the answer of a body (None of a GET)."""


def do(site: PracticeSite, order: Order) -> Any:
    """Do one order and return its result.

    Raises `InputError` for an order that cannot be, `NotFound` for a group or a person who is not there, and `Conflict`
    when it cannot be now.
    """
    verb = _VERBS.get(_text(order, "do"))
    if verb is None:
        raise InputError(f"There is no order {order.get('do')!r}.", field="do", hint=f"Use {', '.join(_VERBS)}.")
    return verb(site, order)


# -- what an order may hold ---------------------------------------------------------------------------------


def _text(order: Order, name: str, default: str | None = None) -> str:
    value = order.get(name, default)
    if not isinstance(value, str) or (default is None and not value):
        raise InputError(f"The order needs {name!r}, a text.", field=name)
    return value


def _number(order: Order, name: str, *, least: float = 0) -> float:
    value = order.get(name)
    if not isinstance(value, int | float) or isinstance(value, bool) or not least <= value < 1e10:
        raise InputError(f"The order needs {name!r}, a number.", field=name)
    return value


def _texts(order: Order, name: str) -> list[str]:
    value = order.get(name, [])
    if not isinstance(value, list) or not all(isinstance(one, str) for one in value):
        raise InputError(f"{name} is a list of texts.", field=name)
    return value


def _world(site: PracticeSite, order: Order) -> World:
    number = order.get("site", 0)
    if not isinstance(number, int) or not 0 <= number < len(site.worlds):
        raise InputError(f"There is no site {number!r}.", field="site")
    return list(site.worlds.values())[number]


def _account(site: PracticeSite, order: Order) -> str:
    return site.world.find_person(_text(order, "account")).account_id


def _account_or_own(site: PracticeSite, order: Order) -> str:
    return _account(site, order) if "account" in order else site.account_id


def _app(site: PracticeSite, order: Order) -> App:
    app = site.auth.app(_text(order, "client_id", site.client_id))
    if app is None:
        raise NotFound("No app has this client id.")
    return app


# -- verbs --------------------------------------------------------------------------------------------------


def _reset(site: PracticeSite, order: Order) -> Any:
    values = {name: value for name, value in order.items() if name not in ("do", "triggers")}
    triggers = order.get("triggers", [])
    if not isinstance(triggers, list) or not all(isinstance(one, dict) for one in triggers):
        raise InputError("triggers is a list of triggers.", field="triggers")
    read = [_read_trigger(one) for one in triggers]
    # A request is under way, this one: `site.reset` would wait for it.
    build(site, as_start(values, site.start_point, site.first_start))
    site.triggers.add(*read)
    return site.describe()["sites"]


def _read_trigger(told: Order) -> Trigger:
    trigger = Trigger.read(told, OPERATIONS)
    for order in trigger.orders:
        if order.get("do") not in _VERBS or order["do"] in _NOT_IN_TRIGGERS:
            raise InputError(f"A trigger cannot do {order.get('do')!r}.", field="orders")
    return trigger


def _advance(site: PracticeSite, order: Order) -> None:
    seconds = _number(order, "seconds")
    if not site.quiet and order.get("even") is not True:
        raise Conflict("Somebody is in the middle of a consent or of a request; try again in a moment.")
    site.advance(seconds)


def _switches(site: PracticeSite, order: Order) -> None:
    values = order.get("set")
    if not isinstance(values, dict):
        raise InputError("The order needs 'set', an object with switches.", field="set")
    site.switches.update(**values)


def _faults(site: PracticeSite, order: Order) -> None:
    added = [site.faults.checked(text) for text in _texts(order, "add")]
    if order.get("clear"):
        site.faults.clear(*(_texts(order, "clear") if isinstance(order["clear"], list) else ()))
    site.faults.add(*added)


def _spend(site: PracticeSite, order: Order) -> None:
    client_id = _app(site, order).client_id
    if "leave" in order:
        points = site.limits.left(client_id) - int(_number(order, "leave"))
    else:
        points = int(_number(order, "points"))
    site.limits.spend(client_id, max(0, points))


def _remove_app(site: PracticeSite, order: Order) -> None:
    site.remove_app(_account_or_own(site, order), app=_app(site, order) if "client_id" in order else None)


def _change_app(site: PracticeSite, order: Order) -> None:
    site.console.change(
        _app(site, order),
        scopes=_texts(order, "scopes") if "scopes" in order else None,
        redirect_uris=_texts(order, "redirect_uris") if "redirect_uris" in order else None,
        distribution=_text(order, "distribution") if "distribution" in order else None,
        new_secret=order.get("new-secret") is True,
    )


def _create_app(site: PracticeSite, order: Order) -> Any:
    app = site.console.create(_text(order, "name"), _texts(order, "scopes"), _texts(order, "redirect_uris"))
    app.owner = site.account_id
    return {"client_id": app.client_id}


def _create_service_account(site: PracticeSite, order: Order) -> Any:
    app = make_service_account(
        site,
        _text(order, "name"),
        scopes=_texts(order, "scopes") if "scopes" in order else READING_SCOPES,
        account=_account(site, order) if "account" in order else None,
        sites=_texts(order, "sites") if "sites" in order else None,
    )
    return {"client_id": app.client_id, "client_secret": app.client_secret, "account_id": app.service_account}


def _revoke_service_account(site: PracticeSite, order: Order) -> None:
    app = _app(site, order)
    if not app.service_account:
        raise InputError("This is the app of people, not a service account's credential.", field="client_id")
    revoke(site.auth, app)


def _authorise(site: PracticeSite, order: Order) -> None:
    pair = (_app(site, order).client_id, _world(site, order).cloud_id)
    (site.auth.authorised.discard if order.get("allowed") is False else site.auth.authorised.add)(pair)


def _create_group(site: PracticeSite, order: Order) -> Any:
    words = _texts(order, "access")
    bits = {word: bit for bit, word in ACCESS_WORDS}
    strange = [word for word in words if word not in bits]
    if strange:
        raise InputError(f"There is no access {strange[0]!r}.", field="access", hint=f"Use {', '.join(bits)}.")
    return {"group_id": _world(site, order).create_group(_text(order, "name"), access=sum(bits[w] for w in set(words)))}


def _rename_group(site: PracticeSite, order: Order) -> None:
    _world(site, order).rename_group(_text(order, "group"), _text(order, "name"))


def _status(site: PracticeSite, order: Order) -> None:
    status = _text(order, "status")
    if status not in STATUSES:
        raise InputError(f"There is no status {status!r}.", field="status", hint=f"Use {', '.join(STATUSES)}.")
    account = _account(site, order)
    # One account on all sites.
    for world in site.worlds.values():
        world.set_status(account, status, at=site.clock.now())


def _rename_person(site: PracticeSite, order: Order) -> None:
    account, name = _account(site, order), _text(order, "name")
    for world in site.worlds.values():
        world.rename_person(account, name, at=site.clock.now())


_VERBS: dict[str, Callable[[PracticeSite, Order], Any]] = {
    "reset": _reset,
    "advance": _advance,
    "switches": _switches,
    "sign-in": lambda site, order: site.sign_in(_text(order, "as")),
    "faults": _faults,
    "spend": _spend,
    "change-password": lambda site, order: site.change_password(_account_or_own(site, order)),
    "remove-app": _remove_app,
    "kill-access": lambda site, _: site.auth.kill_access(),
    "app": _change_app,
    "create-app": _create_app,
    "create-account": _create_service_account,
    "revoke-account": _revoke_service_account,
    "authorise": _authorise,
    "add": lambda site, order: _world(site, order).add_member(_text(order, "group"), _account(site, order)),
    "remove": lambda site, order: _world(site, order).remove_member(_text(order, "group"), _account(site, order)),
    "create-group": _create_group,
    "rename-group": _rename_group,
    "delete-group": lambda site, order: _world(site, order).delete_group(_text(order, "group")),
    "status": _status,
    "rename-person": _rename_person,
    "trigger": lambda site, order: site.triggers.add(_read_trigger(order)),
    "clear-triggers": lambda site, _: site.triggers.clear(),
    "make-instance": instance_beside.make,
    "instance": lambda site, _: site.instance_beside.there().describe(),
    "instance-secret": instance_beside.secret,
    "instance-token": instance_beside.token,
    "instance-record": instance_beside.change,
    "restore": lambda site, order: restore(site, order.get("kept")),
}
_NOT_IN_TRIGGERS = ("reset", "restore", "trigger", "clear-triggers", "make-instance")
