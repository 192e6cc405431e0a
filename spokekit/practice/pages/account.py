"""Who is signed in, what a site's administrator allows, and the apps that a person gave access to."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from spokekit.errors import InputError
from spokekit.practice.exchange import Answer
from spokekit.practice.oauth import is_site_admin
from spokekit.practice.pages.consent import PRACTICE, SCOPE_WORDS, page

if TYPE_CHECKING:
    from spokekit.practice.server import PracticeSite

OWN_PAGES = (
    ("console", "Developer console"),
    ("connected-apps", "Connected apps"),
    ("happened", "What happened"),
)
_WHO = {"admin": "site administrator", "member": "member", "guest": "guest", "outsider": "no Confluence"}


def links(here: str) -> str:
    """Return the links between the site's own pages."""
    parts = "".join(
        f'<a href="{name}"{" aria-current=page" if name == here else ""}>{escape(words)}</a>'
        for name, words in OWN_PAGES
    )
    return f'<nav aria-label="Practice site">{parts}</nav>'


def sign_in_form(site: PracticeSite) -> str:
    """Return the form in which somebody signs in as another person."""
    options = "".join(
        f'<option value="{escape(role)}"{" selected" if role == site.signed_in else ""}>'
        f"{escape(site.world.find_person(site.world.account(role)).display_name)}, {_WHO.get(role, role)}</option>"
        for role in site.world.base.roles
    )
    return (
        f'<form method="post"><label for="sign-in-as">Sign in as</label><select id="sign-in-as" name="as">{options}'
        '</select><div class="row"><button name="decision" value="sign-in">Sign in</button></div></form>'
    )


def signed_in_as(site: PracticeSite) -> str:
    """Return in words who is signed in."""
    person = site.world.find_person(site.account_id)
    return f"{person.display_name}, {_WHO.get(site.signed_in, site.signed_in)}"


def console_sections(site: PracticeSite) -> str:
    """Return what stands under the apps of the console: who is signed in, and an administrator's part."""
    parts = [
        f"<section><h2>Signed in as {escape(signed_in_as(site))}</h2>"
        f"<p class=soft>The consent page asks whoever is signed in here.</p>"
        f"{sign_in_form(site)}</section>"
    ]
    for world in site.worlds.values():
        if is_site_admin(world, site.account_id):
            parts.append(_administration(site, world.cloud_id, world.site_name))
    return "".join(parts)


def _administration(site: PracticeSite, cloud_id: str, name: str) -> str:
    blocked = site.switches.user_apps_blocked
    rows = []
    for app in site.apps:
        allowed = (app.client_id, cloud_id) in site.auth.authorised
        verb = "Take back" if allowed else "Authorise for everybody"
        rows.append(
            f"<li>{escape(app.name)}: {'authorised for everybody' if allowed else 'not authorised'}"
            f'<form method="post"><input type="hidden" name="administer" value="{escape(cloud_id)}">'
            f'<input type="hidden" name="client_id" value="{escape(app.client_id)}">'
            f'<button name="allowed" value="{"no" if allowed else "yes"}" '
            f'aria-label="{verb}: {escape(app.name)} on {escape(name)}">{verb}</button></form></li>'
        )
    return (
        f"<section><h2>Administration of {escape(name)}: connected apps</h2>"
        f"<p>User installed apps are <b>{'blocked' if blocked else 'allowed'}</b>. Where they are blocked, only an app "
        "that an administrator has authorised can be consented to by others.</p>"
        f'<form method="post"><input type="hidden" name="administer" value="{escape(cloud_id)}">'
        f'<button name="user-apps" value="{"allowed" if blocked else "blocked"}">'
        f"{'Allow' if blocked else 'Block'} user installed apps</button></form><ul>{''.join(rows)}</ul></section>"
    )


def administer(site: PracticeSite, form: dict[str, str]) -> str:
    """Do what an administrator asks for and return it in words; raises `InputError`."""
    world = site.worlds.get(form.get("administer", ""))
    if world is None or not is_site_admin(world, site.account_id):
        raise InputError("Only an administrator of the site may do that: sign in as one first.")
    if form.get("user-apps") in ("allowed", "blocked"):
        site.switches.user_apps_blocked = form["user-apps"] == "blocked"
        return f"User installed apps are {form['user-apps']} now."
    app = site.auth.app(form.get("client_id", ""))
    if app is None:
        raise InputError("There is no such app.")
    pair = (app.client_id, world.cloud_id)
    if form.get("allowed") == "no":
        site.auth.authorised.discard(pair)
        return f"{app.name} is not authorised for everybody any more."
    site.auth.authorised.add(pair)
    return f"{app.name} is authorised for everybody on {world.site_name}."


def connected_apps(site: PracticeSite, form: dict[str, str] | None) -> Answer:
    """Show which apps the person gave access to; with a form, take one back or change the password first."""
    told = ""
    if form and form.get("decision") == "change-password":
        site.change_password()
        told = "The password is changed: apps keep their access for the hour that it lasts, and cannot renew it."
    elif form and "client_id" in form:
        app = site.auth.app(form["client_id"])
        if app is not None:
            site.remove_app(app=app)
            told = f"{app.name} has no access any more."
    elif form and form.get("decision") == "sign-in":
        site.sign_in(form.get("as", ""))
    grants = [grant for (_, account), grant in site.auth.grants.items() if account == site.account_id]
    parts = []
    for grant in grants:
        names = ", ".join(world.site_name for key, world in site.worlds.items() if key in grant.sites)
        can = "".join(f"<li>{escape(SCOPE_WORDS.get(scope, scope))}</li>" for scope in grant.scopes)
        parts.append(
            f"<section><h2>{escape(grant.app.name)}</h2><p>On {escape(names)}</p>"
            f"<details><summary>What it may do</summary><ul>{can}</ul></details>"
            f'<form method="post"><input type="hidden" name="client_id" value="{escape(grant.app.client_id)}">'
            f'<div class="row"><button aria-label="Remove access: {escape(grant.app.name)}">Remove access</button>'
            "</div></form></section>"
        )
    note = f'<p class="note" role="status">{escape(told)}</p>' if told else ""
    return page(
        "Connected apps",
        f"""{PRACTICE}{links("connected-apps")}<h1>Connected apps of {escape(signed_in_as(site))}</h1>{note}
<p>Apps that you gave access to your account.</p>{"".join(parts) or "<p>There are none.</p>"}
<section><h2>Password</h2><p class="soft">A changed password ends what apps renew their access with.</p>
<form method="post"><div class="row"><button name="decision" value="change-password">Change the password</button></div>
</form></section><section><h2>Another person</h2>{sign_in_form(site)}</section>""",
        wide=True,
    )
