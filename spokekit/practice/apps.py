"""The apps of the practice developer console, what people consented to, and the clock that all of it ages by."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Literal

DEFAULT_SCOPES = (
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
"""What ServiceNow's connection form asks for, in its order; the practice site's first app has them enabled."""

TICKED_SCOPES = ("search:confluence", "read:confluence-groups", "write:confluence-groups", "read:confluence-user")
"""The four that ServiceNow's set-up page tells people to tick; the second app has only these."""

SPOKEKIT_SCOPES = (
    "read:user:confluence",
    "read:content-details:confluence",
    "read:space:confluence",
    "read:space.permission:confluence",
    "read:configuration:confluence",
    "read:group:confluence",
    "write:group:confluence",
    "read:page:confluence",
    "read:content.metadata:confluence",
)
"""Granular scopes for spaces, permissions and users in bulk; the first app has them enabled too."""

REPORT_SCOPE = "report:personal-data"
"""Scope of the personal-data report. ECO-533: it is ticked on the app, and no 3LO token ever holds it."""


def permission_groups() -> tuple[tuple[str, tuple[str, ...]], ...]:
    """Return what can be ticked on an app, under the headings of its Permissions page.

    ``offline_access`` is asked for in the address of the consent and ticked nowhere. What only ServiceNow's form knows
    stands last: nobody has to understand it first.
    """
    classic = ("search:confluence", "read:confluence-groups", "write:confluence-groups", "read:confluence-user")
    return (
        ("Confluence API, classic scopes", classic),
        ("Confluence API, granular scopes", tuple(dict.fromkeys(("read:page:confluence", *SPOKEKIT_SCOPES)))),
        ("User identity API", ("read:me", "read:account")),
        ("Personal data reporting", (REPORT_SCOPE,)),
        ("In ServiceNow's form only", ("ace:confluence",)),
    )


def made_up(kind: str, seed: int, which: int | str) -> str:
    """Return an id or a secret that is the same on every day."""
    return blake2b(f"{kind}:{seed}:{which}".encode(), digest_size=16).hexdigest()


JIRA_SCOPES = ["read:jira-work", "read:jira-user"]


def secret_of(seed: int, which: int | str, salt: str = "", turn: int = 0) -> str:
    """Return an app's client secret, the same on every day until it is made anew (`turn`).

    With a `salt` that only one person's processes know, nobody else can work it out from the seed.
    """
    more = f":{turn}:{salt}" if salt or turn else ""
    return "practice-secret-" + made_up("secret", seed, f"{which}{more}")


class Clock:
    """Wall clock that tests move forward."""

    def __init__(self) -> None:
        self.offset = 0.0

    def now(self) -> float:
        """Return the site's time in POSIX seconds."""
        return time.time() + self.offset


@dataclass(eq=False)
class App:
    """An OAuth 2.0 (3LO) app of the practice developer console."""

    name: str
    client_id: str
    client_secret: str = field(repr=False)
    scopes: tuple[str, ...]
    redirect_uris: list[str] = field(default_factory=list)
    which: int | str = ""
    """What its id and its secret are made from."""
    turn: int = 0
    """How often its secret was made anew."""
    distribution: Literal["private", "shared"] = "shared"
    """Who may consent: its owner alone, or everybody."""
    owner: str = ""
    """Account id of whoever made it."""
    service_account: str = ""
    """Of a service account's credential: the account id that it speaks for, without anybody's consent."""
    service_sites: list[str] = field(default_factory=list)
    """Cloud ids of the sites that a service account reaches."""
    revoked: bool = False
    """Whether the credential was taken back."""


@dataclass(eq=False)
class Grant:
    """One account's consent to one app; there is one per pair, and a new consent replaces its scopes."""

    app: App
    account_id: str
    scopes: tuple[str, ...]
    sites: set[str]
