"""An exception in the words of a component: what happened, why it probably happened, and what to do next."""

from __future__ import annotations

import os
import re

from spokekit._home import nothing_kept, under_voila
from spokekit._secret import scrub
from spokekit._surroundings import of_this_computer
from spokekit.errors import SpokekitError

ON_ONE_PAGE = "The page one-page.ipynb has all steps, each when it is due."
"""The way on for a visitor of Voilà, who has no cells, no command line, and nothing of what other pages know."""

# For errors that name the next step in one word only.
_NEXT: dict[str, str] = {
    "wait": "Wait a little, then try again.",
    "retry": "Try again; if it stays, look at the service's status page.",
    "refresh": "Try again: the token is renewed.",
    "consent": "Get the OAuth token again (notebook 3).",
    "fix_input": "Change what was entered and try again.",
    "fix_secret": "Enter the client secret again (notebook 2).",
    "fix_redirect": "Register the redirect URL at the app, character for character.",
    "fix_scopes": "Change the scopes of the connection (notebook 2), then get the token again.",
    "enable_scope": "Enable the scope at the app, then get the token again.",
    "ask_site_admin": "Ask an administrator of the site.",
    "choose_site": "Choose the site.",
    "confirm_account": "Say whether the account that consented is the one that is meant.",
    "register_group": "Register the group first (notebook 4).",
    "preview_again": "Make a new preview.",
    "fix_computer": "Correct that setting of this computer, then try again.",
}


def explain(error: BaseException) -> tuple[str, str, str]:
    """Return what happened, the likely cause and the next step; unknown exceptions are named and scrubbed."""
    if isinstance(error, SpokekitError):
        hint = error.hint or _NEXT.get(error.next_step, "")
        return scrub(error.message), scrub(error.likely or ""), scrub(_followable(hint))
    if isinstance(error, KeyboardInterrupt):
        return "Interrupted.", "", "Start it again when you like."
    if (own := of_this_computer(error)) is not None:
        return scrub(own.message), scrub(own.likely or ""), scrub(own.hint or "")
    detail = scrub(str(error)).strip()
    return (
        f"spokekit met a fault of its own: {type(error).__name__}{': ' + detail if detail else ''}.",
        "This is a defect of spokekit, not something you did.",
        "Try again; if it stays, report it with these words. Nothing you typed is lost.",
    )


def _followable(hint: str) -> str:
    """Return a hint as the person here can follow it."""
    if not (under_voila(os.environ) and nothing_kept(os.environ)):
        return hint
    if re.search(r"\bnotebook \d", hint):
        return ON_ONE_PAGE
    here, command, _ = hint.partition(", or run: spokekit ")
    return f"{here}." if command else hint
