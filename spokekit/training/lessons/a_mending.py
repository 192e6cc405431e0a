"""Chapter A, its second half: a connection that is there and gives no token, or the wrong one."""

from __future__ import annotations

from spokekit._words import comparable
from spokekit.connections.scopes import DEFAULT_SCOPES
from spokekit.training.doer import Doer
from spokekit.training.lesson import Lesson, Start, Turn
from spokekit.training.seen import Seen

FOUR = ("search:confluence", "read:confluence-groups", "write:confluence-groups", "read:confluence-user")
THREE_MORE = ("read:space:confluence", "read:space.permission:confluence", "read:user:confluence")
TWELVE = (*DEFAULT_SCOPES, *THREE_MORE)
NEW_NAME = "Confluence Cloud Europe"
OTHER_APP = "Old integration"
# It is asked for in the address of the consent, and no token lists it in every case.
_UNLISTED = {"offline_access"}
TICKABLE = tuple(scope for scope in DEFAULT_SCOPES if scope not in _UNLISTED)


def connection_name(seen: Seen) -> str:
    """Return what the connection is called, or was called when it is gone."""
    return seen.connection.name if seen.connection else seen.marks.name


def _scopes(seen: Seen) -> frozenset[str]:
    return frozenset(seen.connection.scopes if seen.connection else ())


def _lost(seen: Seen, wanted: tuple[str, ...]) -> list[str]:
    return [scope for scope in wanted if scope not in _scopes(seen)]


def _lacking(seen: Seen, wanted: tuple[str, ...]) -> list[str]:
    return [scope for scope in wanted if scope not in seen.token_scopes and scope not in _UNLISTED]


def _same(seen: Seen) -> bool:
    return seen.connection is not None and seen.connection.connection_id == seen.marks.connection_id


def _ticked(seen: Seen) -> list[str]:
    now, before = seen.site.app(seen.marks.client_id), seen.before.app(seen.marks.client_id)
    return [scope for scope in now.scopes if scope not in before.scopes] if now and before else []


class AppLacksAScope(Lesson):
    """An app that lacks a scope.

    The set-up page of ServiceNow tells people to tick four scopes. The connection asks for nine, and the consent page
    refuses: an app cannot ask a person for what was not ticked on it.
    """

    name = "app-lacks-a-scope"
    minutes = 8
    goal = "The connection asks for its nine scopes, and its token, from the same app, has them."
    first = "Press “Get OAuth Token” and read which scopes the page misses; then open the console."
    start = Start(step=2)
    tools = ("connection",)
    hints = (
        "The page names the scopes that are missing. It is the app that lacks them, not the connection.",
        "In the console, open Permissions of “spokekit practice app”.",
        "Tick the scopes that the page named, press “Save changes”, and get the token: a new consent is needed.",
    )
    turns = (
        Turn(
            "other-app",
            lambda s: s.connection is not None and s.connection.client_id != s.marks.client_id,
            "You took another app, “{other}”. It may have the scopes, and it belongs to somebody else: what it may do "
            "changes without you. Mend the app of this connection.",
            lambda s: {"other": s.app.name if s.app else "nothing"},
            lambda do: (do.edit(client_id=_other(do)), do.type_secret(), do.consent()),
        ),
        Turn(
            "scopes-removed",
            lambda s: bool(_lost(s, DEFAULT_SCOPES)),
            "You took {removed} out of the connection until the page was content. What needs them is refused from now "
            "on: put them back and tick them on the app.",
            lambda s: {"removed": _lost(s, DEFAULT_SCOPES)},
            lambda do: (do.edit(scopes=FOUR), do.consent()),
        ),
        Turn(
            "ticked-without-consent",
            lambda s: bool(_ticked(s)) and bool(_lacking(s, DEFAULT_SCOPES)),
            "You ticked {ticked} on the app. A token has what a person consented to, so get one now.",
            lambda s: {"ticked": _ticked(s)},
            lambda do: do.tick(TICKABLE),
        ),
    )
    steps = (
        "Read on the consent page which scopes are missing.",
        "In the console, tick them under Permissions of “spokekit practice app”, and press “Save changes”.",
        "Press “Get OAuth Token” and Accept.",
    )
    shown = "The app has the nine scopes, and so has the token."
    at_work = "At work, a page that names missing scopes is mended on the app; then everybody consents anew."

    def prepare(self, do: Doer) -> None:
        do.tick(FOUR)
        uris = list(do.site.apps[0].redirect_uris)
        do.order({"do": "create-app", "name": OTHER_APP, "scopes": list(TICKABLE), "redirect_uris": uris})

    def attempted(self, seen: Seen) -> bool:
        return bool(_ticked(seen)) or seen.has_token or bool(_lost(seen, DEFAULT_SCOPES)) or not self._own_app(seen)

    def _own_app(self, seen: Seen) -> bool:
        return seen.connection is not None and seen.connection.client_id == seen.marks.client_id

    def right(self, seen: Seen) -> bool:
        whole = not _lost(seen, DEFAULT_SCOPES) and not _lacking(seen, DEFAULT_SCOPES)
        return whole and self._own_app(seen) and seen.token_works

    def missing(self, seen: Seen) -> str:
        return "The token does not have all nine scopes of the connection yet."

    def solve(self, do: Doer) -> None:
        do.tick(TICKABLE)
        do.consent()


