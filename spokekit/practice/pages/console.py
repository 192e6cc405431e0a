"""The practice developer console: create an app, change its callback URLs and permissions, copy its id and secret."""

from __future__ import annotations

from dataclasses import dataclass, field
from html import escape
from typing import TYPE_CHECKING

from spokekit.errors import InputError
from spokekit.practice.apps import App, made_up, permission_groups
from spokekit.practice.exchange import Answer
from spokekit.practice.pages.account import links
from spokekit.practice.pages.consent import PRACTICE, SCOPE_WORDS, page

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from spokekit.practice.oauth import AuthServer
    from spokekit.practice.start import AppMake

LONGEST_NAME = 100
_MOST_APPS = 50

Form = list[tuple[str, str]]


@dataclass(frozen=True)
class _Typed:
    """What somebody sent: the app's client id (none for a new app), and what is shown again if it cannot be saved."""

    client_id: str = ""
    name: str = ""
    uris: str = ""
    scopes: tuple[str, ...] | None = None
    """None when the form had no permissions in it, which leaves them as they are."""
    creates: bool = field(default=False)
    distribution: str | None = None
    new_secret: bool = False


class Console:
    """What a person sees and does in the practice developer console.

    Parameters
    ----------
    auth:
        The authorisation server whose apps are shown and changed.
    make:
        The id and the secret of a new app follow from it and the app's name: an app that is created anew under its name
        after a restart fits the connection that was made with it.
    more:
        Makes what stands under the apps.
    """

    def __init__(self, auth: AuthServer, make: AppMake, more: Callable[[], str]) -> None:
        self._auth = auth
        self._make = make
        self._more = more
        # The newest is what the person came for.
        self.created: list[App] = []

    def show(self, saved: str = "", *, problem: str = "") -> Answer:
        """Show the apps, with what was done or what stood in its way."""
        return self._page(_Typed(), saved=saved, problem=problem)

    def take(self, form: Form, *, owner: str = "") -> Answer:
        """Do what a form asks for, and show the apps; `owner` is the account of whoever sends it."""
        values = dict(form)
        permissions = tuple(dict.fromkeys(value for name, value in form if name == "scope"))
        typed = _Typed(
            values.get("client_id", ""),
            " ".join(values.get("name", "").split()),
            values.get("redirect_uris", ""),
            permissions if "permissions" in values or "create" in values else None,
            "create" in values,
            values.get("distribution"),
            "new-secret" in values,
        )
        try:
            app = self._take(typed)
        except InputError as error:
            return self._page(typed, problem=f"{'Not created' if typed.creates else 'Not saved'}: {error.message}")
        if typed.creates:
            # As at Atlassian: it is for its owner alone until it is shared.
            app.owner, app.distribution = owner, "private" if owner else "shared"
            return self._page(
                _Typed(), saved=f"Created {app.name}. Copy its client ID and its secret into the connection.", open_=app
            )
        if typed.new_secret:
            words = f"{app.name} has a new secret. The old one works no more: put the new one into the connection."
            return self._page(_Typed(), saved=words, open_=app)
        return self._page(_Typed(), saved=f"Saved {app.name}.")

    def _take(self, typed: _Typed) -> App:
        if typed.creates:
            return self.create(typed.name, typed.scopes or (), typed.uris.split())
        app = self._auth.app(typed.client_id)
        if app is None:
            raise InputError("There is no such app.", field="client_id")
        if typed.new_secret:
            return self.change(app, new_secret=True)
        return self.change(app, scopes=typed.scopes, redirect_uris=typed.uris.split(), distribution=typed.distribution)

    def create(self, name: str, scopes: Iterable[str] = (), redirect_uris: Iterable[str] = ()) -> App:
        """Make an app; raises `InputError` when it cannot have this name, a scope or a callback URL."""
        if not name:
            raise InputError("The app needs a name.", field="name")
        if len(name) > LONGEST_NAME or not name.isprintable():
            raise InputError(f"A name has up to {LONGEST_NAME} letters, digits and signs.", field="name")
        if any(app.name.casefold() == name.casefold() for app in self._auth.apps):
            raise InputError(f"There is an app called {name} already. Use it, or choose another name.")
        if len(self._auth.apps) >= _MOST_APPS:
            raise InputError(f"There are {_MOST_APPS} apps already; restart the practice site to be rid of them.")
        number = f"app {name.casefold()}"
        uris = list(dict.fromkeys(redirect_uris))
        app = App(
            name,
            made_up("client", self._make.seed, number),
            self._make.secret(number),
            _known(scopes),
            uris,
            which=number,
        )
        self._auth.check_redirects(uris)
        self._auth.apps.append(app)
        self.created.insert(0, app)
        return app

    def change(
        self,
        app: App,
        *,
        scopes: Iterable[str] | None = None,
        redirect_uris: Iterable[str] | None = None,
        distribution: str | None = None,
        new_secret: bool = False,
    ) -> App:
        """Change what is given of an app, all of it or nothing; raises `InputError`."""
        if distribution not in (None, "private", "shared"):
            raise InputError("An app is private or shared.", field="distribution")
        known = None if scopes is None else _known(scopes)
        if redirect_uris is not None:
            self._auth.set_redirects(app, list(redirect_uris))
        if known is not None:
            listed = {scope for _, names in permission_groups() for scope in names}
            app.scopes = (*(scope for scope in app.scopes if scope not in listed), *known)
        if distribution is not None:
            app.distribution = "private" if distribution == "private" else "shared"
        if new_secret:
            app.turn += 1
            app.client_secret = self._make.secret(app.which, app.turn)
        return app

    def _page(self, typed: _Typed, *, saved: str = "", problem: str = "", open_: App | None = None) -> Answer:
        told = f'<p class="note" role="status">{escape(saved or problem)}</p>' if saved or problem else ""
        built_in = [app for app in self._auth.apps if app not in self.created]
        blocks = "".join(
            _block(number, app, typed if problem and typed.client_id == app.client_id else None, open_ is app)
            for number, app in enumerate([*self.created, *built_in])
        )
        sites = "".join(
            f"<li>{escape(w.site_name)} <span class=soft>{escape(w.site_host)}, cloud id</span> "
            f"<code>{escape(w.cloud_id)}</code></li>"
            for w in self._auth.worlds
        )
        return page(
            "Practice developer console",
            f"""{PRACTICE}{links("console")}<h1>Practice developer console</h1>{told}
<p>Your OAuth 2.0 (3LO) apps. Copy the client ID and the secret from here; a callback URL has to match the redirect URI
of the connection character for character, the port too.</p>{_create_form(typed if typed.creates else None)}{blocks}
<section><h2>Sites</h2><ul>{sites}</ul></section>{self._more()}""",
            wide=True,
            copies=True,
            status=400 if problem else 200,
        )


