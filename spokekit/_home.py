"""Where spokekit keeps its files, and how it writes private ones."""

from __future__ import annotations

import atexit
import os
import secrets
import shutil
import stat
import tempfile
import threading
from collections.abc import Mapping
from pathlib import Path

from spokekit._surroundings import expanded
from spokekit.errors import StoreError


def home() -> Path:
    """Return the folder for the store, the key file, snapshots and plans; made with mode 0700.

    ``SPOKEKIT_HOME`` chooses it; without it, the platform's user data folder is used. Where nothing may be kept
    (`nothing_kept`) it is a folder of this process alone, which goes with it: one visitor's snapshots hold names that
    the next one may not see.
    """
    if nothing_kept(os.environ):
        return _of_this_process()
    chosen = os.environ.get("SPOKEKIT_HOME")
    if chosen:
        # Kernels and the command line start in different folders, and must find the same one.
        path = expanded(chosen, "SPOKEKIT_HOME").absolute()
    else:
        import platformdirs

        path = expanded(str(platformdirs.user_data_path("spokekit", appauthor=False)), "SPOKEKIT_HOME")
    return private_folder(path)


def on_binder(environ: Mapping[str, str]) -> bool:
    """Tell whether this runs on Binder, where secrets must not be kept."""
    return bool(environ.get("BINDER_SERVICE_HOST") or environ.get("BINDER_LAUNCH_HOST"))


def under_voila(environ: Mapping[str, str]) -> bool:
    """Tell whether this kernel serves a visitor of Voilà: it runs as the owner, whose records are not the visitor's."""
    return environ.get("SERVER_SOFTWARE", "").lower().startswith("voila")


def memory_only(environ: Mapping[str, str]) -> bool:
    """Tell whether records and secrets may be kept in memory only, unless the environment says where to keep them."""
    return on_binder(environ) or under_voila(environ)


def nothing_kept(environ: Mapping[str, str]) -> bool:
    """Tell whether nothing outlives this process: `memory_only`, and the environment names no place to keep things.

    ``SPOKEKIT_STORE_URL`` (a store that is not in memory) and ``SPOKEKIT_VAULT`` (``file``, ``keyring``) name one.
    """
    store, vault = (environ.get(name, "").strip() for name in ("SPOKEKIT_STORE_URL", "SPOKEKIT_VAULT"))
    return memory_only(environ) and store in ("", "sqlite://") and vault.lower() in ("", "memory")


_passing: dict[int, Path] = {}
_passing_lock = threading.Lock()


def _of_this_process() -> Path:
    # A forked child is another process: it must not remove its parent's folder, nor share it.
    mine = os.getpid()
    with _passing_lock:
        if mine not in _passing:
            try:
                _passing[mine] = Path(tempfile.mkdtemp(prefix="spokekit-"))
            except OSError as error:
                raise StoreError(
                    f"No temporary folder can be made: {error.strerror or error}.",
                    hint="Set TMPDIR to a folder that may be written, or free some space.",
                ) from None
            atexit.register(_remove, mine)
        return _passing[mine]


def _remove(owner: int) -> None:
    if os.getpid() == owner:
        shutil.rmtree(_passing.pop(owner), ignore_errors=True)


def private_folder(path: Path) -> Path:
    """Make `path` if it is missing and see to it that only its owner can enter; for folders of spokekit's own.

    Raises `StoreError` for one that everybody shares (``/tmp``): closing it would lock the others out.
    """
    try:
        path.mkdir(parents=True, exist_ok=True, mode=0o700)
        mode = path.stat().st_mode
        if os.name == "posix" and mode & stat.S_ISVTX and mode & 0o002:
            raise StoreError(
                f"The folder {path} is shared by all users of this computer.",
                hint="Choose a folder of your own in it with the environment variable SPOKEKIT_HOME.",
            )
        if os.name == "posix" and mode & 0o077:
            path.chmod(0o700)
    except OSError as error:
        reason = "a file of that name is there" if isinstance(error, FileExistsError) else error.strerror or error
        raise StoreError(
            f"The folder {path} cannot be used: {reason}.",
            hint="Choose another one with the environment variable SPOKEKIT_HOME.",
        ) from None
    return path


def _is_special(path: Path) -> bool:
    try:
        mode = path.lstat().st_mode
    except OSError:
        return False
    # /dev/stdout is a link; replacing it would take it away from every program.
    return not stat.S_ISREG(mode) and not (stat.S_ISLNK(mode) and path.parent != Path("/dev"))


def write_private(path: Path, data: bytes) -> None:
    """Replace `path` by `data` in one step, readable by its owner only, even if a wider file was there.

    A folder that is there stays as it is: it may be the person's own choice, with other things in it. One that is
    missing is made for its owner alone. What is no file (a folder, a pipe, a device) is refused instead of replaced.
    """
    if _is_special(path):
        raise StoreError(f"{path} is not a file.", hint="Choose the name of a file, new or old.")
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(6)}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
    except OSError as error:
        raise StoreError(
            f"The file {path} cannot be written: {error.strerror or error}.",
            hint="See whether the folder may be written and has space, or choose another place.",
        ) from None
