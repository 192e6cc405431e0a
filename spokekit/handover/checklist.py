"""The plan as a checklist in Markdown: what a person does and types, in order, the secret and the token last."""

from __future__ import annotations

import re
from collections.abc import Iterable

from spokekit._foreign import NAME, shown
from spokekit._words import counted
from spokekit.connections._tables import PARENT_ALIAS_ID, PARENT_LABEL
from spokekit.connections.scopes import scope
from spokekit.handover import records as rec

# Markup, links and addresses anywhere, and what would begin a list at the start.
_SIGNS = re.compile(r"([\\`*_\[\]<>#|~&$!:@]|(?<=www)\.|^[-+]|(?<=^\d)[.)])", re.IGNORECASE)

FILES = (
    ("checklist.md", "what to do and to type, in order", "It changes nothing by itself."),
    (
        "records.json",
        "the plan for programs: records, scopes, groups, what is left to a person (records.schema.json says its form)",
        "No instance reads it.",
    ),
    (
        "unload/",
        "records for **Import XML**, one file a table, to be imported by number; importing again updates the same "
        "records",
        "An import runs no business rules and does not refresh the instance's cache: a child alias inherits nothing, "
        "nothing is checked. Password fields do not survive one, so no secret is in it.",
    ),
    (
        "fluent/",
        "the same records as a project for the ServiceNow SDK (now-sdk build, now-sdk install)",
        "It installs by an import as well, into an application scope of its own: the id of a child alias then begins "
        "with that scope.",
    ),
    (
        "groups.csv",
        "the registered groups, to be chosen in the dialog **Add Groups**",
        "It is not imported: the table behind the dialog is not public.",
    ),
)
"""What each artefact is, what it does, and what it does not do."""


def text(plan: rec.Plan) -> str:
    """Return the checklist."""
    lines = ["# Hand-over to a ServiceNow instance", ""]
    name = f"`{plan.instance}.service-now.com`" if plan.instance else "not named: write its name where `<instance>` is"
    lines += [f"- Instance: {name}", f"- Connections: {len(plan.parts)}", ""]
    lines += ["No file of this folder holds a secret or a token. Both are made on the instance, at the end.", ""]
    if plan.notes:
        lines += ["## To mind", "", *(f"- {_words(note)}" for note in plan.notes), ""]
    lines += ["## What is in this folder", ""]
    lines += [f"- **{file}**: {does}. {does_not}" for file, does, does_not in FILES]
    lines += [
        "",
        "## Once for the instance",
        "",
        "- [ ] The Confluence Cloud spoke is installed, and you have the roles admin and connection_admin.",
        f"- [ ] The alias {_typed(PARENT_LABEL)} ({_typed(PARENT_ALIAS_ID)}) is there: **Connections & Credentials > "
        "Connection & Credential Aliases**.",
    ]
    if plan.parent_sys_id:
        lines.append(f"- [ ] Its sys_id there is {_typed(plan.parent_sys_id)}, which the files name.")
    else:
        lines.append(
            "- [ ] Its sys_id is not known here, so the files leave the alias of each connection out. Choose **Copy "
            "sys_id** in the menu of its heading and make the plan again with `--parent-alias SYS_ID`, or fill the "
            "alias in by hand, in the steps below."
        )
    for number, part in enumerate(plan.parts, 1):
        lines += ["", *_part(plan, part, number)]
    lines += ["", "## Afterwards", "", "- [ ] `spokekit handover compare --instance URL` names nothing."]
    return "\n".join(lines) + "\n"


def _part(plan: rec.Plan, part: rec.Part, number: int) -> list[str]:
    consent = part.grant == "consent"
    head = f"## Connection {number}: {_words(part.connection)}"
    where = f"Alias {_typed(part.alias_id)}" + (f", site {_typed(part.site)}" if part.site else "")
    steps = [
        _app(plan, part),
        *_records(plan, part),
        _groups(part),
        "**The secret, by hand.** Open the application registry, type the client secret of the app into **Client "
        "Secret**, **Update**. It is in no file of this folder, and in no message.",
        "**Get OAuth Token, last.** Open the credential, press the related link **Get OAuth Token**"
        + (", sign in at Atlassian as the site's administrator, choose the site, **Accept**." if consent else ".")
        + " A token cannot be carried over: the instance gets one of its own.",
    ]
    lines = [head, "", where + ".", ""]
    for at, step in enumerate(steps, 1):
        first, *rest = step.split("\n")
        lines += [f"{at}. [ ] {first}", *(f"   {line}" for line in rest)]
    return lines


def _app(plan: rec.Plan, part: rec.Part) -> str:
    if part.grant == "service-account":
        return (
            "**Credentials for a service account.** In Atlassian Administration, make a service account with access to "
            "Confluence, and OAuth 2.0 credentials for it. Copy the client ID; the secret comes last."
        )
    scopes = [name for name in part.scopes if name != "offline_access" and scope(name).published]
    return _step(
        "**An app of the instance's own.** developer.atlassian.com > Developer console > **Create** > OAuth 2.0 "
        "integration. A token that two sides renew dies, so it is not the app that spokekit uses.",
        [
            f"Authorization > Callback URL: {_typed(plan.redirect_url)}",
            f"Permissions: {', '.join(map(_typed, scopes))}",
            "Settings: copy the client ID; the secret comes last.",
        ],
    )


