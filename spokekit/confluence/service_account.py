"""What to do about a refusal where a service account calls: nobody consents, and its scopes are fixed at its making."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from spokekit.errors import AppNotInstalled, NotPermitted, ScopeMissing, ServiceError, TokenRejected

E = TypeVar("E", bound=ServiceError)
WHERE = "admin.atlassian.com (Directory, Service accounts)"


def to_get_scopes(names: Sequence[str]) -> str:
    """Return how a service account comes to more scopes."""
    wanted = f"with {' and '.join(names)} as well" if names else "with the scopes that it needs"
    return (
        f"Make a new OAuth 2.0 credential {wanted} in {WHERE}, and save its client id and secret in the connection: "
        "the scopes of a credential cannot be changed."
    )


def in_its_words(error: E) -> E:
    """Let an error that speaks of consents speak of a service account; returns it."""
    if isinstance(error, ScopeMissing):
        error.likely = "The scopes of a service account are fixed when its credential is made."
        error.hint = to_get_scopes(error.scopes)
        error.next_step = "enable_scope"
    elif isinstance(error, AppNotInstalled):
        error.likely = "The service account has no access to Confluence on this site, or its credential lacks a scope."
        error.hint = f"Give it access in {WHERE}, then get the token again: spokekit token get."
        error.next_step = "ask_site_admin"
    elif isinstance(error, NotPermitted):
        error.message = error.message.replace("The signed-in person", "The service account").replace(
            "The account that consented", "The service account"
        )
        error.hint = f"Give the service account the rights in {WHERE}, or use a connection that a person consented to."
        error.next_step = "ask_site_admin"
    elif isinstance(error, TokenRejected):
        error.likely = "The credential was revoked, or the service account lost its access to the site."
        error.hint = f"See to it in {WHERE}; then get the token again: spokekit token get."
        error.next_step = "fix_secret"
    return error
