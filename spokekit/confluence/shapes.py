"""The parts of Atlassian's answers that spokekit reads, with their types; anything else in them is skipped unread.

A field that the documents require is required here, so that its absence is noticed; a field that may be missing or
null has a default. msgspec checks the types while it decodes and builds no object for a field that is not listed:
a page of 200 members takes a quarter of the time of ``json`` (measured), and the checks come with it.
"""

from __future__ import annotations

from typing import Generic, TypeVar

import msgspec

R = TypeVar("R")


class Links(msgspec.Struct):
    next: str | None = None


class Page(msgspec.Struct, Generic[R]):
    """One page of a list, v1 and v2 alike."""

    results: list[R]
    links: Links | None = msgspec.field(name="_links", default=None)
    total: int | None = msgspec.field(name="totalSize", default=None)
    size: int | None = None

    @property
    def next(self) -> str | None:
        return None if self.links is None else self.links.next


class Group(msgspec.Struct, rename="camel"):
    id: str
    name: str
    managed_by: str | None = None
    usage_type: str | None = None

    def row(self, access: str = "") -> dict[str, str | None]:
        """Return the group as a row of `GROUP_COLUMNS`; `access` is what the lists of access types say of it."""
        of_lists = {"group_id": self.id, "access": access}
        return {name: of_lists[name] if name in of_lists else getattr(self, name) for name in GROUP_COLUMNS}


# What look_up_groups returns, with the kinds of `spokekit._frames`: here alone. Column for column the audit keeps it,
# as text, and `spokekit groups` shows it. A new column that a group has as a field needs its name here and no more.
GROUP_COLUMNS = {
    "group_id": "text",
    "name": "text",
    "access": "text",
    "managed_by": "category",
    "usage_type": "category",
}


class Operation(msgspec.Struct):
    """One thing that a user may do; only whether there is any counts."""


class Account(msgspec.Struct, rename="camel"):
    account_id: str
    display_name: str | None = None
    public_name: str | None = None
    email: str | None = None
    account_type: str | None = None
    is_guest: bool | None = None


class Member(Account, rename="camel"):
    operations: list[Operation] | None = None


GROUP = msgspec.json.Decoder(Group)
GROUPS = msgspec.json.Decoder(Page[Group])
MEMBERS = msgspec.json.Decoder(Page[Member])
MEMBER = msgspec.json.Decoder(Member)


class Resource(msgspec.Struct, rename="camel"):
    id: str
    name: str | None = None
    url: str | None = None
    scopes: list[str] | None = None


class BulkUser(Account, rename="camel"):
    """A user of v1 ``user/bulk`` or v2 ``users-bulk``: the fields of both."""

    account_status: str | None = None
    is_external_collaborator: bool | None = None
    time_zone: str | None = None


class Space(msgspec.Struct, rename="camel"):
    id: str
    key: str | None = None
    name: str | None = None
    type: str | None = None
    status: str | None = None
    author_id: str | None = None
    created_at: str | None = None
    homepage_id: str | None = None


class Version(msgspec.Struct, rename="camel"):
    number: int | None = None
    created_at: str | None = None


class Body(msgspec.Struct):
    value: str | None = None


class ContentPage(msgspec.Struct, rename="camel"):
    """A page of Confluence (the word "page" is taken by lists)."""

    id: str
    title: str | None = None
    status: str | None = None
    space_id: str | None = None
    parent_id: str | None = None
    parent_type: str | None = None
    author_id: str | None = None
    owner_id: str | None = None
    created_at: str | None = None
    version: Version | None = None
    body: dict[str, Body | None] | None = None


class Principal(msgspec.Struct):
    type: str
    id: str


class Grant(msgspec.Struct):
    """What a permission lets do: open strings, since the live service sends more than the documents list."""

    key: str
    target: str = msgspec.field(name="targetType", default="")


class Permission(msgspec.Struct):
    id: str
    principal: Principal
    operation: Grant


class RolePrincipal(msgspec.Struct):
    type: str = msgspec.field(name="principalType")
    id: str = msgspec.field(name="principalId")


class RoleAssignment(msgspec.Struct, rename="camel"):
    principal: RolePrincipal
    role_id: str


class Role(msgspec.Struct):
    id: str
    name: str | None = None


class RoleMode(msgspec.Struct):
    mode: str


class FoundContent(msgspec.Struct):
    id: str | None = None
    type: str | None = None
    status: str | None = None


class Container(msgspec.Struct, rename="camel"):
    title: str | None = None


class Found(msgspec.Struct, rename="camel"):
    """One result of a search; only content has ``content``, a space or a user stands in fields that are not read."""

    title: str | None = None
    url: str | None = None
    excerpt: str | None = None
    entity_type: str | None = None
    last_modified: str | None = None
    content: FoundContent | None = None
    result_global_container: Container | None = None


class PersonalData(msgspec.Struct, rename="camel"):
    account_id: str
    status: str


class PersonalDataReport(msgspec.Struct):
    accounts: list[PersonalData]


RESOURCES = msgspec.json.Decoder(list[Resource])
BULK_USERS = msgspec.json.Decoder(Page[BulkUser])
SPACES = msgspec.json.Decoder(Page[Space])
CONTENT_PAGES = msgspec.json.Decoder(Page[ContentPage])
PERMISSIONS = msgspec.json.Decoder(Page[Permission])
ASSIGNMENTS = msgspec.json.Decoder(Page[RoleAssignment])
ROLES = msgspec.json.Decoder(Page[Role])
ROLE_MODE = msgspec.json.Decoder(RoleMode)
SEARCH = msgspec.json.Decoder(Page[Found])
REPORT = msgspec.json.Decoder(PersonalDataReport)
