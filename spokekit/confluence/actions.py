"""Confluence Cloud's actions, by the names that ServiceNow's spoke gave them.

They stand here once, as coroutines; `spokekit.confluence.spoke.Spoke` has the same as plain calls.

Every frame carries ``attrs["completeness"]`` (`CompletenessReport.as_dict`), ``attrs["site"]`` and
``attrs["pulled_at"]``. Long actions take the same four options:

partial
    ``"raise"``: when rows are missing, raise `IncompleteResult`, which carries frame and report. ``"keep"``: return
    the frame, marked incomplete in its report.
progress
    Called with a `Progress` in the I/O thread, at most ten times a second, and at the end. It must return at once.
cancel
    Anything with ``is_set()``, such as a `threading.Event`. Once set, the action raises `Cancelled`, also while it
    waits for a new hour of the quota.
deadline
    Seconds for the whole action, waiting included; then it raises `TransportError`.

All actions can raise `ScopeMissing`, `TokenRejected`, `AppNotInstalled`, `NotPermitted`, `RateLimited`,
`TransportError`, `UnexpectedAnswer`, `ServiceError`, `ConsentNeeded` and `Cancelled`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import date, datetime
from typing import TYPE_CHECKING

from spokekit.confluence import groups, people, search, spaces
from spokekit.confluence.frame_pages import AsyncFramePages
from spokekit.confluence.groups import Access
from spokekit.confluence.pull import Partial
from spokekit.confluence.report import Cancel, ChangeOutcome, ProgressCallback
from spokekit.confluence.running import Running, an_id, ids_of
from spokekit.confluence.search import Values
from spokekit.confluence.spaces import Filter

if TYPE_CHECKING:
    import pandas as pd


class AsyncSpoke(Running):
    """The actions as coroutines.

    They can be awaited in any asyncio event loop, a notebook's for example: the requests run in spokekit's I/O thread
    all the same, to which the connections belong.
    """

    async def look_up_groups(
        self,
        access: Access | None = None,
        *,
        with_access: bool = True,
        partial: Partial = "raise",
        progress: ProgressCallback | None = None,
        cancel: Cancel | None = None,
        deadline: float | None = None,
    ) -> pd.DataFrame:
        """Return the groups of the site.

        Parameters
        ----------
        access:
            Only groups that give this access to Confluence: ``"user"``, ``"admin"`` or ``"site-admin"``. None: all
            groups of the directory, teams and groups for other products too.
        with_access:
            Ask for the three kinds of access as well and say in ``access`` which a group gives. Without it the column
            holds the access asked for, or nothing.
        partial, progress, cancel, deadline: see `spokekit.confluence.actions`

        Returns
        -------
        pandas.DataFrame
            ``group_id`` (str), ``name`` (str), ``access`` (str: kinds joined by ", ", "" for none), ``managed_by``
            (category: ADMINS, EXTERNAL, TEAM_MEMBERS, OPEN or ""), ``usage_type`` (category: USERBASE_GROUP,
            TEAM_COLLABORATION or ""), ordered by name as Confluence orders them. Costs 1 point a page and 2 a group.
        """
        operation = self._operation("look_up_groups", "groups", progress, cancel, deadline)
        return await self._act(operation, groups.list_groups, access, with_access, partial)

    async def look_up_members_by_group_id(
        self,
        group_id: str | Iterable[str],
        *,
        partial: Partial = "raise",
        confirm_empty: bool = True,
        count: bool = False,
        progress: ProgressCallback | None = None,
        cancel: Cancel | None = None,
        deadline: float | None = None,
    ) -> pd.DataFrame:
        """Return the members of one group or of many; many are read in flight together.

        Parameters
        ----------
        group_id:
            One id, or several (a list, a column of a frame). An id given twice is read once.
        confirm_empty:
            Confluence answers an unknown id with an empty page. Ask whether the group exists when it looks empty
            (3 points), so that "nobody" and "no such group" differ.
        count:
            Compare each group of more than one page with the number that Confluence counts, and call it incomplete
            when they differ. Off by default: counting is expensive for Confluence, and it may count people whom it
            does not list.
        partial, progress, cancel, deadline: see `spokekit.confluence.actions`

        Returns
        -------
        pandas.DataFrame
            ``group_id``, ``account_id``, ``display_name``, ``public_name``, ``email``, ``account_type`` (categories;
            "" where Confluence shows nothing), ``is_guest`` (bool), ``licensed`` (bool: may do anything at all in
            Confluence). One row a membership, groups one after another. The categories of ``group_id`` are all groups
            that were read, empty ones too. Costs 1 point a page and 2 a member.

        Raises
        ------
        NotThere
            The one group asked for does not exist. Of several, unknown ones stand under ``failed`` in the report.
        """
        one = isinstance(group_id, str)
        ids = ids_of(group_id, "group_id")
        operation = self._operation("look_up_members_by_group_id", "groups", progress, cancel, deadline)
        return await self._act(
            operation, groups.read_members, ids, one=one, partial=partial, confirm_empty=confirm_empty, count=count
        )

    async def add_member_to_group_by_group_id(
        self,
        group_id: str,
        account_id: str,
        *,
        progress: ProgressCallback | None = None,
        cancel: Cancel | None = None,
    ) -> ChangeOutcome:
        """Add one user to one registered group, and return what came of it. Costs 1 point.

        Sent again only when it cannot have been carried out (429, no connection) or when Confluence asks for it (503
        with ``Retry-After``). An error of a second try that refuses it does not hide that the first may have been done.

        Parameters
        ----------
        progress:
            Told of each pause.
        cancel:
            Once set, pauses end at once, and a request under way has a second left for its answer.

        Raises
        ------
        Cancelled
            ``nothing_done`` says whether it is known that nothing was changed.
        GuardRefused
            The group is not registered; nothing was sent.
        LicenceFull
            No seat is left.
        NotPermitted
            The signed-in person is no site administrator.
        NotThere
            Group or user are unknown.
        """
        return await self._change("POST", "add_member_to_group_by_group_id", group_id, account_id, progress, cancel)

    async def remove_member_from_group_by_group_id(
        self,
        group_id: str,
        account_id: str,
        *,
        progress: ProgressCallback | None = None,
        cancel: Cancel | None = None,
    ) -> ChangeOutcome:
        """Remove one user from one registered group, and return what came of it. Costs 1 point.

        Confluence answers the same when the user was not in the group. Options as
        `add_member_to_group_by_group_id`.

        Raises
        ------
        Cancelled, GuardRefused, NotPermitted, NotThere
            As `add_member_to_group_by_group_id`.
        """
        return await self._change(
            "DELETE", "remove_member_from_group_by_group_id", group_id, account_id, progress, cancel
        )

    async def look_up_accessible_resources(self) -> pd.DataFrame:
        """Return the sites that the grant reaches.

        Returns
        -------
        pandas.DataFrame
            ``cloud_id``, ``name``, ``url``, ``product`` ("confluence", "jira" or "", told by the scopes), ``scopes``
            (joined by spaces), all str. One site can appear once for each product. Costs no points.
        """
        operation = self._operation("look_up_accessible_resources", "sites", deadline=180.0)
        return await self._act(operation, people.accessible_resources)

    async def look_up_group_memberships_for_user(
        self,
        account_id: str,
        *,
        partial: Partial = "raise",
        progress: ProgressCallback | None = None,
        cancel: Cancel | None = None,
        deadline: float | None = None,
    ) -> pd.DataFrame:
        """Return the groups that one user is in.

        Returns
        -------
        pandas.DataFrame
            ``account_id``, ``group_id``, ``name`` (str), ``managed_by``, ``usage_type`` (category). Costs 1 point a
            page and 2 a group.

        Raises
        ------
        NotThere
            No user of the site has this account id.
        """
        account_id = an_id(account_id, "account_id")
        operation = self._operation("look_up_group_memberships_for_user", "groups", progress, cancel, deadline)
        return await self._act(operation, groups.list_groups_of, account_id, partial)

    async def look_up_users(
        self,
        account_ids: str | Iterable[str],
        *,
        partial: Partial = "raise",
        progress: ProgressCallback | None = None,
        cancel: Cancel | None = None,
        deadline: float | None = None,
    ) -> pd.DataFrame:
        """Return who the accounts are, in the order asked for; an account asked for twice is looked up once.

        With the scope ``read:user:confluence`` 250 accounts go into a request, with ``read:confluence-user`` 100.

        Returns
        -------
        pandas.DataFrame
            ``account_id``, ``display_name``, ``public_name``, ``email``, ``account_type`` (atlassian, app, customer,
            unknown), ``account_status`` (active, inactive, closed, unknown; with the classic scope "" where the site
            does not send it), ``is_guest`` (bool), ``time_zone``; str unless said otherwise. Accounts that the site
            does not know have no row and stand in ``attrs["unknown"]``. Costs 1 point a request and 2 a user.
        """
        ids = ids_of(account_ids, "account_ids")
        operation = self._operation("look_up_users", "requests", progress, cancel, deadline)
        return await self._act(operation, people.users_in_bulk, ids, partial)

    def look_up_spaces(
        self,
        *,
        page_size: int = 250,
        query: Filter = None,
        progress: ProgressCallback | None = None,
        cancel: Cancel | None = None,
    ) -> AsyncFramePages:
        """Return an iterator of frames of spaces, one for each page; ``.all()`` makes one frame of them.

        Parameters
        ----------
        page_size:
            Rows a page, 1 to 250.
        query:
            Narrows the list: a mapping or a text such as ``"status=archived&type=global"``. Names: ids, keys, type,
            status, labels, favorited-by, not-favorited-by, sort, description-format, include-icon.
        progress, cancel: see `spokekit.confluence.actions`

        Yields
        ------
        pandas.DataFrame
            ``space_id``, ``key``, ``name``, ``type``, ``status``, ``author_id``, ``homepage_id`` (str),
            ``created_at`` (datetime64[ms, UTC]). The report of the last frame is complete. Costs 1 point a page and
            1 a space.
        """
        operation = self._operation("look_up_spaces", "spaces", progress, cancel)
        return spaces.stream_spaces(self.gateway, operation, page_size, query).through(self._run)

    def look_up_pages(
        self,
        *,
        page_size: int = 100,
        query: Filter = None,
        progress: ProgressCallback | None = None,
        cancel: Cancel | None = None,
    ) -> AsyncFramePages:
        """Return an iterator of frames of pages, one for each page of the list; ``.all()`` makes one frame of them.

        Parameters
        ----------
        page_size:
            Rows a page of the list, 1 to 250.
        query:
            As in `look_up_spaces`, for example ``"status=current"``; without a status the archived ones come too.
            Names: id, space-id, sort, status, title, body-format, subtype.
        progress, cancel: see `spokekit.confluence.actions`

        Yields
        ------
        pandas.DataFrame
            ``page_id``, ``title``, ``status``, ``space_id``, ``parent_id``, ``parent_type``, ``author_id``,
            ``owner_id`` (str), ``created_at`` (datetime64[ms, UTC]), ``version`` (Int64), ``version_at``
            (datetime64[ms, UTC]), and ``body`` (str) when ``body-format`` is asked for. Costs 1 point a page of the
            list and 1 a page in it.
        """
        operation = self._operation("look_up_pages", "pages", progress, cancel)
        return spaces.stream_pages(self.gateway, operation, page_size, query).through(self._run)

    async def look_up_space_permissions(
        self,
        space_ids: str | Iterable[str] | None = None,
        *,
        partial: Partial = "raise",
        progress: ProgressCallback | None = None,
        cancel: Cancel | None = None,
        deadline: float | None = None,
    ) -> pd.DataFrame:
        """Return who may do what in spaces, in the model that the site has: permissions or roles.

        Parameters
        ----------
        space_ids:
            Some spaces; None for all that the signed-in person can see.
        partial, progress, cancel, deadline: see `spokekit.confluence.actions`

        Returns
        -------
        pandas.DataFrame
            ``space_id``, ``principal_type`` (user, group, role, access-class), ``principal_id``, ``operation`` and
            ``target`` (permissions; "" for roles), ``role`` (the role's name, or its id where names cannot be read;
            "" for permissions): all category. ``attrs["role_mode"]`` is PRE_ROLES, ROLES_TRANSITION, ROLES, or
            unknown when ``read:configuration:confluence`` is missing; then both are asked for. Costs 1 point a page
            and 2 a row.
        """
        ids = None if space_ids is None else ids_of(space_ids, "space_ids")
        operation = self._operation("look_up_space_permissions", "spaces", progress, cancel, deadline)
        return await self._act(operation, spaces.read_permissions, ids, partial)

    async def search_content(
        self,
        text: str | None = None,
        *,
        title: str | None = None,
        kind: Values = None,
        space: Values = None,
        label: Values = None,
        creator: Values = None,
        modified_since: date | None = None,
        cql: str | None = None,
        most: int | None = None,
        page_size: int = 50,
        partial: Partial = "raise",
        progress: ProgressCallback | None = None,
        cancel: Cancel | None = None,
        deadline: float | None = None,
    ) -> pd.DataFrame:
        """Search content; all conditions given have to hold.

        Parameters
        ----------
        text, title:
            Words in the text or the title. Each value is one literal of the query: quotes in it cannot end it.
        kind, space, label, creator:
            One value or several: types (page, blogpost, attachment, comment), space keys, labels, account ids.
        modified_since:
            A day.
        cql:
            CQL of your own, sent as it is; a value from elsewhere belongs into the conditions above.
        most, page_size:
            Stop after so many results; rows a request, 1 to 250.
        partial, progress, cancel, deadline: see `spokekit.confluence.actions`

        Returns
        -------
        pandas.DataFrame
            ``entity_type``, ``content_id``, ``content_type``, ``status``, ``title``, ``container``, ``url``,
            ``excerpt`` (str), ``last_modified`` (datetime64[ms, UTC]). ``attrs["cql"]`` is the query that was sent.
            Confluence's index runs some minutes late, and its count is an estimate (see the report's notes). Costs
            1 point a request and 1 a result.
        """
        made = search.make_cql(
            text=text, title=title, kind=kind, space=space, label=label, creator=creator,
            modified_since=modified_since, cql=cql,
        )  # fmt: skip
        operation = self._operation("search_content", "results", progress, cancel, deadline)
        return await self._act(operation, search.search, made, size=page_size, most=most, partial=partial)

    async def report_personal_data(
        self,
        accounts: Mapping[str, datetime] | pd.DataFrame,
        *,
        partial: Partial = "raise",
        progress: ProgressCallback | None = None,
        cancel: Cancel | None = None,
        deadline: float | None = None,
    ) -> pd.DataFrame:
        """Tell Atlassian which accounts' data you keep, and learn whose has to be erased or fetched again.

        Atlassian's rule for apps that store personal data: report every account once a cycle (7 days unless it says
        otherwise) and no more often; erase what you keep of a closed account, and fetch an updated one again. An
        account found closed need not be reported again.

        Parameters
        ----------
        accounts:
            Account id to when its data was last fetched (with a time zone), or a frame with ``account_id`` and
            ``updated_at``. 90 go into a request, one request after another.
        partial, progress, cancel, deadline: see `spokekit.confluence.actions`

        Returns
        -------
        pandas.DataFrame
            ``account_id`` (str) and ``status`` (category: unchanged, updated, closed), one row for each account that
            was reported. ``attrs["cycle_days"]``: report again after so many days. Needs the scope
            ``report:personal-data``.
        """
        operation = self._operation("report_personal_data", "requests", progress, cancel, deadline)
        return await self._act(operation, people.personal_data, accounts, partial)
