"""Where spokekit keeps its files, and how it writes private ones."""

from __future__ import annotations

import atexit
import errno
import logging
import os
import re
import secrets
import shutil
import stat
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from spokekit._refused import told_as
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
    return _left_open(path) or private_folder(path)


# What spokekit makes in its home, and what file systems and file managers leave in every folder.
_OURS = re.compile(
    r"\.?(spokekit\.sqlite|vault|token-|spokekit-apply-|spokekit-hand-over-)[\w.-]*|snapshots|walks|nights|practice|lessons|class|attempt\.json|answer\.json|instance\.key|jupyterlab|lost\+found"
    r"|\.DS_Store|desktop\.ini"
)
_OF_THE_SYSTEM = (
    "/ /bin /boot /dev /etc /home /lib /lib64 /media /mnt /opt /proc /root /run /sbin /srv /sys /tmp /usr /var "
    "/Users /Library /Applications /Volumes /private /private/var /System"
)
_told: set[Path] = set()


def _left_open(path: Path) -> Path | None:
    """Return a home that stays open to others, since closing it would lock them out; None for one to close.

    It holds what is not spokekit's, or belongs to somebody else. Files of ours are private in an open folder too; one
    in which others may write is refused, for they could put files of theirs in the place of ours.
    """
    try:
        found = path.stat()
        if os.name != "posix" or not found.st_mode & 0o077 or not stat.S_ISDIR(found.st_mode):
            return None
        strange = _what_is_not_ours(path, found.st_uid)
    except OSError:
        # Missing, or not to be looked into: making it, or using it, says why.
        return None
    if strange is None or (found.st_mode & stat.S_ISVTX and found.st_mode & 0o002):
        return None
    hint = f"Choose a folder of its own, for example {path / 'spokekit'}, with the environment variable SPOKEKIT_HOME."
    if found.st_mode & 0o022:
        raise StoreError(
            f"The folder {path} cannot be spokekit's home: {strange}, and others may write there.",
            likely="Closing it would lock them out; left open, they could replace the store and its key.",
            hint=hint,
        )
    if path not in _told:
        _told.add(path)
        logging.getLogger("spokekit").warning(
            "The folder %s stays open to others, since %s; what spokekit writes there is readable by you alone. %s",
            *(path, strange, hint),
        )
    return path


def _what_is_not_ours(path: Path, owner: int) -> str | None:
    system = {Path(name) for name in _OF_THE_SYSTEM.split()}
    if path in system or path.parent in {Path("/var"), Path("/usr"), Path("/usr/local")}:
        return "it is a folder of the system"
    if owner != os.geteuid():
        return "it belongs to somebody else"
    with os.scandir(path) as entries:
        for entry in entries:
            if not _OURS.fullmatch(entry.name):
                return f"it holds other things ({entry.name[:60]!r})"
            if entry.name != "lost+found" and entry.stat(follow_symlinks=False).st_uid != owner:
                return f"it holds a file of somebody else ({entry.name[:60]!r})"
    return None


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
    return memory_only(environ) and (not store or names_memory(store)) and vault.lower() in ("", "memory")


_IN_MEMORY = re.compile(
    r"sqlite3?(\+\w+)?://(/?(file:)?(:memory:)?(\?.*)?$|.*[?&](mode=memory|vfs=memdb)(&|$))", re.IGNORECASE
)


def names_memory(address: str) -> bool:
    """Tell whether the address of a store is one of those that SQLite has for a database in memory."""
    return _IN_MEMORY.match(address.strip().strip("\"'")) is not None


_passing: dict[int, Path] = {}
_passing_lock = threading.Lock()


def _of_this_process() -> Path:
    # A forked child is another process: it must not remove its parent's folder, nor share it.
    mine = os.getpid()
    with _passing_lock:
        if mine not in _passing:
            hint = "Set TMPDIR to a folder that may be written, or free some space."
            with told_as(StoreError, "No temporary folder can be made", hint=hint):
                _passing[mine] = Path(tempfile.mkdtemp(prefix="spokekit-"))
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