def _other(do: Doer) -> str:
    return next(app.client_id for app in do.site.apps if app.name == OTHER_APP)


class WrongSite(Lesson):
    """The wrong site.

    The company has two Confluence sites, and one consent covers both. The spoke works with one: the wrong choice shows
    the groups of the wrong company.
    """

    name = "wrong-site"
    minutes = 5
    goal = "The connection has a token, and its site is {wanted}."
    first = "Press “Get OAuth Token”, accept, and choose the site."
    start = Start(step=2, sites=2)
    tools = ("connection",)
    hints = (
        "After the consent, the component lists the sites that the token reaches.",
        "Choose {wanted} in that list; a token for several sites is good for one only after that.",
    )
    turns = (
        Turn(
            "the-other-site",
            lambda s: bool(s.connection and s.connection.cloud_id) and not _wanted_site(s),
            "You chose {chosen}. Its groups are not the ones you were asked about. Choose the other site; no new "
            "consent is needed.",
            lambda s: {"chosen": (s.connection.site_name or "") if s.connection else ""},
            lambda do: do.consent(site=do.site.sites[0][0]),
        ),
        Turn(
            "none-chosen",
            lambda s: s.has_token and not (s.connection and s.connection.cloud_id),
            "The token for “{undecided}” is there, and reaches two sites. Nothing works until one is chosen.",
            lambda s: {"undecided": connection_name(s)},
            lambda do: do.consent(),
        ),
    )
    steps = ("Press “Get OAuth Token” and Accept.", "Choose {wanted} among the sites that are listed.")
    shown = "The token is used for {wanted}."
    at_work = "At work, look at the site's name in the connection before the first change: names of groups repeat."

    def facts(self, seen: Seen) -> dict[str, str]:
        return {"wanted": seen.before.sites[1][1]}

    def attempted(self, seen: Seen) -> bool:
        return seen.has_token

    def right(self, seen: Seen) -> bool:
        return _wanted_site(seen) and seen.token_works

    def missing(self, seen: Seen) -> str:
        return "The token is not taken by the site that you chose."

    def solve(self, do: Doer) -> None:
        do.consent(site=do.site.sites[1][0])


def _wanted_site(seen: Seen) -> bool:
    return seen.connection is not None and seen.connection.cloud_id == seen.before.sites[1][0]


class DeclinedConsent(Lesson):
    """A declined consent.

    A colleague opened the consent page, did not know what it was about, and pressed Cancel. Nothing is broken: the
    connection and its secret are as they were.
    """

    name = "declined-consent"
    minutes = 3
    goal = "The connection that was there has a token; it was not made anew, and its secret is as it was."
    first = "Look at the connection: all it lacks is a consent."
    start = Start(step=2)
    tools = ("connection",)
    hints = (
        "Cancel on the consent page changes nothing. What is there can be used as it is.",
        "Press “Get OAuth Token” once more, and Accept.",
    )
    turns = (
        Turn(
            "made-anew",
            lambda s: bool(s.new_connections),
            "You made “{made}” anew. Registered groups and the journal belong to the one that was there; nothing "
            "was wrong with it.",
            lambda s: {"made": [c.name for c in s.new_connections]},
            lambda do: (do.remove_connection(), do.save(), do.consent()),
        ),
        Turn(
            "secret-retyped",
            lambda s: _same(s) and not s.secret_fits,
            "You typed another client secret into “{retyped}”. The one that was there was right; copy it from the "
            "console again.",
            lambda s: {"retyped": connection_name(s)},
            lambda do: do.type_secret("mistyped"),
        ),
    )
    steps = ("Press “Get OAuth Token” at the connection.", "Press Accept on the consent page.")
    shown = "A declined consent was answered by an accepted one, and nothing else was touched."
    at_work = "At work, “access_denied” means that a person pressed Cancel. Ask why, and let them repeat it."

    def prepare(self, do: Doer) -> None:
        do.consent("cancel")

    def attempted(self, seen: Seen) -> bool:
        return seen.has_token or bool(seen.new_connections) or not _same(seen) or not seen.secret_fits

    def right(self, seen: Seen) -> bool:
        return _same(seen) and not seen.new_connections and seen.secret_fits and seen.token_works

    def missing(self, seen: Seen) -> str:
        return "The connection has no token yet. It needs a consent, and nothing else."

    def solve(self, do: Doer) -> None:
        do.consent()


