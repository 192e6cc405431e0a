"""Open a review: from the newest snapshot, with what lists from elsewhere say of its people."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from spokekit._words import counted
from spokekit.widgets._review_list import ReviewList
from spokekit.widgets.controls import paragraph, show, write

if TYPE_CHECKING:
    from datetime import datetime

    from spokekit.audit.roster import Roster
    from spokekit.review import Reviews


class ReviewOpening(ReviewList):
    """The form that opens a review; `ReviewPanel` goes on with it."""

    def __init__(self, **options: Any) -> None:
        self._lists: dict[str, Roster] = {}
        super().__init__(**options)

    def _listen_to_opening(self) -> None:
        self.on_upload(self.lists_in, self.add_list)
        self.on_click(self.no_lists, self.forget_lists)
        self.on_click(self.open_button, self.open_review)
        self._show_lists()

    def _reviews(self) -> Reviews:
        from spokekit.review import Reviews

        return Reviews.of(self._workspace, self._name)

    def look(self) -> None:
        """Read the reviews of the site again."""
        raise NotImplementedError

    def choose(self, name: str) -> None:
        """Choose a review by its name."""
        self.chosen.value = name

    def open_review(self) -> None:
        """Open a review from the newest snapshot, with what the added lists say of the people in it."""
        reviews = self._reviews()
        audit, people = None, None
        if self._lists:
            from spokekit.audit.compare_people import compare_list

            audit = reviews.audit()
            people = compare_list(audit, *self._lists.values())
        made = reviews.open(
            self.name.value,
            scope=self.scope.value,
            due=self.due.value.strip() or None,
            partial=self.partial.value,
            people=people,
            audit=audit,
        )
        self.forget_lists()
        self.look()
        self.choose(made.name)
        self.new.shown = False
        # The button that was pressed is folded away, and the keyboard would be nowhere.
        self.filter.focus()
        told = f" {people.words}" if people is not None else ""
        self.say(f"The review {made.name} is open: {counted(len(made.rows), 'row')}.{told}", "ok")

    def add_list(self, content: bytes, name: str, as_of: datetime | None = None) -> None:
        """Read a list of people for the next review; one of the same name takes its place.

        Parameters
        ----------
        as_of:
            The moment that the list is of; now, without it.

        Raises `InputError` when it cannot be used as a whole.
        """
        from spokekit.audit.roster import read_roster

        site = self._workspace.sited(self._name)
        self._lists[name] = read_roster(content, name=name, as_of=as_of, site_url=site.site_url or "")
        self._show_lists()

    def forget_lists(self) -> None:
        """Forget the added lists of people."""
        self._lists = {}
        self._show_lists()

    def _show_lists(self) -> None:
        said = [
            " ".join((f"{name}: {counted(len(one.people), 'person', 'people')} of {one.as_of:%Y-%m-%d}.", *one.notes))
            for name, one in self._lists.items()
        ]
        write(self.lists_line, "".join(map(paragraph, said)))
        show(self.no_lists, when=said)