def reserve_private(path: Path, size: int) -> Path | None:
    """Take `size` bytes of disk for what may have to be written at `path`; None where there is no room for them.

    `write_private` uses them up; whoever did not need them removes the file.
    """
    reserved = path.with_name(f".{path.name}.{secrets.token_hex(6)}")
    try:
        handle = os.open(reserved, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "wb") as file:
            # Zeros would take no room on a disk that packs them.
            file.write(os.urandom(size))
            file.flush()
            os.fsync(file.fileno())
    except OSError:
        with suppress(OSError):
            reserved.unlink()
        return None
    return reserved


def write_private(path: Path, data: bytes, *, reserved: Path | None = None) -> None:
    """Replace `path` by `data` in one step, readable by its owner only; see `replacing`."""
    with replacing(path, reserved=reserved) as temporary, temporary.open("rb+") as file:
        # Not emptied before: the room that was reserved would be anybody's.
        file.write(data)
        file.truncate()


@contextmanager
def replacing(path: Path, *, reserved: Path | None = None) -> Iterator[Path]:
    """Give an empty file beside `path`, readable by its owner only, that takes its place when the block ends well.

    A folder that is there stays as it is: it may be the person's own choice, with other things in it. One that is
    missing is made for its owner alone. What is no file (a folder, a pipe, a device) is refused instead of replaced.
    The room that `reserve_private` took is used where it is given, so that a full disk takes the data.
    """
    if _is_special(path):
        raise StoreError(f"{path} is not a file.", hint="Choose the name of a file, new or old.")
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(6)}")
    hint = "See whether the folder may be written and has space, or choose another place."
    with told_as(StoreError, f"The file {path} cannot be written", hint=hint):
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        if reserved is None or not reserved.exists():
            os.close(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
        else:
            temporary = reserved
        try:
            yield temporary
            with temporary.open("rb+") as file:
                os.fsync(file.fileno())
            temporary.replace(path)
            _settle(path.parent)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise


def write_folder(target: Path, files: Mapping[str, bytes], *, mode: int = 0o600) -> None:
    """Write files, by their paths in it, into a private folder beside `target` that takes its place in one step.

    An empty folder makes way. Raises `OSError`, and then nothing is left. ``mode`` is that of the files, as far as the
    process lets others read what it makes.
    """
    beside = target.parent / f".{target.name}-{secrets.token_hex(4)}"
    try:
        beside.mkdir(mode=0o700)
        for name, content in files.items():
            path = beside / name
            path.parent.mkdir(parents=True, exist_ok=True)
            with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
        if target.is_dir():
            target.rmdir()
        beside.rename(target)
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def _settle(folder: Path) -> None:
    # Without this a computer that stops now may come back with the old name.
    with suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


_LOCK_WAIT = 60.0


@contextmanager
def lock_file(path: Path, *, wait: float = _LOCK_WAIT) -> Iterator[None]:
    """Hold the right to change `path` against other processes that ask for it; a file beside it stands for the right.

    Where there is no such lock (a folder that cannot be written, a file system without) the change goes ahead. Raises
    `StoreError` when another process holds it for longer than `wait` seconds, a minute by default.
    """
    try:
        handle = os.open(path.with_name(f"{path.name}.lock"), os.O_RDWR | os.O_CREAT, 0o600)
    except OSError:
        yield
        return
    try:
        until = time.monotonic() + wait
        while not locked(handle):
            if time.monotonic() > until:
                raise StoreError(
                    f"The file {path} is held by another program.",
                    likely="Another notebook or command is changing it, or one was stopped in the middle.",
                    hint="Close it and try again; nothing was changed.",
                )
            time.sleep(0.02)
        yield
    finally:
        os.close(handle)


def locked(handle: int) -> bool:
    """Take the lock of an open file until it is closed, and tell whether nobody else holds it; waits for nobody.

    True also where the file system has no locks.
    """
    try:
        if sys.platform == "win32":
            import msvcrt

            msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        return error.errno not in (errno.EACCES, errno.EAGAIN, errno.EDEADLK)
    return True
