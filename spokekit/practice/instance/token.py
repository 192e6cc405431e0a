"""What somebody does last on an instance, by hand: the client secret, and **Get OAuth Token**."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Sequence

from spokekit.errors import InputError
from spokekit.practice.instance.tables import Database, Row, new_id

TYPED = "typed:"
"""What a secret that was typed into a form begins with where it is kept, as a digest."""
Ask = Callable[[str, str, str, Sequence[str]], str]
"""Asks Atlassian for a token: client id, digest of the secret, redirect URL, scopes; "" or why none is given."""
_TOKEN_SECONDS = 3600


def digest(secret: str) -> str:
    """Return what is kept of a client secret."""
    return TYPED + hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()


def anybody(client_id: str, secret: str, redirect_url: str, scopes: Sequence[str]) -> str:
    """Give a token to whoever asks: for an instance that stands alone."""
    return ""


def save_secret(data: Database, registry: str, secret: str) -> str:
    """Type a client secret into a registry; returns what is said, raises `InputError`."""
    row = data.rows["oauth_entity"].get(registry)
    if row is None:
        raise InputError("There is no such application registry on the practice instance.", field="registry")
    if not secret.strip():
        raise InputError("The client secret is empty.", field="secret", hint="Copy it from the app it belongs to.")
    row["client_secret"] = digest(secret.strip())
    return f"The client secret of {row.get('name') or registry} is saved."


def get_token(data: Database, ask: Ask, credential: str) -> str:
    """Press **Get OAuth Token** on a credential; returns what is said, raises `InputError` where no token comes."""
    row = data.rows["oauth_2_0_credentials"].get(credential)
    if row is None:
        raise InputError("There is no such credential on the practice instance.", field="credential")
    profile = data.rows["oauth_entity_profile"].get(row.get("oauth_entity_profile", ""))
    if profile is None:
        raise InputError("The credential names no OAuth entity profile that is there.", field="credential")
    registry = data.rows["oauth_entity"].get(profile.get("oauth_entity", ""))
    if registry is None:
        raise InputError("The profile names no application registry that is there.", field="credential")
    scopes = _scopes(data, profile["sys_id"])
    if not scopes:
        raise InputError("The profile has no scopes, so there is nothing to consent to.", field="credential")
    if not registry.get("client_id"):
        raise InputError("The application registry has no client ID.", field="credential")
    if why := ask(registry["client_id"], registry.get("client_secret", ""), registry.get("redirect_url", ""), scopes):
        raise InputError(why, field="credential")
    now = time.time()
    times = {"token_received": now, "expires": now + _TOKEN_SECONDS}
    values = {name: time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(at)) for name, at in times.items()}
    # Whose token it is stands in no column that is public.
    data.put("oauth_credential", {"type": "access_token", **values, "of": profile["sys_id"]}, new_id())
    return "A token has come. Flows that use this credential work now."


def _scopes(data: Database, profile: str) -> list[str]:
    rows = [r for r in data.rows["oauth_entity_profile_scope"].values() if r.get("oauth_entity_profile") == profile]
    known = data.rows["oauth_entity_scope"]
    found: list[Row] = [known[r["oauth_entity_scope"]] for r in rows if r.get("oauth_entity_scope") in known]
    return [scope for row in found for scope in row.get("oauth_entity_scope", "").split()]
