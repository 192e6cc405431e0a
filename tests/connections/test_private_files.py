"""What is written for one person is theirs alone, and folders that were there before keep their doors."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from spokekit._home import home, write_private
from spokekit.errors import StoreError
from spokekit.groups.wishes import to_csv
from spokekit.oauth.key_ring import StoredKeys

pytestmark = pytest.mark.skipif(os.name != "posix", reason="Windows has no such modes")


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.fixture
def shared(tmp_path: Path) -> Path:
    """Give a folder that others may look into."""
    folder = tmp_path / "team"
    folder.mkdir()
    folder.chmod(0o755)
    return folder


def test_a_file_is_its_owners_alone_and_the_chosen_folder_stays_open(shared: Path) -> None:
    wide = shared / "plan.json"
    wide.touch(mode=0o666)
    write_private(wide, b"{}")
    assert (mode(wide), mode(shared)) == (0o600, 0o755)
    assert [path.name for path in shared.iterdir()] == ["plan.json"]
    write_private(shared / "new" / "plan.json", b"{}")
    assert mode(shared / "new") == 0o700


def test_a_link_in_the_way_is_replaced_and_not_followed(shared: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.write_text("kept")
    (shared / "plan.json").symlink_to(other)
    write_private(shared / "plan.json", b"{}")
    assert other.read_text() == "kept"
    assert not (shared / "plan.json").is_symlink()


def test_the_key_ring_of_a_team_leaves_its_folder_open(shared: Path) -> None:
    StoredKeys(shared / "ring.json", "file").load()
    assert (mode(shared / "ring.json"), mode(shared)) == (0o600, 0o755)


def test_a_list_of_people_is_its_owners_alone(shared: Path) -> None:
    to_csv(pd.DataFrame({"account_id": ["a"]}), shared / "members.csv")
    assert (mode(shared / "members.csv"), mode(shared)) == (0o600, 0o755)


def test_a_folder_that_everybody_shares_is_no_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tmp_path.chmod(0o1777)
    monkeypatch.setenv("SPOKEKIT_HOME", str(tmp_path))
    with pytest.raises(StoreError, match="shared by all users"):
        home()
    assert stat.S_IMODE(tmp_path.stat().st_mode) == 0o1777


def test_what_is_no_file_is_not_replaced(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    for place in (pipe, tmp_path, Path("/dev/null"), Path("/dev/stdout")):
        before = place.lstat()
        with pytest.raises(StoreError, match="is not a file"):
            write_private(place, b"{}")
        assert place.lstat().st_ino == before.st_ino


@pytest.mark.parametrize(
    "place", [{"SERVER_SOFTWARE": "voila/0.5.13"}, {"BINDER_LAUNCH_HOST": "https://mybinder.org/"}]
)
def test_where_nothing_is_kept_the_home_is_a_folder_that_goes_with_the_process(
    place: dict[str, str], tmp_path: Path
) -> None:
    # Two visitors of one owner: each in a process of its own, with the owner's environment.
    owners = tmp_path / "owner"
    code = (
        "from spokekit._home import home; home(); (home() / 'snapshot').write_text('names of people');"
        "import os; print(home(), oct(home().stat().st_mode)[-3:])"
    )
    environ = {**os.environ, **place, "SPOKEKIT_HOME": str(owners), "TMPDIR": str(tmp_path)}

    def visit(**more: str) -> str:
        return subprocess.run(
            [sys.executable, "-c", code], env={**environ, **more}, capture_output=True, text=True, check=True
        ).stdout

    first, second = visit(), visit(SPOKEKIT_STORE_URL="sqlite://", SPOKEKIT_VAULT="memory")
    assert first != second and first.split()[1] == "700"
    assert list(tmp_path.iterdir()) == [], "nothing of either is left"
    assert visit(SPOKEKIT_VAULT="file").split()[0] == str(owners), "the owner may say that things are kept"
