"""All groups of one person: out of all of them, or into those of a colleague."""

from __future__ import annotations

from typing import TYPE_CHECKING

from spokekit._ids import account_id, is_account_id
from spokekit._words import comparable, counted, look_alike
from spokekit.confluence.report import UNWATCHED, Watching
from spokekit.errors import InputError, NotFound
from spokekit.groups.wishes import Wish, WishList

if TYPE_CHECKING:
    from spokekit.groups.site import LiveSite

# With an address in the list all registered groups and those with access are read, see `LiveSite.present`.
_SOME_ADDRESS = "@"


def find_person(site: LiveSite, text: str, field: str, watching: Watching = UNWATCHED) -> str:
    """Return the account id of a person given by account id, address, or display name.

    Address and name are looked for among the members of the registered groups and of those with Confluence access.
    Raises `InputError` when several people are meant, `NotFound` when nobody is.
    """
    wanted = account_id(text)
    if not wanted.strip():
        raise InputError("Nobody was named.", field=field, hint="Give an account id, an address, or a display name.")
    if is_account_id(wanted):
        return wanted
    by_mail = "@" in wanted
    present = site.present((), [wanted if by_mail else _SOME_ADDRESS], removes=False, watching=watching)
    if by_mail:
        found = list(present.mails.get(comparable(wanted), ()))
    else:
        # An id of a form that is not known here is one all the same.
        found = [wanted] if wanted in present.people else []
        found = found or [
            one.account_id for one in present.people.values() if comparable(one.display_name) == comparable(wanted)
        ]
    if len(found) > 1:
        error = InputError(
            f"Several people are called {wanted[:200]}: {', '.join(sorted(found)[:6])}.",
            field=field,
            hint="Give the account id.",
        )
        error.candidates = tuple(sorted(found))
        raise error
    if not found:
        alike = look_alike(wanted, (one.display_name for one in present.people.values() if one.display_name))
        raise NotFound(
            f"Nobody in the registered groups or in those with access is called {wanted[:200]}.",
            likely=f"It looks like {alike[0]}, but {alike[1]}."
            if alike
            else "Profiles may hide their address."
            if by_mail
            else None,
            hint="Give the account id; it stands at the end of the address of the person's profile.",
        )
    return found[0]


def wishes_for(site: LiveSite, person: str, like: str = "", watching: Watching = UNWATCHED) -> WishList:
    """Return a list with `person` in each group of theirs, or in each of those of the colleague `like`.

    Groups that are not registered are on it too: the plan refuses them by name, with the reason. Where the scope for
    somebody's groups is missing, only the registered groups are looked at, and a note says so.

    Raises `NotFound` when there is nobody, or no group; see `find_person`.
    """
    account = find_person(site, person, "person", watching)
    source = find_person(site, like, "like", watching) if like else account
    if source == account and like:
        raise InputError("The person and the colleague are the same account.", field="like")
    notes: list[str] = []
    known = site.memberships([source], watching=watching)
    registered = [str(group_id) for group_id in site.registry.frame()["group_id"]]
    if source in known:
        groups = [*(one for one in registered if one in known[source]), *sorted(known[source] - set(registered))]
        strange = len(known[source] - set(registered))
        of = "The colleague" if like else "The person"
        notes.append(
            f"{of} is in {counted(len(groups), 'group')}, {len(groups) - strange:,} of them registered; "
            "the others are not changed."
        )
    else:
        present = site.present(registered, (), removes=False, watching=watching)
        groups = [one for one in registered if one in present.groups and source in present.groups[one].members]
        notes.append(
            "Only the registered groups were looked at: the scope read:group:confluence would show the others."
        )
    if not groups:
        raise NotFound(
            f"{like or person} is in no group{'' if source in known else ' that is registered'}.",
            hint="Check the account id; deactivated people stay in their groups, closed accounts do not.",
        )
    what = "the groups of a colleague" if like else "all groups of one person"
    return WishList(tuple(Wish(group, account) for group in groups), tuple(notes), what)