def _known(scopes: Iterable[str]) -> tuple[str, ...]:
    """Return the scopes in the order of the page; raises `InputError` for one that it does not list."""
    wanted = set(scopes)
    listed = [scope for _, names in permission_groups() for scope in names]
    strange = sorted(wanted.difference(listed))
    if strange:
        raise InputError(f"There is no permission {strange[0]}.", field="scopes")
    return tuple(scope for scope in listed if scope in wanted)


def _create_form(typed: _Typed | None) -> str:
    name, uris, scopes = (typed.name, typed.uris, typed.scopes or ()) if typed else ("", "", ())
    return f"""<details class="create" id="create"{" open" if typed else ""}><summary>Create app</summary>
<form method="post"><input type="hidden" name="create" value="yes">
<label for="new-name">Name</label>
<input id="new-name" name="name" value="{escape(name)}" maxlength="{LONGEST_NAME}" autocomplete="off">
<label for="new-uris">Callback URLs of the new app, one a line</label>
<textarea id="new-uris" name="redirect_uris" spellcheck="false">{escape(uris)}</textarea>
{_permissions("new", scopes)}
<div class="row"><button class="main">Create</button></div></form></details>"""


def _block(number: int, app: App, typed: _Typed | None, is_new: bool) -> str:
    """Return one app's part; with `typed`, what could not be saved stands in it again."""
    uris = typed.uris if typed else "\n".join(app.redirect_uris)
    scopes = typed.scopes if typed and typed.scopes is not None else app.scopes
    listed = [scope for _, names in permission_groups() for scope in names if scope in scopes]
    count = f"{len(listed)} {'scope is' if len(listed) == 1 else 'scopes are'} enabled"
    return f"""<section><h2>{escape(app.name)}</h2>
<dl><dt>Client ID</dt><dd><code id="id{number}">{escape(app.client_id)}</code> {_copy(f"id{number}", "client ID")}</dd>
<dt>Secret</dt><dd>{_copy(f"secret{number}", "secret")}
<details{" open" if is_new else ""}><summary>Show the secret</summary>
<code id="secret{number}">{escape(app.client_secret)}</code></details></dd></dl>
<form method="post"><input type="hidden" name="client_id" value="{escape(app.client_id)}">
<input type="hidden" name="permissions" value="yes">
<label for="uris{number}">Callback URLs, one a line</label>
<textarea id="uris{number}" name="redirect_uris" spellcheck="false">{escape(uris)}</textarea>
<details{" open" if typed else ""}><summary>Permissions: {count}</summary>{_permissions(str(number), scopes)}</details>
<label for="shared{number}">Distribution: who may use the app</label>
<select id="shared{number}" name="distribution">{_distributions(app)}</select>
<div class="row"><button class="main">Save changes</button></div></form>
<form method="post"><input type="hidden" name="client_id" value="{escape(app.client_id)}">
<div class="row"><button name="new-secret" value="yes" aria-label="Make a new secret: {escape(app.name)}"
>Make a new secret</button></div></form></section>"""


def _distributions(app: App) -> str:
    words = {"private": "Private: its owner alone", "shared": "Shared: everybody"}
    return "".join(
        f'<option value="{name}"{" selected" if name == app.distribution else ""}>{text}</option>'
        for name, text in words.items()
    )


def _copy(what: str, words: str) -> str:
    # Hidden where its script does not run, so that nothing stands there that does nothing.
    return (
        f'<span class="copy" hidden><button type="button" data-copy="{what}">Copy the {words}</button> '
        '<span role="status"></span></span>'
    )


def _permissions(prefix: str, scopes: Iterable[str]) -> str:
    ticked = frozenset(scopes)
    parts = []
    for title, names in permission_groups():
        boxes = "".join(
            f'<label class="tick" for="{prefix}-{scope}"><input type="checkbox" id="{prefix}-{scope}" name="scope" '
            f'value="{scope}"{" checked" if scope in ticked else ""}> <span><code>{scope}</code> '
            f"<span class=soft>{escape(SCOPE_WORDS.get(scope, ''))}</span></span></label>"
            for scope in names
        )
        parts.append(f"<fieldset><legend>{escape(title)}</legend>{boxes}</fieldset>")
    return "".join(parts)
