"""Everything about the practice site that can be set differently, each with its source and how sure it is."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from types import UnionType
from typing import Any, Literal, get_args, get_origin, get_type_hints

from spokekit.errors import InputError


@dataclass(slots=True)
class Switches:
    """How the practice site behaves where Atlassian's site is unknown, differs, or can be configured.

    Each may be given to `PracticeSite` by name and set on ``site.switches`` while the site runs. *Certainty* of the
    default: documented (Atlassian's page or OpenAPI document), measured (a third party saw it on the live
    service), reported (somebody said so), inferred, unknown.
    """

    code_lifetime: float = 600.0
    """Seconds until an authorisation code expires. Unknown; RFC 6749 4.1.2, to which staff point, allows 600."""

    access_lifetime: int = 3600
    """Seconds until an access token expires. Measured: 3600."""

    refresh_inactivity: float = 90 * 86400.0
    """Seconds until an unused refresh token expires; each rotation starts anew. Documented: 90 days."""

    refresh_absolute: float | None = 365 * 86400.0
    """Seconds until a token family ends whatever is done; None for never. Documented in older text only."""

    reuse_leeway: float = 600.0
    """Seconds in which a refresh token that was used may be used again. Documented: 10 minutes."""

    reuse_ends_family: bool = False
    """Whether reuse after the leeway kills the newest token too (breach detection). Inferred from the word."""

    access_dies_on_refresh: bool = False
    """Whether a refresh ends the access tokens given before. Unknown."""

    pkce: Literal["ignored", "enforced", "refused"] = "ignored"
    """What a ``code_challenge`` does: nothing, must be answered by its verifier, or an error page. Unknown."""

    loopback_ip: Literal["accepted", "refused"] = "accepted"
    """Whether a callback URL on ``127.0.0.1`` may be registered. One report says so."""

    callback_urls: int | None = None
    """How many callback URLs an app may have; None for any number. Unknown: the documents speak of one."""

    grant_level: Literal["account", "resource"] = "account"
    """Whether a consent covers all sites or the chosen one. Documented: chosen when the app is made."""

    earlier_consent: Literal["kept", "replaced"] = "kept"
    """Which scopes a refresh gives after a later consent of the same person to the same app: those of its own consent,
    or those of the later one. Documented: there is one grant, and a new consent's scopes override it; what becomes of
    refresh tokens given before is unknown."""

    client_credentials: Literal["granted", "refused"] = "granted"
    """Whether the credential of a service account gets a token. Documented: only where the organisation has centralized
    user management; how it is refused elsewhere is unknown."""

    service_account_scope: Literal["refused", "ignored"] = "refused"
    """What a ``scope`` in the request of a service account does. Reported: any value is answered ``invalid_scope``."""

    service_account_told_scopes: bool = True
    """Whether the token endpoint's answer to a service account names its scopes. Unknown."""

    service_account_writes: bool = False
    """Whether a service account may change who is in a group, as a site administrator may. Unknown."""

    refusal: Literal["redirect", "page"] = "page"
    """How a scope that the app lacks, or an admin's block, is told: on a page, or by ``error=`` on the callback.
    Reported: the consent page says "Something went wrong" and the app hears nothing (atlassian-mcp-server 199)."""

    user_apps_blocked: bool = False
    """Whether a site administrator must authorise the app first. Documented."""

    duplicate_resource: bool = False
    """Whether accessible-resources lists each site once more for Jira, with one id. Documented."""

    no_resources: bool = False
    """Whether accessible-resources is empty: no site granted, or none with Confluence. Reported."""

    expired_token_message: str = "Unauthorized"  # noqa: S105 - a message, not a password
    """``message`` of the 401 for an expired or unknown access token. Inferred."""

    write_without_scope: Literal["mismatch", "not_installed"] = "mismatch"
    """What a write to a group is told when its scope is missing: 401 as everywhere (measured), or 403 "The app is not
    installed on this instance". The second is reported where only scopes to read were granted."""

    wrong_cloud_id_status: int = 404
    """Status for a cloud id that does not exist. Unknown."""

    page_cap: int = 200
    """Most rows of a v1 page. Measured: 200."""

    cursor_marks: Literal["row", "position"] = "row"
    """What a cursor (v2, search) stands for: the row after which the list goes on, so that a list that moves between
    two pages loses and repeats nothing, or a position, as ``start`` does. Inferred: documented only as opaque."""

    group_limit_over_cap: Literal["cap", "cap_and_skip", "refuse"] = "cap"
    """What GET /group does with a limit above the cap: fewer rows, fewer rows and a ``next`` that advances by what
    was asked (reported for other endpoints), or 400. Unknown."""

    bad_access_type_status: int = 400
    """Status for an ``accessType`` that is not user, admin or site-admin. Unknown."""

    list_deactivated: bool = True
    """Whether membersByGroupId lists deactivated and closed accounts. Unknown."""

    list_total_size: bool = False
    """Whether GET /group fills ``totalSize``. Reported: it does not."""

    members_total_size: Literal["filled", "missing", "page"] = "filled"
    """What membersByGroupId says where ``shouldReturnTotalSize`` asks for the total: the members of the group, nothing
    (reported for GET /group), or the rows of the page (reported for the search of users). Documented: the total."""

    unknown_group_members_status: int = 200
    """Status for the members of an unknown group: 200 with an empty page (measured), or 404."""

    unknown_group_status: int = 404
    """Status of by-id for an unknown group. Measured: 400 or 404."""

    add_existing_status: int = 201
    """Status for adding somebody who is in the group. Unknown."""

    external_write_status: int | None = 400
    """Status for a write to a group synced from outside; None lets it through. Unknown."""

    team_write_status: int | None = None
    """Status for a write to a team; None lets it through. Unknown."""

    memberof_unknown_status: int = 200
    """Status of user/memberof for an unknown account: 200 with an empty page, or 404. Unknown."""

    by_name_status: int = 410
    """Status of the removed group endpoints that take a name. Reported for another removed endpoint: 410."""

    report_scope: Literal["app", "token"] = "app"
    """Where the scope of the personal-data report counts: ticked on the app, or held by the token. Reported:
    3LO tokens never hold it (ECO-533); that ticking is enough is inferred."""

    cycle_period: str = "P7D"
    """``Cycle-Period`` of the personal-data report. Documented: 7 days by default; its form is reported."""

    search_short_pages: bool = True
    """Whether pages of the search hold fewer rows than asked though more follow. Measured."""

    permissions_in_roles_mode: Literal["empty", "listed"] = "empty"
    """What a space's classic permissions are on a site that has roles only. Unknown."""

    seats: int | None = None
    """Licence pool: adding to an access group fails when so many people are licensed; None for no limit.
    Documented: the failure is a 500 (CONFCLOUD-84635)."""

    space_role_mode: Literal["PRE_ROLES", "ROLES_TRANSITION", "ROLES"] = "PRE_ROLES"
    """Which permission model the site has. Documented: a site has one or the other."""

    users_bulk_is_read: bool = True
    """Whether users-bulk (a POST that reads) costs points like a read. Inferred."""

    quota: int = 65_000
    """Points an hour and app. Documented, tier 1: 65,000."""

    quota_window: int = 3600
    """Seconds until spent points come back, counted in whole windows. Documented: an hour, on the UTC hour. A lesson on
    spent points sets it to less, so that nobody waits for an hour."""

    tenant_quota: int | None = None
    """Points an hour, app and site, beside the quota over all sites; None for none. Documented for tier 2."""

    reset_with_seconds: bool = True
    """Whether ``X-RateLimit-Reset`` has seconds. Documented: ISO 8601; reported once as ``2026-03-26T16:00Z``."""

    quota_headers: Literal["enforced", "beta", "none"] = "enforced"
    """Names of the quota's headers: final, with ``Beta-`` before enforcement (then no 429), or absent. Documented."""

    burst: int = 0
    """Requests a second and endpoint before a burst 429; 0 for no limit. Unknown for Confluence; Jira: 100."""

    retry_after_form: Literal["seconds", "date"] = "seconds"
    """Form of ``Retry-After``. Documented: seconds; HTTP allows a date, and proxies write it."""

    body_429: Literal["json", "empty", "text"] = "json"
    """Body of a 429. Unknown."""

    def changed(self) -> dict[str, Any]:
        """Return those that are not as usual, by name."""
        usual = Switches()
        return {name: value for name, value in asdict(self).items() if value != getattr(usual, name)}

    def update(self, **values: Any) -> None:
        """Set switches by name; raises `InputError` for a name that is none, or a value that the switch cannot have."""
        kinds = get_type_hints(Switches)
        for name, value in values.items():
            if name not in kinds:
                raise InputError(f"The practice site has no switch {name!r}.", field=name)
            # A word that is none of a switch's words would leave it as it was, and nobody would see it.
            if not _fits(value, kinds[name]):
                words = ", ".join(map(repr, get_args(kinds[name]))) if get_origin(kinds[name]) is Literal else ""
                raise InputError(
                    f"The switch {name} cannot be {value!r}.",
                    field=name,
                    hint=f"Choose from {words}." if words else None,
                )
            if name == "quota_window" and value < 1:
                raise InputError("The switch quota_window is a whole number of seconds, 1 at least.", field=name)
            setattr(self, name, value)


def _fits(value: Any, kind: Any) -> bool:
    if get_origin(kind) is Literal:
        return value in get_args(kind)
    if get_origin(kind) is UnionType:
        return any(_fits(value, one) for one in get_args(kind))
    if isinstance(value, bool):
        return kind is bool
    return isinstance(value, int | float if kind is float else kind)