def _records(plan: rec.Plan, part: rec.Part) -> list[str]:
    """Return the steps for the records: those of the set-up page's form, or of the import, field by field."""
    steps = [
        "Either import the files of `unload/` by their numbers (any list > menu of a column's heading > **Import "
        "XML**), and look the next steps over; or make the records by hand, as they say."
    ]
    by_hand = dict.fromkeys(part.by_hand)
    names = {record.sys_id: record.values.get("name", "") for record in part.records}
    for table, where in _PLACES:
        record = part.record(table)
        if record is None:
            if (table, "parent") in by_hand:
                steps.append(_child_by_hand(part))
            continue
        fields = []
        for column, label in _FIELDS[table]:
            value = record.values.get(column, "")
            if (table, column) in by_hand:
                fields.append(f"{label}: {_asked(plan, part, table, column)}")
            elif value:
                reference = names.get(value) or (PARENT_LABEL if value == plan.parent_sys_id else "")
                fields.append(f"{label}: {_typed(reference or value)}")
        if table == rec.REGISTRY and part.grant == "consent":
            fields.append(
                f"OAuth Entity Scopes, {counted(len(part.scopes), 'row')}, each with the scope as its Name and as its "
                f"OAuth scope: {', '.join(map(_typed, part.scopes))}"
            )
        if table == rec.PROFILE:
            fields.append(
                "OAuth Entity Profile Scopes: the same rows."
                if part.grant == "consent"
                else "No scope rows: Atlassian is reported to refuse any scope with client credentials."
            )
        steps.append(_step(f"**{rec.WORDS[table].capitalize()}.** {where}", fields))
    return steps


_PLACES = (
    (rec.REGISTRY, "System OAuth > Application Registry > New > Connect to a third party OAuth Provider."),
    (rec.PROFILE, "Saving the registry makes its default profile: open that one, do not make a second."),
    (rec.ALIAS, "The alias Confluence Cloud > Child Aliases > New."),
    (rec.CREDENTIAL, "Connections & Credentials > Credentials > New > OAuth 2.0 Credentials."),
    (rec.CONNECTION, "The alias > Connections > New > HTTP(s) Connection."),
)
_FIELDS = {
    rec.REGISTRY: (
        ("name", "Name"),
        ("client_id", "Client ID"),
        ("default_grant_type", "Default Grant type"),
        ("auth_url", "Authorization URL"),
        ("token_url", "Token URL"),
        ("redirect_url", "Redirect URL"),
    ),
    rec.PROFILE: (("name", "Name"), ("grant_type", "Grant type")),
    rec.ALIAS: (("name", "Name"), ("parent", "Parent Alias"), ("description", "Description")),
    rec.CREDENTIAL: (("name", "Name"), ("oauth_entity_profile", "OAuth Entity Profile")),
    rec.CONNECTION: (
        ("name", "Name"),
        ("credential", "Credential"),
        ("connection_alias", "Connection Alias"),
        ("connection_url", "Connection URL"),
    ),
}


def _asked(plan: rec.Plan, part: rec.Part, table: str, column: str) -> str:
    if column == "client_id":
        return "the client ID of the app from step 1"
    if column == "redirect_url":
        return f"leave it empty; the instance fills it in. It has to be {_typed(plan.redirect_url)}"
    return f"choose {_typed(part.label if part.child else PARENT_LABEL)} ({_typed(part.alias_id)})"


def _child_by_hand(part: rec.Part) -> str:
    return _step(
        "**Child alias.** The alias Confluence Cloud > Child Aliases > New. Its parent cannot be given later, so no "
        "file makes it while the parent's sys_id is not known.",
        [f"Name: {_typed(part.alias_id.partition('.')[2])}", f"Description: {_typed(part.label)}"],
    )


def _groups(part: rec.Part) -> str:
    if not part.groups:
        return "**Confluence Groups.** None is registered here: register them first, and make the plan again."
    return _step(
        "**Confluence Groups.** Confluence Cloud > Confluence Groups > **Add Groups**: move these to **Selected**, "
        "**OK**.",
        [f"{_typed(group.name)} (id {_typed(group.group_id)})" for group in part.groups],
    )


def _step(first: str, fields: Iterable[str]) -> str:
    return "\n".join([first, *(f"- {field}" for field in fields)])


def _words(value: str) -> str:
    """Return foreign text for a line of Markdown, in which nothing of it is markup."""
    return _SIGNS.sub(r"\\\1", shown(value, 4_000))


def _typed(value: str) -> str:
    """Return what is to be typed, as code that ends where it ends."""
    plain = shown(value, NAME)
    fence = "`" * (max(map(len, re.findall("`+", plain)), default=0) + 1)
    pad = " " if plain[:1] in ("`", " ", "") or plain[-1:] in ("`", " ") else ""
    return f"{fence}{pad}{plain}{pad}{fence}"
