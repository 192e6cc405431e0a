"""Questions by name: what a question is, how one is added, and the list of all.

A question is a small function that returns SQL over the tables of `spokekit.audit.history.tables`, written once for
DuckDB in words that the other engines know too, so that `spokekit.audit.warehouse` can ask the same question where the
company's data lives. A question of one's own may return a pandas frame instead, when it takes the audit as its first
argument.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from spokekit._frames import frame_of
from spokekit.errors import InputError, NotFound

if TYPE_CHECKING:
    import pandas as pd

ParamKind = Literal["group", "groups", "person", "space", "days", "number", "text"]

# Columns of more than one question, and what people are called in SQL.
PERSON = {"person": "text", "account_id": "text"}
GROUP = {"group_name": "text", "group_id": "text"}
CHANGE = {"change": "text", **GROUP, "access": "text", **PERSON}
WHO = "u.display_name AS person, u.account_id"

# Said with more than one question.
NO_SITE_ADMINS = "No group stands for the site or organisation admin role, so people who hold only it do not appear."
NO_EMAILS = "E-mail addresses are empty where the person's profile hides them."
ANONYMOUS = (
    "A grant to anonymous people opens a space to everybody who is signed in too, guests and unlicensed people "
    "included, even while the global anonymous switch is off; the global switch itself cannot be read."
)
GUESTS = "Guests are recognised by their account; a guest of another site is an ordinary account there."
NOT_THE_ACTOR = "Who made a change is not known: that is in the organisation's audit log, which needs another API."
BETWEEN = (
    "A change is dated by the two snapshots around it that read the group; what came and went between them is not seen."
)
PAGES = "Restrictions on single pages are not read: a person may see a space and not each page in it."
LICENCE = (
    "Whoever is deactivated or has no licence is listed with what the grants give them and cannot use it now; the "
    "licence of a person whom only a grant names is not known."
)
ROLES = "A role counts as administration by its name, such as Admin; a role of the site's own is not recognised."


@dataclass(frozen=True)
class Param:
    """A parameter of a question.

    Parameters
    ----------
    name, kind, words:
        ``group``, ``person`` and ``space`` take a name or an id and are looked up; ``groups`` takes several. ``days``
        takes a number of days and becomes the number of the last snapshot that is at least so old.
    default:
        The value when none is given; a parameter without one has to be given.
    """

    name: str
    kind: ParamKind
    words: str
    default: Any = ...

    @property
    def required(self) -> bool:
        """Tell whether it has to be given."""
        return self.default is ...


@dataclass(frozen=True)
class Question:
    """A named question. `columns` is its contract: column -> text, int, float, bool or time, in order."""

    name: str
    title: str
    needs: tuple[str, ...]
    columns: Mapping[str, str]
    cannot_know: str
    function: Callable[..., Any]
    params: tuple[Param, ...] = ()
    number: int = 0
    takes_audit: bool = False

    def arguments(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """Return all parameters, with defaults. Raises InputError for unknown and missing ones."""
        names = [p.name for p in self.params]
        unknown = [name for name in given if name not in names]
        if unknown:
            takes = f"It takes: {', '.join(names)}." if names else "It takes no parameters."
            raise InputError(f"The question {self.name} has no parameter {unknown[0]}.", hint=takes, field=unknown[0])
        for param in self.params:
            if param.required and nothing(given.get(param.name)):
                raise InputError(f"The question {self.name} needs {param.words}.", field=param.name)
        return {p.name: p.default if given.get(p.name) is None else given[p.name] for p in self.params}


@dataclass(frozen=True)
class Unanswerable:
    """A question that people ask and that this kit cannot answer, with the reason."""

    name: str
    title: str
    reason: str
    number: int = 0


@dataclass
class QuestionList:
    """Questions by name."""

    questions: dict[str, Question] = field(default_factory=dict)
    unanswerable: dict[str, Unanswerable] = field(default_factory=dict)

    def get(self, name: str) -> Question:
        """Return the question `name`. Raises NotFound, with the reason when it is one that cannot be answered."""
        if name in self.questions:
            return self.questions[name]
        if name in self.unanswerable:
            raise NotFound(
                f"{self.unanswerable[name].title} This cannot be answered.", likely=self.unanswerable[name].reason
            )
        import difflib

        near = difflib.get_close_matches(name, self.questions, 3, 0.5)
        raise NotFound(
            f"There is no question named {name}.",
            hint=f"Did you mean {' or '.join(near)}?"
            if near
            else "audit.questions() lists all; on the command line: spokekit audit questions.",
        )

    def frame(self) -> pd.DataFrame:
        """List all questions.

        Columns: name, title, parameters, needs, cannot_know (text), answerable (bool), asked (int: place in the list of
        questions that administrators ask most, 0 = not in it). Answerable ones first, then by `asked` and name.
        """
        rows = [
            (q.name, q.title, ", ".join(_shown(p) for p in q.params), ", ".join(q.needs), q.cannot_know, True, q.number)
            for q in self.questions.values()
        ] + [(u.name, u.title, "", "", u.reason, False, u.number) for u in self.unanswerable.values()]
        rows.sort(key=lambda row: (not row[5], row[6] or 99, row[0]))
        texts = dict.fromkeys(("name", "title", "parameters", "needs", "cannot_know"), "text")
        return frame_of(rows, {**texts, "answerable": "bool", "asked": "int"})


def nothing(value: Any) -> bool:
    """Tell whether `value` is what a parameter has when none was given."""
    return value is None or (isinstance(value, str | list | tuple | set | frozenset) and not value)


def _shown(param: Param) -> str:
    return param.name if param.required else f"{param.name}={param.default}"


REGISTRY = QuestionList()


def question(
    name: str,
    title: str,
    *,
    needs: tuple[str, ...],
    columns: Mapping[str, str],
    cannot_know: str = "",
    params: tuple[Param, ...] = (),
    number: int = 0,
    registry: QuestionList = REGISTRY,
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Add a question: a decorator for a function that returns SQL, or a frame when its first argument is ``audit``.

    Parameters
    ----------
    name, title:
        How it is asked for, and the question in a person's words.
    needs:
        The frames that it reads: groups, users, memberships, spaces, grants, history.
    columns:
        Column -> ``text``, ``int``, ``count`` (an int that is missing where it is not known), ``float``, ``bool`` or
        ``time``: what the returned frame holds, in this order.
    cannot_know:
        What the answer leaves out, in words.
    params:
        What can be asked; the function gets them by name, with groups, people and spaces already looked up (`Known`).
        In SQL, ``$name`` stands for a number or text, and for the number of a group, person or space.

    Example
    -------
    ::

        @question("loud-groups", "Which group names are all capitals?", needs=("groups",),
                  columns={"name": "text"})
        def loud_groups() -> str:
            return "SELECT name FROM groups WHERE name = upper(name) ORDER BY name"
    """
    wrong = [kind for kind in columns.values() if kind not in ("text", "int", "count", "float", "bool", "time")]
    if wrong:
        raise InputError(f"{wrong[0]} is no kind of column: text, int, count, float, bool or time.", field="columns")

    def add(function: Callable[..., Any]) -> Callable[..., Any]:
        before = registry.questions.get(name)
        # A cell that is run again defines its own question anew; another's would answer something else by its name.
        if before is not None and before.function.__module__ != function.__module__:
            raise InputError(
                f"There is a question {name} already: {before.title}", hint="Choose another name.", field="name"
            )
        takes = list(inspect.signature(function).parameters)
        registry.questions[name] = Question(
            name, title, needs, dict(columns), cannot_know, function, params, number, takes[:1] == ["audit"]
        )
        return function

    return add


def cannot(name: str, title: str, reason: str, number: int = 0) -> None:
    """List a question that cannot be answered, with the reason."""
    REGISTRY.unanswerable[name] = Unanswerable(name, title, reason, number)
