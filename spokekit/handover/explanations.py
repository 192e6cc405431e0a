"""What each kind of drift means, and what to do about it."""

from __future__ import annotations

_BY_COLUMN: dict[tuple[str, str, str], tuple[str, str]] = {
    ("different", "http_connection", "connection_url"): (
        "Requests go to another address, or to another site.",
        "Set the Connection URL to what the plan says; ex/jira and the site's own address do not work for this spoke.",
    ),
    ("different", "http_connection", "connection_alias"): (
        "Flows look under the alias and find no connection.",
        "Choose the alias on the connection.",
    ),
    ("different", "http_connection", "credential"): (
        "Requests are sent with another credential than planned.",
        "Choose the planned credential on the connection, or make the plan anew.",
    ),
    ("different", "oauth_2_0_credentials", "oauth_entity_profile"): (
        "The token is asked for with another profile than planned.",
        "Choose the planned profile on the credential.",
    ),
    ("different", "oauth_entity_profile", "oauth_entity"): (
        "The profile belongs to another registry, so to another app.",
        "Use the default profile of the planned registry.",
    ),
    ("different", "oauth_entity", "redirect_url"): (
        "Atlassian sends the consent back to another instance: typical after a clone.",
        "Set the Redirect URL to this instance's own, and use an app whose callback URL it is.",
    ),
    ("different", "oauth_entity", "client_id"): (
        "The registry names no app, or another one.",
        "Type the client ID of this instance's own app into the registry; its secret belongs to it.",
    ),
    ("different", "oauth_entity", "default_grant_type"): (
        "The token is asked for in another way than planned.",
        "Set the Default Grant type of the registry and the Grant type of its profile alike.",
    ),
    ("different", "oauth_entity_profile", "grant_type"): (
        "The profile asks for the token in another way than its registry.",
        "Set the Grant type of the profile as that of the registry.",
    ),
    ("different", "oauth_entity_scope", "oauth_entity_scope"): (
        "The row has a name and no scope: an empty scope is sent, and Atlassian answers invalid_scope.",
        "Fill in OAuth scope, with the same text as the name.",
    ),
    ("different", "sys_alias", "id"): (
        "Flows and the spoke know an alias by its id.",
        "Make the child alias in the spoke's own scope, or use its id here.",
    ),
    ("different", "sys_alias", "parent"): (
        "The alias is no child of the spoke's own.",
        "A parent cannot be changed: make a new child of Confluence Cloud, and move the connection to it.",
    ),
    ("different", "groups table", "name"): (
        "The group was renamed at Atlassian; its id is the same.",
        "Nothing has to be done; the name is for people. Add it again to see the new one.",
    ),
    ("orphaned", "http_connection", "active"): (
        "The alias has no active connection: every action fails with “Connection not configured”.",
        "Set Active on the connection.",
    ),
    ("orphaned", "http_connection", "credential"): (
        "The connection names no credential that is there, so requests carry no token.",
        "Choose the credential on the connection.",
    ),
    ("orphaned", "oauth_2_0_credentials", "active"): ("The credential is not used.", "Set Active on the credential."),
    ("orphaned", "oauth_2_0_credentials", "oauth_entity_profile"): (
        "The credential names no profile that is there, so it gets no token.",
        "Choose the default profile of the registry on the credential, then press Get OAuth Token.",
    ),
    ("orphaned", "oauth_entity_profile", "oauth_entity"): (
        "The profile names no registry that is there, so no app.",
        "Use the default profile of the planned registry.",
    ),
    ("orphaned", "oauth_entity_profile", "scopes"): (
        "The profile has no scopes: the token would permit nothing.",
        "Add the registry's scope rows under OAuth Entity Profile Scopes, then press Get OAuth Token.",
    ),
    ("orphaned", "oauth_entity", "active"): ("The registry gives no tokens.", "Set Active on the registry."),
    ("orphaned", "oauth_entity", "default"): (
        "A registry has exactly one default profile; with none or two it is open which one is used.",
        "Leave Default on the profile that the credential names, and take it off the others.",
    ),
}
_BY_TABLE: dict[tuple[str, str], tuple[str, str]] = {
    ("missing", "sys_alias"): (
        "There is nothing to hang the connection on, or this account may not see it.",
        "Install the spoke for its own alias; make a child alias as the checklist says.",
    ),
    ("missing", "http_connection"): (
        "The alias is not configured: every action fails with “Connection not configured”.",
        "Make the connection, or import it: see the checklist.",
    ),
    ("missing", "oauth_2_0_credentials"): (
        "Requests carry no token.",
        "Make the credential, choose it on the connection, and press Get OAuth Token.",
    ),
    ("missing", "oauth_entity_profile"): (
        "The credential has nothing to ask for a token with.",
        "Save the registry, which makes a default profile, and choose it on the credential.",
    ),
    ("missing", "oauth_entity"): (
        "The instance knows no app at Atlassian.",
        "Make the registry as the checklist says, type the secret, and press Get OAuth Token.",
    ),
    ("missing", "oauth_entity_scope"): (
        "The consent does not ask for it, so the actions that need it fail.",
        "Add the scope row to the registry and to its profile, then press Get OAuth Token.",
    ),
    ("missing", "oauth_entity_profile_scope"): (
        "The registry has it, but the profile does not ask for it.",
        "Add it under OAuth Entity Profile Scopes, then press Get OAuth Token.",
    ),
    ("missing", "groups table"): (
        "User management on the instance leaves this group out.",
        "Add it in the dialog Add Groups.",
    ),
    ("extra", "sys_alias"): (
        "A child alias that this plan does not know.",
        "Remove it on the instance, or add the connection here.",
    ),
    ("extra", "http_connection"): (
        "The alias has several active connections, and it is open which one is used.",
        "Switch Active off on all but one.",
    ),
    ("extra", "oauth_entity_scope"): (
        "The consent asks for more than was decided here, or Atlassian refuses it.",
        "Take the row away, or add the scope to the connection here.",
    ),
    ("extra", "groups table"): (
        "User management on the instance reaches a group that is not registered here.",
        "Take it off the list there, or register it here: spokekit groups add.",
    ),
}


def explain(kind: str, table: str, column: str) -> tuple[str, str]:
    """Return what a finding means and what to do."""
    found = _BY_COLUMN.get((kind, table, column)) or _BY_TABLE.get((kind, table))
    return found or ("It was edited on the instance, or here, since the hand-over.", "Set it as the plan says.")


NEEDED: dict[str, tuple[str, ...]] = {
    "oauth_entity": (
        *("name", "active", "type", "client_id", "default_grant_type"),
        *("auth_url", "token_url", "redirect_url"),
    ),
    "oauth_entity_profile": ("name", "oauth_entity", "grant_type", "default"),
    "oauth_entity_scope": ("name", "oauth_entity", "oauth_entity_scope"),
    "oauth_entity_profile_scope": ("oauth_entity_profile", "oauth_entity_scope"),
    "sys_alias": ("name", "id", "type", "connection_type", "parent"),
    "oauth_2_0_credentials": ("name", "active", "oauth_entity_profile"),
    "http_connection": ("name", "active", "connection_alias", "credential", "connection_url"),
}
"""The columns that a comparison looks at, by table."""
