"""Groups, people and spaces of a question are found however their names are typed; what only looks alike is named."""

from __future__ import annotations

import unicodedata

import pytest

from spokekit.audit import Audit
from spokekit.errors import NotFound
from tests.audit.worlds import account, frames_of, group_id, name


def _renamed(named: str, new: str) -> Audit:
    groups = frames_of().groups
    changed = groups.assign(name=groups["name"].astype(str).replace(named, new))
    return Audit.of_frames(frames_of(groups=changed))


@pytest.mark.parametrize(
    "typed",
    [
        "Vertrieb Köln",
        unicodedata.normalize("NFD", "Vertrieb Köln"),
        "vertrieb KÖLN",
        "\u00a0Vertrieb\u00a0\u00a0Köln ",
        "{id}",
        "ID",
    ],
)
def test_a_group_in_every_form(typed: str) -> None:
    audit = _renamed("marketing", "Vertrieb Köln")
    known = group_id("marketing")
    text = {"{id}": f"{{{known}}}", "ID": known.upper()}.get(typed, typed)
    wanted = audit.ask("members-of-groups", group="Vertrieb Köln")
    assert audit.ask("members-of-groups", group=text)["account_id"].tolist() == wanted["account_id"].tolist()


@pytest.mark.parametrize("typed", ["{mention}", "{address}", "{ari}", "{capitals}", "{blanks}"])
def test_a_person_in_every_form(typed: str) -> None:
    audit = Audit.of_frames(frames_of())
    one = account(30)
    text = {
        "{mention}": f"[~accountid:{one}]",
        "{address}": f"https://acme.atlassian.net/wiki/people/{one.replace(':', '%3A')}?x=1",
        "{ari}": f"ari:cloud:identity::user/{one}",
        "{capitals}": name(30).upper(),
        "{blanks}": name(30).replace(" ", "\u00a0 "),
    }[typed]
    assert audit.look_up("person", text) == audit.look_up("person", one)


@pytest.mark.parametrize("typed", ["project\u2011phoenix", "pro\u00adject-phoenix", "pr\u043eject-phoenix"])
def test_what_looks_alike_is_named(typed: str) -> None:
    with pytest.raises(NotFound, match=r"It looks like project-phoenix, but there is a"):
        Audit.of_frames(frames_of()).ask("members-of-groups", group=typed)


@pytest.mark.parametrize("typed", ["\u0440roject-phoenix", "\u00adproject-phoenix", "\uff50roject-phoenix"])
def test_what_looks_alike_from_its_first_letter_is_named(typed: str) -> None:
    with pytest.raises(NotFound, match=r"It looks like project-phoenix, but there is a"):
        Audit.of_frames(frames_of()).ask("members-of-groups", group=typed)


@pytest.mark.parametrize("named", ["Sales\u00a0Team", "Sales  Team", "STRASSE \u00df", "Sales Team\u2009"])
def test_the_name_on_the_site_may_be_the_odd_one(named: str) -> None:
    audit = _renamed("marketing", named)
    typed = " ".join(named.replace("\u00df", "ss").split())
    assert typed.isascii()
    assert len(audit.ask("members-of-groups", group=typed)) == len(audit.ask("members-of-groups", group=named))
    assert audit.look_up("group", typed.lower()) == audit.look_up("group", group_id("marketing"))
