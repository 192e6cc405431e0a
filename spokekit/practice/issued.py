"""What the authorisation server has given out: pages on a screen, codes, tokens and what each stands for."""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
from dataclasses import dataclass

from spokekit.practice.apps import App, Grant
from spokekit.practice.world import World


@dataclass(eq=False)
class Code:
    """What an authorisation code stands for."""

    grant: Grant
    redirect_uri: str
    scopes: tuple[str, ...]
    expires_at: float
    challenge: str
    used: bool = False


@dataclass(eq=False)
class Family:
    """The tokens that come one from another, from the same consent."""

    grant: Grant
    scopes: tuple[str, ...]
    born_at: float
    dead: bool = False


@dataclass(eq=False)
class RefreshToken:
    """What a refresh token stands for."""

    family: Family
    made_at: float
    used_at: float | None = None


@dataclass(eq=False)
class Access:
    """What an access token stands for."""

    grant: Grant
    scopes: tuple[str, ...]
    expires_at: float
    family: Family | None = None


@dataclass(eq=False)
class Pending:
    """An authorise request whose page is on somebody's screen."""

    app: App
    account_id: str
    scopes: tuple[str, ...]
    redirect_uri: str
    state: str
    challenge: str
    expires_at: float
    sites: tuple[World, ...]


def made_token(kind: str, filler: int) -> str:
    """Make an opaque token that looks and measures like Atlassian's: a JWT of one to three thousand characters."""

    def part(data: bytes) -> str:
        return base64.urlsafe_b64encode(data).rstrip(b"=").decode()

    head = part(json.dumps({"typ": "JWT", "kid": "practice", "alg": "RS256"}).encode())
    claims = {
        "https://id.atlassian.com/atl_token_type": kind,
        "jti": secrets.token_hex(16),
        "p": secrets.token_hex(filler),
    }
    return f"{head}.{part(json.dumps(claims).encode())}.{secrets.token_urlsafe(256)}"


def digest_of(token: str) -> str:
    """Return what the site knows a token by."""
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()
