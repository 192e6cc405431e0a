"""The head of each notebook, in one line: the steps, where you are, what is done, and what comes next."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from spokekit._foreign import markup
from spokekit._workspace import workspace as of_this_process
from spokekit.connections.connection import ConnectionDraft
from spokekit.errors import SpokekitError
from spokekit.widgets import rehearsal
from spokekit.widgets.base import Component
from spokekit.widgets.controls import html, row, write
from spokekit.widgets.steps import COMMANDS, ONE_PAGE, READ, STEPS, Step, saved_connection, steps_done
from spokekit.widgets.strip import Strip

if TYPE_CHECKING:
    from spokekit._workspace import Workspace
    from spokekit.connections.connection import Connection

C = TypeVar("C", bound=Component)

# What a component changes when something was done in it that may end a step.
_TELLS = ("saved", "token_status", "accepted", "applied")
_newest: dict[int, Guide] = {}


class Guide(Strip):
    """Show where the person is and what is done; in an unattended run, do the steps before.

    Parameters
    ----------
    step:
        The number of the notebook.
    connection:
        Name of the connection; without it, the default alias's.
    workspace:
        Without it, this process's.

    Attributes
    ----------
    done:
        Numbers of the steps that are done.
    unattended:
        True when ``SPOKEKIT_UNATTENDED`` says that nobody is there to click.
    site:
        What the practice site says of itself (url, client_id, …), or None on the person's own site.

    Example
    -------
    >>> guide = Guide(step=2)
    >>> form = guide.place(ConnectionForm(draft=guide.draft()))
    """

    def __init__(
        self, step: int = 0, *, connection: str | None = None, workspace: Workspace | None = None, **options: Any
    ) -> None:
        here = next((s for s in STEPS if s.number == step), None)
        if here is None:
            raise SpokekitError(f"There is no step {step}.", hint=f"Steps go from 0 to {STEPS[-1].number}.")
        super().__init__("Where you are", here, STEPS, **options)
        self.workspace: Workspace = workspace or of_this_process()
        self.step = here
        self._name = connection
        self.unattended = rehearsal.unattended()
        self.site: dict[str, Any] | None = None
        self._unknown: tuple[str, ...] = ()
        self.guarded(self._begin)()
        _newest[step] = self

    @classmethod
    def of(cls, step: int) -> Guide:
        """Return the guide of a step in this process; made anew where its cell has not run yet."""
        return _newest.get(step) or cls(step)

    def _begin(self) -> None:
        self.site = rehearsal.practice()
        if self.unattended and self.site is not None:
            rehearsal.catch_up(self.workspace, self.site, before=self.step.number, name=self._name)
        if self.site is not None and self.step.number == 0:
            from spokekit.widgets.join_panel import JoinPanel

            # The line stays one line: the form is under Details, and only what the trainer says stands below.
            panel = JoinPanel(heading=False)
            panel.body = [panel.fold]
            self.more.hold(self._details, row(self.again), panel)
            self.body = [*self.body, panel.news]
        self.refresh()

    # --- state ---------------------------------------------------------------------------------------------------
    @property
    def connection(self) -> Connection | None:
        """The saved connection, or None as long as there is none."""
        return saved_connection(self.workspace, self._name)

    @property
    def ready(self) -> bool:
        """True when a token and a site are there, so that Confluence can be asked."""
        return 3 in steps_done(self.workspace, self._name)

    def refresh(self) -> None:
        """Read the state of the steps again and show it."""
        if self.site is not None:
            from spokekit.oauth.practice import forget_unknown

            # Another notebook may have begun a lesson, which puts the practice site back.
            gone = forget_unknown(self.workspace.connections, self.workspace.tokens, self.site)
            self._unknown = gone or self._unknown
        state = steps_done(self.workspace, self._name)
        told = "".join(
            f"<li>{markup(f'{s.number} {s.title}: {state[s.number]}')}</li>" for s in STEPS if s.number in state
        )
        details = (
            (f"<p>Done:</p><ul class='sk-list'>{told}</ul>" if told else "")
            + f"<p>Records: {markup(self.workspace.store.describe())}.</p>"
            + ("<p>The cells play the person; you can press every button yourself as well.</p>" if self.plays else "")
        )
        self._show(self._place(), [str(number) for number in state], self._next(state), details=details)
        pointer = ""
        if not self.leads_on:
            pointer = (
                "<p>Every page of Voilà starts with nothing and forgets all of it: what you do here is not known in "
                f"the next notebook. <a href='{ONE_PAGE}'>Go the whole way on one page</a>.</p>"
            )
        elif self._unknown and 3 not in state:
            names = markup(", ".join(f"“{name}”" for name in self._unknown))
            pointer = (
                f"<p>The practice site was started anew and does not know the token of {names} any more, so it is "
                "forgotten here. Get a token again in step 3.</p>"
            )
        write(self.pointer, pointer)
        self.set_trait("done", tuple(sorted(state)))

    def state_in_words(self) -> list[str]:
        """Say which steps are done, with what tells so."""
        done = steps_done(self.workspace, self._name)
        told = [f"{step.number} {step.title}: {done[step.number]}" for step in STEPS if step.number in done]
        return [
            "On the practice site." if self.site is not None else "On your own site.",
            f"Done: {'; '.join(told) or 'nothing yet'}.",
            *([self.status] if self.status else []),
        ]

    def way_on(self) -> str:
        """Name the first step that is not done, and its command."""
        done = steps_done(self.workspace, self._name)
        after = next((step for step in STEPS if step.number in COMMANDS and step.number not in done), None)
        if after is None:
            return "All steps are done."
        return f"Next is {after.number} {after.title}, by command: {COMMANDS[after.number]}"

    @property
    def plays(self) -> bool:
        """True when the cells play the person, on a practice site."""
        return self.unattended and self.site is not None

    def _place(self) -> str:
        """Say on which site, and lead to the practice site's console as long as something is to be copied from it."""
        if self.site is None:
            return "<span class='sk-place'>Your own site</span>"
        place = "<span class='sk-place'>Practice site</span>"
        if self.step.number > 3:
            return place
        title = "Practice developer console: the app with its client ID and its secret"
        link, reached = rehearsal.page_link(self.site, "console", "Console", title)
        if not reached:
            place += (
                "<span class='sk-unreached'>Its own pages open only in a browser on the machine where this runs.</span>"
            )
        return f"{place}{link}"

    def _next(self, state: dict[int, str]) -> Step | None:
        if not self.leads_on or (self.step.number not in state and self.step.number not in READ):
            return None
        later = [s for s in STEPS if s.number > self.step.number]
        return next((s for s in later if s.number not in state), later[0] if later else None)

    def draft(self) -> ConnectionDraft:
        """Return what the connection form proposes: Atlassian's addresses, or the practice site's."""
        from spokekit.oauth.receivers import callback_known_to, propose_redirect_uri

        if self.site is None:
            return ConnectionDraft(redirect_uri=propose_redirect_uri()[0])
        redirect = callback_known_to(self.site["redirect_uris"])
        return ConnectionDraft(url=self.site["url"], auth_url=self.site["auth_url"], redirect_uri=redirect)

    # --- components ----------------------------------------------------------------------------------------------
    def place(self, component: C) -> C:
        """Return `component`, tied to this notebook's guide: what is done in it is seen, and leads on to the next step.

        In an unattended run it is done here; see `play`.
        """
        names = [name for name in _TELLS if component.has_trait(name)]
        component.observe(component.guarded(lambda _: _newest[self.step.number].done_in(component)), names or ["busy"])
        component.add_class("sk-placed")
        return self.play(component)

    def play(self, component: C) -> C:
        """Return `component`; in an unattended run on a practice site, do before what a person would do with it."""
        if self.plays:
            component.rehearse()
            self.refresh()
        return component

    def done_in(self, component: Component) -> None:
        """Look again after something was done in `component`, and show under it what comes next."""
        self.refresh()
        after = self._next(dict.fromkeys(self.done, ""))
        component.foot = [html(self.next_link(after), "sk-foot")] if after else []
