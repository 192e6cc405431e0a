"""Scopes: what each permits, which of our actions needs it, and what is missing for which step.

Atlassian has two families. A **classic** scope alone is enough for a v1 call; of the **granular** ones, all that a
call lists are needed. The v2 calls know granular scopes only. Sources: the scope lists in Atlassian's documentation
and the scopes per operation in its OpenAPI documents.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from spokekit.connections.fields import check_text, refuse
from spokekit.errors import InputError

Kind = Literal["classic", "granular", "identity", "other"]


@dataclass(frozen=True)
class Scope:
    """One scope.

    Attributes
    ----------
    id:
        As it is sent.
    kind:
        ``classic`` and ``granular`` belong to Confluence, ``identity`` to the User identity API.
    permits:
        What a holder may do, in words.
    published:
        False when Atlassian's documentation does not list it (or spokekit does not know it).
    """

    id: str
    kind: Kind
    permits: str
    published: bool = True

    @property
    def actions(self) -> tuple[str, ...]:
        """The actions of ours that can use this scope."""
        return tuple(name for name, ways in ACTIONS.items() if any(self.id in way for way in ways))


GrantKind = Literal["consent", "service-account"]
CONSENT: GrantKind = "consent"
SERVICE_ACCOUNT: GrantKind = "service-account"
GRANTS: dict[GrantKind, str] = {CONSENT: "a person's consent", SERVICE_ACCOUNT: "service account"}
"""What can get a token, and its words on screen."""

READING_SCOPES: tuple[str, ...] = ("read:confluence-groups", "read:confluence-user")
"""The smallest that read groups, who is in them, and names."""

DEFAULT_SCOPES: tuple[str, ...] = (
    "ace:confluence",
    "read:page:confluence",
    "search:confluence",
    "read:confluence-groups",
    "write:confluence-groups",
    "read:confluence-user",
    "read:me",
    "read:account",
    "offline_access",
)

_CLASSIC = {
    "read:confluence-space.summary": "read a summary of spaces",
    "read:confluence-props": "read content properties",
    "read:confluence-content.all": "read all content, with its body",
    "read:confluence-content.summary": "read a summary of content, without its body",
    "read:confluence-content.permission": "see whether somebody may see or edit a page",
    "read:confluence-user": "read users: names, and e-mail and picture where they are visible to you",
    "read:confluence-groups": "read groups and who is in them",
    "write:confluence-space": "create, change and delete spaces",
    "write:confluence-props": "write content properties",
    "write:confluence-content": "create and change content",
    "write:confluence-file": "upload attachments",
    "write:confluence-groups": "create and delete groups, and change who is in them",
    "manage:confluence-configuration": "change the settings of Confluence",
    "search:confluence": "search content and summaries of spaces",
    "readonly:content.attachment:confluence": "download attachments",
}
_GRANULAR = {
    "read:analytics.content": "read how often content is viewed",
    "read:audit-log": "read the audit log",
    "write:audit-log": "write to the audit log",
    "read:configuration": "read settings, and check whether e-mail addresses have access",
    "write:configuration": "change settings",
    "read:content-details": "read details of content, and of users where v1 calls ask for it",
    "read:content.metadata": "read what is written about content",
    "read:content.permission": "see whether somebody may see or edit a page",
    "read:content.restriction": "read restrictions of pages",
    "write:content.restriction": "change restrictions of pages",
    "read:email-address": "read e-mail addresses whatever their owners made visible (approved apps only)",
    "read:group": "read groups and their members",
    "write:group": "create and delete groups, and change who is in them",
    "read:hierarchical-content": "read the tree of content",
    "read:page": "read pages",
    "write:page": "create and change pages",
    "delete:page": "delete pages",
    "read:permission": "read restrictions and space permissions",
    "read:relation": "read relations between users, spaces and content",
    "read:space": "read spaces and their permissions",
    "write:space": "create and change spaces",
    "delete:space": "delete spaces",
    "read:space-details": "read details of a space (not the list of spaces)",
    "read:space.permission": "read roles and permissions of spaces",
    "write:space.permission": "change roles and permissions of spaces",
    "read:space.property": "read properties of spaces",
    "write:space.property": "write properties of spaces",
    "read:space.setting": "read settings of spaces",
    "write:space.setting": "change settings of spaces",
    "read:user": "read users",
    "read:user.property": "read properties of users",
    "write:user.property": "write properties of users",
    "read:watcher": "read who watches what",
}
_IDENTITY = {
    "read:me": "see who signed in (User identity API)",
    "read:account": "see the account that signed in (User identity API)",
    "offline_access": "stay connected: Atlassian then gives a refresh token",
}
# Enabled on the app, it is enough; a token never holds it, and a consent for it alone fails (ECO-533, "not a bug").
APP_ONLY = {"report:personal-data": "ask Atlassian which accounts were closed or changed; enabled on the app only"}
KNOWN: dict[str, Scope] = {
    "ace:confluence": Scope(
        "ace:confluence", "other", "unknown: it stands in ServiceNow's default list and in no list of Atlassian", False
    ),
    **{name: Scope(name, "classic", words) for name, words in _CLASSIC.items()},
    **{f"{name}:confluence": Scope(f"{name}:confluence", "granular", words) for name, words in _GRANULAR.items()},
    **{name: Scope(name, "identity", words) for name, words in _IDENTITY.items()},
    **{name: Scope(name, "other", words) for name, words in APP_ONLY.items()},
}


def _ways(*alternatives: str) -> tuple[frozenset[str], ...]:
    return tuple(frozenset(way.split()) for way in alternatives)


_READ_GROUPS = "read:confluence-groups"
_READ_USER = "read:confluence-user"
ACTIONS: dict[str, tuple[frozenset[str], ...]] = {
    "look_up_accessible_resources": _ways(""),
    "who_is_signed_in": _ways("read:me"),
    "stay_connected": _ways("offline_access"),
    "look_up_current_user": _ways(_READ_USER, "read:content-details:confluence"),
    "look_up_groups": _ways(_READ_GROUPS, "read:group:confluence"),
    "look_up_members_by_group_id": _ways(_READ_GROUPS, "read:group:confluence read:user:confluence"),
    "look_up_group_memberships_for_user": _ways(_READ_USER, "read:user:confluence read:group:confluence"),
    "look_up_users": _ways(_READ_USER, "read:user:confluence", "read:content-details:confluence"),
    "add_member_to_group_by_group_id": _ways("write:confluence-groups", "write:group:confluence"),
    "remove_member_from_group_by_group_id": _ways("write:confluence-groups", "write:group:confluence"),
    "search_content": _ways("search:confluence", "read:content-details:confluence"),
    "look_up_pages": _ways("read:page:confluence"),
    "look_up_spaces": _ways("read:space:confluence"),
    "look_up_space_permissions": _ways("read:space:confluence read:space.permission:confluence"),
    "report_personal_data": _ways("report:personal-data"),
}
STEPS: dict[str, tuple[str, ...]] = {
    "Sign in": ("look_up_accessible_resources", "who_is_signed_in"),
    "Stay connected": ("stay_connected",),
    "Pick groups": ("look_up_groups",),
    "Look at members": ("look_up_members_by_group_id", "look_up_users"),
    "Change membership": (
        "look_up_members_by_group_id",
        "look_up_group_memberships_for_user",
        "add_member_to_group_by_group_id",
        "remove_member_from_group_by_group_id",
    ),
    "Search content": ("search_content",),
    "Look at pages": ("look_up_pages",),
    "Audit spaces": ("look_up_spaces", "look_up_space_permissions"),
}
ADVISED_AT_MOST = 50
_FORM = re.compile(r"[a-z][a-z0-9._-]*(?::[a-z0-9._-]+)*")


def parse_scopes(value: str | Iterable[str]) -> tuple[str, ...]:
    """Return the scopes of a text or list: split at commas, spaces, semicolons and lines; order kept, doubles dropped.

    Raises
    ------
    InputError
        Nothing is there, it is too long, or a part cannot be a scope.
    """
    example = "read:confluence-groups, read:confluence-user, offline_access"
    if not isinstance(value, str) and isinstance(value, Iterable) and not isinstance(value, bytes | bytearray):
        parts = list(value)
        for part in parts:
            check_text("scopes", part, plain=False, example=example)
        value = " ".join(parts)
    text = check_text("scopes", value, plain=False, example=example)
    found = tuple(dict.fromkeys(part for part in re.split(r"[\s,;]+", text) if part))
    if not found:
        refuse("scopes", "this is empty.", hint=f"Example: {example}")
    for name in found:
        _check_form(name)
    return found


def _check_form(name: str) -> None:
    if _FORM.fullmatch(name):
        return
    if any(sign in name for sign in "<>&\"'"):
        refuse("scopes", "HTML and quotation marks are not taken here.", hint="Write only the scopes.")
    if name[0] in "=+-@":
        refuse("scopes", f"a scope starts with “{name[0]}”, like a formula.", hint="Write only the scopes.")
    if name.lower() != name and _FORM.fullmatch(name.lower()):
        refuse("scopes", f"“{name}” has capital letters.", hint=f"Write {name.lower()}.")
    if "://" in name:
        refuse("scopes", "this is an address.", hint="Write only the scopes, such as read:confluence-groups.")
    shown = name if len(name) <= 60 else name[:60] + "…"
    refuse("scopes", f"“{shown}” cannot be a scope.", hint="A scope looks like read:confluence-groups.")


def scope(name: str) -> Scope:
    """Return what is known about a scope; one that spokekit does not know comes back as not published."""
    return KNOWN.get(name) or Scope(name, "other", "not known to spokekit", False)


def needed_for(action: str) -> tuple[frozenset[str], ...]:
    """Return the alternatives for an action: each set is enough, and of a set all are needed.

    Raises `InputError` for a name that is not in `ACTIONS`.
    """
    try:
        return ACTIONS[action]
    except KeyError:
        raise InputError(
            f"There is no action “{action}”.", field="action", hint="Known: " + ", ".join(sorted(ACTIONS)) + "."
        ) from None


def missing_for(action: str, granted: Iterable[str]) -> tuple[str, ...]:
    """Return what the action lacks, by the shortest way to it; empty when `granted` is enough."""
    have = frozenset(granted)
    lacks = [tuple(sorted(way - have)) for way in needed_for(action)]
    return min(lacks, key=len)


def missing_by_step(granted: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """Return for each step of `STEPS` what is missing, in the order of the steps."""
    have = frozenset(granted)
    return {
        step: tuple(dict.fromkeys(name for action in actions for name in missing_for(action, have)))
        for step, actions in STEPS.items()
    }


def without_unpublished(scopes: Iterable[str]) -> tuple[str, ...]:
    """Return the scopes without ``ace:confluence``, which Atlassian does not publish."""
    return tuple(name for name in scopes if name != "ace:confluence")


def published_first(scopes: Iterable[str]) -> tuple[str, ...]:
    """Return scopes as they are listed for reading: in their order, those that Atlassian does not publish last."""
    return tuple(sorted(scopes, key=lambda name: not scope(name).published))


def proposed_scopes(grant: str = CONSENT, *, read_only: bool = False) -> tuple[str, ...]:
    """Return what a new connection is proposed: ServiceNow's list, or for reading alone the smallest there is.

    A service account has nothing of a consent: no scope to stay connected, none of the identity API, and none that
    Atlassian does not publish.
    """
    if grant != SERVICE_ACCOUNT:
        return (*READING_SCOPES, "read:me", "offline_access") if read_only else DEFAULT_SCOPES
    return READING_SCOPES if read_only else (*READING_SCOPES, "write:confluence-groups")


def advice(scopes: Iterable[str], grant: str = CONSENT, *, read_only: bool = False) -> tuple[str, ...]:
    """Say in sentences what is worth knowing about a choice of scopes; nothing of it forbids them."""
    chosen = tuple(scopes)
    notes: list[str] = []
    service = grant == SERVICE_ACCOUNT
    if service:
        notes.append(
            "List the scopes that the credential was made with in admin.atlassian.com: they are fixed there, cannot be "
            "read back, and are never sent from here."
        )
        if "offline_access" in chosen:
            notes.append("offline_access means nothing to a service account: a new token is asked for when needed.")
    if read_only and (writes := [name for name in chosen if name.startswith(("write:", "delete:", "manage:"))]):
        notes.append(f"The connection is read-only, so it never uses {' and '.join(writes)}: leave it out.")
    if "ace:confluence" in chosen:
        notes.append(
            "ace:confluence is in ServiceNow's default list, but Atlassian publishes no such scope. An app of your own "
            "may be refused it: leave it out if consent fails."
        )
    for name in chosen:
        if name in APP_ONLY:
            notes.append(f"{name} is enabled on the app; no consent gives it to a token, so leave it out here.")
    if "offline_access" not in chosen and not service:
        notes.append("Without offline_access there is no refresh token: you have to consent again every hour.")
    for name in chosen:
        if name in KNOWN:
            continue
        near = difflib.get_close_matches(name, KNOWN, 1, 0.85)
        notes.append(f"{name} is not a scope that spokekit knows." + (f" Did you mean {near[0]}?" if near else ""))
    for step, lacks in missing_by_step(chosen).items():
        if step == ("Change membership" if read_only else "Sign in" if service else ""):
            continue
        if service:
            lacks = tuple(name for name in lacks if name not in _IDENTITY)
        if lacks and step in ("Sign in", "Pick groups", "Look at members", "Change membership"):
            notes.append(f"“{step}” needs {' and '.join(lacks)} besides.")
    if len(chosen) > ADVISED_AT_MOST:
        notes.append(f"These are {len(chosen)} scopes; Atlassian advises to stay under {ADVISED_AT_MOST}.")
    return tuple(notes)