def _person(seen: Seen) -> str:
    return seen.before.account_id


class AdminMustAuthorise(Lesson):
    """An admin must authorise.

    You are signed in as somebody who is no administrator, and the organisation lets nobody use an app that no site
    administrator has authorised. The consent page says so, and the app hears nothing.
    """

    name = "admin-must-authorise"
    minutes = 8
    goal = "The connection has a token of {person}, and a site administrator has authorised the app."
    first = "Press “Get OAuth Token” and read what the page says."
    start = Start(step=2, signed_in="member", switches={"user_apps_blocked": True})
    tools = ("connection",)
    hints = (
        "Two people are needed: one who authorises the app, and one who consents.",
        "A site administrator authorises the app once; the practice site lets you be that person on its pages.",
        "Sign in as the administrator, authorise the app, sign in as {person} again, and get the token.",
    )
    turns = (
        Turn(
            "stayed-admin",
            lambda s: s.has_token and bool(s.token_account) and s.token_account != _person(s),
            "The token speaks for {admin}: everything that the spoke does would be done with an administrator's "
            "rights, and in that name. Sign in as yourself and consent again.",
            lambda s: {"admin": s.site.name_of(s.token_account)},
            lambda do: do.order({"do": "sign-in", "as": "admin"}).consent(),
        ),
        Turn(
            "block-lifted",
            lambda s: bool(s.before.switches.get("user_apps_blocked")) and not s.site.switches.get("user_apps_blocked"),
            "It works: apps of all kinds are allowed for everybody on {opened} now. That is more than this app needed.",
            lambda s: {"opened": s.site.sites[0][1]},
            lambda do: do.order({"do": "switches", "set": {"user_apps_blocked": False}}).consent(),
            remark=True,
        ),
    )
    steps = (
        "Read on the page that a site administrator must authorise the app.",
        "Sign in as the administrator and authorise the app.",
        "Sign in as {person} again, press “Get OAuth Token”, and Accept.",
    )
    shown = "The administrator authorised the app, and the token speaks for {person}."
    at_work = "At work, send your site administrator the app's name and its scopes, and consent with your own account."

    def facts(self, seen: Seen) -> dict[str, str]:
        return {"person": seen.before.name_of(_person(seen))}

    def attempted(self, seen: Seen) -> bool:
        return seen.has_token or self._opened(seen)

    def _opened(self, seen: Seen) -> bool:
        app = seen.site.app(seen.marks.client_id)
        return bool(app and app.authorized) or not seen.site.switches.get("user_apps_blocked")

    def right(self, seen: Seen) -> bool:
        return self._opened(seen) and seen.token_account == _person(seen) and seen.token_works

    def missing(self, seen: Seen) -> str:
        if self._opened(seen):
            return "The app is authorised. Now the person whose token it is to be has to consent."
        return "No site administrator has authorised the app yet."

    def solve(self, do: Doer) -> None:
        do.order({"do": "authorise", "client_id": do.connection.client_id}).consent()


