"""Who should go where: people who are searched for, a list that is pasted or uploaded, or the members marked."""

from __future__ import annotations

from contextlib import closing
from functools import partial
from hashlib import sha256
from typing import TYPE_CHECKING, Any

import ipywidgets as ipw
import traitlets as tr

from spokekit._foreign import NAME, shown
from spokekit._ids import account_id, is_account_id
from spokekit._words import counted, moment
from spokekit.errors import InputError, NotFound, SpokekitError
from spokekit.groups.wishes import WishList, for_accounts, read_csv
from spokekit.widgets._membership_form import REMOVE_MARKED
from spokekit.widgets._membership_list import MembershipList
from spokekit.widgets._people import People, Unclear, read_list, wishes_of
from spokekit.widgets.base import Task
from spokekit.widgets.controls import dropdown, hide, note, paragraph, show

if TYPE_CHECKING:
    import pandas as pd

    from spokekit._workspace import Workspace
    from spokekit.widgets._people import Known

# Names that are asked about at once, and names whose person is shown.
_ASKED, _TOLD = 8, 20


class MembershipWishes(MembershipList):
    """The list of people of the membership editor, and whom its names mean."""

    _arrived = tr.Any(None, allow_none=True)

    def __init__(self, connection: str | None, workspace: Workspace | None, **options: Any) -> None:
        super().__init__(**options)
        self.work_with(workspace, connection)
        self._file: tuple[bytes, str] | None = None
        self._people = People()
        self._walked: tuple[Any, pd.DataFrame] | None = None
        self._offered: dict[str, str] = {}
        self._asked: tuple[Unclear, ...] = ()
        self.on_upload(self.upload, self._uploaded)
        self.on_click(self.forget_file, self._no_file)
        self.on_change(self.person, self._suggest)
        self.on_enter(self.person, self.add)
        self.on_click(self.add_button, self.add)
        self.on_change(self.pasted, lambda _: self._read_names())

    # --- who is known --------------------------------------------------------------------------------------------
    def _who_is_known(self, members: pd.DataFrame) -> People:
        """Return the people of the newest snapshot and of the group on the screen; called in the background."""
        from spokekit.audit.history.snapshots import Snapshots

        people = People()
        site = self._workspace.connection(self._name).cloud_id or ""
        try:
            newest = Snapshots(site).latest()
            people.source = f"Names are known from the walk of {moment(newest.taken_at)}, and of the members above."
            key = (str(newest.folder), newest.taken_at)
            if self._walked is None or self._walked[0] != key:
                from spokekit.audit.audit import Audit

                with closing(Audit.of_snapshot(newest)) as audit:
                    self._walked = key, audit.frame("users")
            people.take(self._walked[1])
        except NotFound:
            people.source = (
                "Names are known of the members above only: no walk has read this site yet (notebook 5). "
                "Somebody else is found by the whole account id."
            )
        except SpokekitError as error:
            people.source = f"Names are known of the members above only: {error.message}"
        people.take(members)
        return people

    def _take_people(self, people: People) -> None:
        for one in self._people.by_id.values():
            # Who was looked up by id since stays known.
            people.by_id.setdefault(one.account_id, one)
        self._people = people
        self.known_note.value = paragraph(people.source)
        self._suggest(self.person.value)
        self._read_names()

    # --- searching for a person ----------------------------------------------------------------------------------
    def _suggest(self, text: str) -> None:
        hide(self.near)
        if text in self._offered:
            # It was chosen; another list would cover it again.
            return
        self._offered = self._people.labels(self._people.suggest(text))
        self.person.options = tuple(self._offered)

    def add(self) -> None:
        """Put the person in the search field on the list; asks when several are meant, and guesses nobody."""
        text = self.person.value.strip()
        if not text:
            raise InputError(
                "Nobody is named yet.", hint="Type a part of a name or of an address, and choose somebody."
            )
        if self._file is not None:
            raise InputError(
                "A file was uploaded, and it goes before the list.", hint="Press Forget the file, then add people."
            )
        found = [self._people.by_id[self._offered[text]]] if text in self._offered else self._people.exactly(text)
        if len(found) == 1:
            self._put(found[0])
        elif not found and is_account_id(account_id(text)):
            self._look_up(account_id(text))
        else:
            near = found or self._people.near(text)
            self._offer_near(near, "Who is meant?" if found else "Did you mean")
            words = f"{len(found)} people are called" if found else "Nobody who is known here is called"
            raise NotFound(
                f"{words} “{shown(text, NAME)}”.",
                hint="Choose one of them." if near else "Type another part of the name, or the whole account id.",
            )

    def _offer_near(self, near: Any, words: str) -> None:
        labels = self._people.labels(near).items()
        presses = [self.button(label, partial(self._put, self._people.by_id[account])) for label, account in labels]
        self.offer(self.near, words, *presses)

    def _look_up(self, account: str) -> None:
        def work(task: Task) -> pd.DataFrame:
            with self._workspace.spoke(self._name) as spoke:
                return spoke.look_up_users([account], progress=task.progress, cancel=task.cancelled)

        def done(found: pd.DataFrame) -> None:
            if not len(found):
                raise NotFound(
                    f"The site knows no account {account}.", hint="Compare the id with the person's profile."
                )
            self._people.take(found)
            self._put(self._people.by_id[account])

        self.run(work, words="Looking up the account", done=done)

    def _put(self, one: Known) -> None:
        hide(self.near)
        name = shown(one.name or one.account_id, NAME)
        if one.account_id in self.pasted.value:
            self.say(f"{name} is on the list already.")
            return
        before = self.pasted.value.rstrip()
        self.pasted.value = f"{before}\n{one.line}" if before else one.line
        self.person.value = ""
        self.say(f"{name} is on the list. Nothing is changed yet: press Preview.")

    # --- names on the list ---------------------------------------------------------------------------------------
    def _read_names(self) -> None:
        """Show whom the names on the list are taken for, and ask about those that say too little."""
        try:
            read = read_list(self.pasted.value, self.group_id, self._people, near=_ASKED)
        except InputError:
            # Preview says it, when somebody wants to know.
            self._asked, self.reading.children = (), ()
            return
        told = [*read.notes, *(f"“{name}” is {one.label}, {one.account_id}." for name, one in read.taken)]
        more = [f"{counted(len(told) - _TOLD, 'more name')} found."] if len(told) > _TOLD else []
        if read.unclear:
            more.append(f"{counted(len(read.unclear), 'name')} not clear yet: nobody is guessed.")
        words = note(" ".join((*told[:_TOLD], *more))) if told or more else None
        if read.unclear != self._asked or not read.unclear:
            self._asked = read.unclear
            asking = [self._question(one) for one in read.unclear[:_ASKED]]
        else:
            asking = list(self.reading.children)[-len(read.unclear[:_ASKED]) :]
        self.reading.children = (*([words] if words is not None else []), *asking)

    def _question(self, unclear: Unclear) -> ipw.Widget:
        if not unclear.candidates:
            return note(unclear.words)
        labels = self._people.labels(unclear.candidates)
        meant = dropdown("Meant is", [("Choose", ""), *labels.items()], value="")
        self.on_change(meant, partial(self._meant, unclear))
        return ipw.VBox([note(unclear.words), meant])

    def _meant(self, unclear: Unclear, account: str) -> None:
        if not account:
            return
        lines = self.pasted.value.splitlines()
        at = unclear.line - 1
        if at >= len(lines) or unclear.name not in lines[at]:
            # Somebody has written on meanwhile; the question is asked anew.
            self._read_names()
            return
        rest = lines[at].replace(unclear.name, "", 1).strip(" ,;|\t\"'@")
        lines[at : at + 1] = [*([rest] if rest else []), self._people.by_id[account].line]
        self.pasted.value = "\n".join(lines)

    # --- a file --------------------------------------------------------------------------------------------------
    def _uploaded(self, content: bytes, name: str, _changed: Any) -> None:
        # The file before it is not what the person means, also when this one cannot be read.
        self._file, self._arrived = None, (name, sha256(content).hexdigest())
        self.file_line.value = paragraph(f"{name} cannot be used, and no other file is.")
        show(self.forget_file)
        read = read_csv(content, group=self.group_id, name=name)
        self._file = content, name
        self.file_line.value = paragraph(f"{name}: {counted(len(read.wishes), 'line')}. {' '.join(read.notes)}")

    def _no_file(self) -> None:
        self._file = self._arrived = None
        self.file_line.value = ""
        hide(self.forget_file)

    def wishes(self) -> WishList:
        """Return the list that the preview will be made of; raises `InputError` when there is none."""
        if self.action.value == REMOVE_MARKED:
            if not self.value:
                raise InputError("Nobody is marked.", hint="Mark members in the list, or choose another action.")
            return for_accounts(self.group_id, self.value)
        if self._file is not None:
            # Read anew, since a file without groups means the one that is chosen now, not when it arrived.
            content, name = self._file
            return read_csv(content, group=self.group_id, name=name)
        if not self.pasted.value.strip():
            raise InputError(
                "There is no list yet.", hint="Find people, paste names, account ids or addresses, or upload a file."
            )
        return wishes_of(self.pasted.value, self.group_id, self._people)
