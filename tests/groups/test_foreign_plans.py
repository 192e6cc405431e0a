"""A plan file is a list of ids: what else it says is compared with the site, and who wrote it with the store's key."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from spokekit.cli import main
from spokekit.errors import InputError, PlanError
from spokekit.groups import planfile

if TYPE_CHECKING:
    from spokekit.groups.membership import Membership, Preview
    from spokekit.practice import PracticeSite

SPOKEKIT = [sys.executable, "-m", "spokekit", "members"]


def outsider(site: PracticeSite, group: str) -> str:
    inside = set(site.world.member_ids(group))
    users = site.world.frames(tables=["users"])["users"]
    fit = users[(users["account_type"] == "atlassian") & (users["account_status"] == "active")]["account_id"]
    return next(account for account in fit if account not in inside and account != site.account_id)


def previewed(members: Membership, site: PracticeSite, group: str) -> Preview:
    return members.preview(members.plan([outsider(site, group)], "add", group=group))


def resealed(preview: Preview, path: Path, change: Callable[[dict[str, Any]], object]) -> Path:
    """Write a plan file as somebody would who knows the format and has no key."""
    content = json.loads(planfile.dumps(preview))
    change(content)
    content["fingerprint"] = planfile._preview(content).fingerprint
    content.pop("seal")
    content["seal"] = planfile._seal(content)
    path.write_text(json.dumps(content))
    return path


def _call_it_an_editors_group(content: dict[str, Any]) -> None:
    content["ground"][0]["name"] = content["rows"][0][1] = "finance-editors"
    content["preview"]["dangers"] = content["preview"]["grave"] = []


def _say_no_danger(content: dict[str, Any]) -> None:
    content["preview"]["dangers"] = content["preview"]["grave"] = []


def _say_it_gives_nothing(content: dict[str, Any]) -> None:
    content["ground"][0]["access"] = ""


def _call_the_person_otherwise(content: dict[str, Any]) -> None:
    content["rows"][0][3] = "A trusted colleague"


def _call_the_row_otherwise(content: dict[str, Any]) -> None:
    content["rows"][0][1] = "finance-editors"


def _call_it_synced(content: dict[str, Any]) -> None:
    content["ground"][0]["managed_by"] = "EXTERNAL"


def _invent_a_danger(content: dict[str, Any]) -> None:
    content["preview"]["grave"] = ["It is harmless."]


def _say_it_twice(content: dict[str, Any]) -> None:
    content["rows"].append(content["rows"][0])


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (_call_it_an_editors_group, "The group finance-editors is now called site-admins."),
        (_say_no_danger, "The preview did not say: 1 person will become site admin by site-admins."),
        (_say_it_gives_nothing, "Membership of site-admins gives site-admin; by the plan it gives nothing."),
        (_call_the_person_otherwise, "“A trusted colleague”, and it is called"),
        (_call_the_row_otherwise, "“finance-editors”, and its name is “site-admins”"),
        (_call_it_synced, "is now managed by administrators"),
        (_invent_a_danger, "The preview says what is not so: It is harmless."),
        (_say_it_twice, "The plan has two changes of"),
    ],
)
@pytest.mark.parametrize("signed", [False, True], ids=["foreign", "signed"])
def test_whatever_a_plan_says_and_the_site_does_not_is_named(
    members: Membership,
    site: PracticeSite,
    tmp_path: Path,
    change: Callable[[dict[str, Any]], object],
    named: str,
    signed: bool,
) -> None:
    path = resealed(previewed(members, site, "site-admins"), tmp_path / "plan.json", change)
    loaded = members.load(path)
    assert loaded.foreign
    assert "foreign" in loaded.words
    with pytest.raises(PlanError, match="this store has not signed"):
        members.apply(loaded, confirm=loaded.confirmation)
    with pytest.raises(PlanError, match="this store has not signed"):
        members.apply(loaded, confirm="change 1 membership")
    with pytest.raises(PlanError) as caught:
        if signed:
            # As if the key itself were in the wrong hands.
            loaded = replace(loaded, foreign=False)
            members.apply(loaded, confirm=loaded.words_of_consent)
        else:
            members.preview_anew(loaded)
    assert named in caught.value.message
    assert not site.writes


def test_a_true_foreign_plan_is_previewed_from_the_site_and_applied(
    members: Membership, site: PracticeSite, tmp_path: Path
) -> None:
    def lie_where_nothing_is_read(content: dict[str, Any]) -> None:
        content["notes"] = ["Approved by the board."]
        content["preview"]["dangers"] = content["preview"]["grave"]
        content["preview"]["seats"]["freed"] = 900
        content["undo_of"] = "an apply of theirs"
        content["by"] = "the chief"

    path = resealed(previewed(members, site, "site-admins"), tmp_path / "plan.json", lie_where_nothing_is_read)
    loaded = members.load(path)
    anew = members.preview_anew(loaded)
    assert not anew.foreign
    for lie in ("Approved", "900", "an apply of theirs"):
        assert lie not in anew.words
    assert anew.plan.undo_of == ""
    assert anew.plan.by == site.account_id
    assert anew.confirmation == "change 1 membership", "one row, and it makes a site admin"
    with pytest.raises(InputError, match="will become site admin"):
        members.apply(anew)
    with pytest.raises(PlanError, match="is not written again"):
        members.save(loaded, tmp_path / "laundered.json")
    assert members.apply(anew, confirm=anew.confirmation).counts() == {"done": 1}


def test_our_own_file_is_signed_and_another_key_or_an_edit_makes_it_foreign(
    members: Membership, site: PracticeSite, tmp_path: Path
) -> None:
    path = members.save(previewed(members, site, "marketing"), tmp_path / "plan.json")
    assert not members.load(path).foreign
    vault = members._vault()
    vault.rotate()
    assert members.load(path).foreign, "the key that signed it is gone"
    path = members.save(previewed(members, site, "marketing"), path)
    assert not members.load(path).foreign
    content = json.loads(path.read_text())
    content["rows"][0][7] = "Nothing to worry about."
    content.pop("seal")
    content["seal"] = planfile._seal(content)
    path.write_text(json.dumps(content))
    assert members.load(path).foreign, "the signature is that of another content"
    for odd in (None, 5, "", "a.b", ["x"], "\u00e4.\u00e4"):
        content["signature"] = odd
        content.pop("seal")
        content["seal"] = planfile._seal(content)
        path.write_text(json.dumps(content))
        assert members.load(path).foreign


def test_a_foreign_file_on_the_command_line(
    members: Membership, site: PracticeSite, tmp_path: Path, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    preview = previewed(members, site, "marketing")
    path = resealed(preview, tmp_path / "plan.json", lambda content: None)
    (row,) = preview.plan.planned

    def run(*more: str) -> tuple[object, str]:
        with pytest.raises(SystemExit) as left:
            main(["members", "apply", str(path), *more])
        return left.value.code, capsys.readouterr().err

    for more in ((), ("--yes",)):
        code, said = run(*more)
        assert code == 1
        assert "is foreign: this store has not signed it" in said
        assert f"add {row.display_name} ({row.account_id}) to marketing" in said
        assert "--foreign" in said
    assert not site.writes
    code, said = run("--dry-run")
    assert (code, site.writes) == (0, {})

    ours, theirs = pty.openpty()
    asked = subprocess.Popen(
        [*SPOKEKIT, "apply", str(path), "--yes"],
        env={**os.environ, "SPOKEKIT_HOME": str(home)},
        text=True,
        stdin=theirs,
        stdout=-1,
        stderr=-1,
    )
    os.write(ours, b"yes\n")
    assert "not the words asked for" in asked.communicate(timeout=60)[1]
    assert not site.writes
    os.close(ours)
    os.close(theirs)

    code, said = run("--foreign")
    assert code in (0, None), said
    assert row.account_id in site.world.member_ids("marketing")