class ScopesResetOnEdit(Lesson):
    """Scopes that go back on Edit.

    The connection was given three more scopes, twelve in all, so that the audit can read spaces. Now it is to be
    called “Confluence Cloud Europe”. As in ServiceNow, the form that Edit opens has the default scopes in it again.
    """

    name = "scopes-reset-on-edit"
    minutes = 6
    goal = f"The connection is called “{NEW_NAME}”, and it and its token have all twelve scopes."
    first = "Edit the connection, change its name, and look at the scopes before you save."
    start = Start(step=2)
    tools = ("connection",)
    hints = (
        "The form says that the saved connection has other scopes, and offers to put them back.",
        "Change the name, press the button that puts the saved scopes back, then save.",
        "If you have saved with nine already: edit again, put {more} back, save, and get a token for all twelve.",
    )
    turns = (
        Turn(
            "saved-with-the-default",
            lambda s: bool(_lost(s, TWELVE)),
            "Saved without {lost}: the form had the default scopes in it. Put them back in the connection.",
            lambda s: {"lost": _lost(s, TWELVE)},
            lambda do: do.edit(name=NEW_NAME, scopes=DEFAULT_SCOPES),
        ),
        Turn(
            "token-has-fewer",
            lambda s: bool(_lacking(s, TWELVE)),
            "The connection has all twelve, and its token lacks {lacking}: it is older. Get a token anew.",
            lambda s: {"lacking": _lacking(s, TWELVE)},
            lambda do: (do.edit(name=NEW_NAME, scopes=DEFAULT_SCOPES), do.consent(), do.edit(scopes=TWELVE)),
        ),
    )
    steps = (
        f"Edit the connection, and change its name to “{NEW_NAME}”.",
        "Put the saved scopes back before you save: {more} among them.",
        "Get a token anew if one was given for fewer scopes meanwhile.",
    )
    shown = "The name is new, and no scope was lost on the way."
    at_work = "At work, ServiceNow's form says nothing when Edit takes scopes away; the spoke fails days later."

    def prepare(self, do: Doer) -> None:
        do.edit(scopes=TWELVE)
        do.consent()

    def facts(self, seen: Seen) -> dict[str, tuple[str, ...]]:
        return {"more": THREE_MORE}

    def _named(self, seen: Seen) -> bool:
        return comparable(connection_name(seen)) == comparable(NEW_NAME)

    def attempted(self, seen: Seen) -> bool:
        return self._named(seen) or connection_name(seen) != seen.marks.name or bool(_lost(seen, TWELVE))

    def right(self, seen: Seen) -> bool:
        return self._named(seen) and not _lost(seen, TWELVE) and not _lacking(seen, TWELVE) and seen.token_works

    def missing(self, seen: Seen) -> str:
        return f"The connection is not called “{NEW_NAME}” yet."

    def solve(self, do: Doer) -> None:
        do.edit(name=NEW_NAME)


def _new_secrets(seen: Seen) -> bool:
    now, before = seen.site.app(seen.marks.client_id), seen.before.app(seen.marks.client_id)
    return bool(now and before and now.secrets_made > before.secrets_made)


class ConsentIsDead(Lesson):
    """The consent is dead.

    Nobody has used the connection for 91 days. A refresh token that lies unused for 90 is dead, and so is the consent;
    the connection itself is as it was.
    """

    name = "consent-is-dead"
    minutes = 5
    goal = "The same connection has a token again, with the same client secret."
    first = "Check the connection, and read what is wrong with its token."
    start = Start(step=3)
    tools = ("connection",)
    hints = (
        "The connection, its client ID and its secret do not age. The consent does.",
        "Press “Get OAuth Token” at the connection that is there, and Accept.",
    )
    turns = (
        Turn(
            "new-connection",
            lambda s: bool(s.new_connections),
            "You made a new connection, “{second}”. The groups and the journal stay with the old one, which lacked a "
            "consent and nothing else.",
            lambda s: {"second": [c.name for c in s.new_connections]},
            lambda do: do.consent(connection=do.add_connection("Second connection")),
        ),
        Turn(
            "new-secret",
            _new_secrets,
            "You made the secret of “{app}” anew. Everybody else who uses this app is locked out until they have it, "
            "and the secret had not aged.",
            lambda s: {"app": s.app.name if s.app else ""},
            lambda do: (
                do.order({"do": "app", "client_id": do.connection.client_id, "new-secret": True}),
                do.type_secret(),
                do.consent(),
            ),
        ),
    )
    steps = ("Press “Get OAuth Token” at the connection that is there.", "Press Accept on the consent page.")
    shown = "The connection has a new consent, and nothing else was replaced."
    at_work = "At work, a walk once a week keeps a consent alive; after 90 quiet days a person has to consent again."

    def prepare(self, do: Doer) -> None:
        do.order({"do": "advance", "seconds": 91 * 86_400, "even": True})

    def attempted(self, seen: Seen) -> bool:
        return bool(seen.new_connections) or _new_secrets(seen) or not seen.secret_fits or seen.token_works

    def right(self, seen: Seen) -> bool:
        return _same(seen) and not seen.new_connections and not _new_secrets(seen) and seen.token_works

    def missing(self, seen: Seen) -> str:
        return "The site does not take the token of the connection. It needs a new consent."

    def solve(self, do: Doer) -> None:
        do.consent()


MENDING = (
    AppLacksAScope(),
    WrongSite(),
    DeclinedConsent(),
    AdminMustAuthorise(),
    ScopesResetOnEdit(),
    ConsentIsDead(),
)
