"""Whether a folder of evidence is as it was written, and whether it is the one that belongs in its place."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spokekit._frames import frame_of
from spokekit.audit.history.integrity import FORMAT, MANIFEST, Damage, read_manifest
from spokekit.errors import InputError, NotFound
from spokekit.review import records as rec

if TYPE_CHECKING:
    import pandas as pd

    from spokekit.review.reviews import Reviews

WHOLE, CHANGED, MISSING, ADDED, MISPLACED = "whole", "changed", "missing", "added", "misplaced"


KIND = "spokekit access review"


@dataclass(frozen=True)
class Found:
    """One file of a folder of evidence, or the folder itself: its state and what that means."""

    folder: str
    file: str
    state: str
    words: str


def check_evidence(folder: Path | str, reviews: Reviews | None = None, *, campaign: str = "") -> pd.DataFrame:
    """Hold every file of a folder of evidence against its manifest, and the manifest against the store.

    Parameters
    ----------
    folder:
        One folder of evidence, or one that holds several: then their chain is checked too.
    reviews:
        The reviews of a store that knows the digests; without it, the folder is only held against itself.
    campaign:
        The review whose evidence it has to be, where the folder's name does not say that any more.

    Returns
    -------
    folder, file, state (whole, changed, missing, added, misplaced), words (str each); one row a file, and one with the
    file "." for what concerns the whole folder. ``attrs``: notes (sentences) and whole (bool).

    Raises
    ------
    NotFound
        There is no such folder, or no evidence in it.
    """
    base = Path(folder).expanduser().absolute()
    if not base.is_dir():
        raise NotFound(f"There is no folder {base}.", hint="Name the folder that `review close --out` has written.")
    # What a close that was killed has left beside begins with a dot, and is evidence of nothing.
    beside = (p.parent for p in base.glob(f"*/{MANIFEST}") if not p.parent.name.startswith("."))
    several = [] if (base / MANIFEST).exists() else sorted(beside)
    if not several and not (base / MANIFEST).exists() and not any((base / name).exists() for name in _TELLING):
        raise NotFound(
            f"{base} holds no evidence of a review.", hint="Name the folder that `review close --out` has written."
        )
    if several and campaign:
        raise InputError("Several folders cannot be one review's evidence.", field="campaign", hint="Name one folder.")
    found: list[Found] = []
    notes: list[str] = []
    for one in several or [base]:
        found += _folder(one, reviews, campaign, notes)
    found += _chain(several)
    made = frame_of(found, dict.fromkeys(("folder", "file", "state", "words"), "text"))
    made.attrs = {"notes": notes, "whole": all(one.state == WHOLE for one in found)}
    return made


_TELLING = ("campaign.json", "decisions.csv", "report.html")


def digest(data: bytes) -> str:
    """Return the SHA-256 of a file."""
    return hashlib.sha256(data).hexdigest()


def rendered(manifest: Mapping[str, Any]) -> bytes:
    """Return a manifest as it is written; other bytes that mean the same are a change."""
    return (json.dumps(manifest, ensure_ascii=True, indent=1, sort_keys=True) + "\n").encode()


def read(folder: Path) -> dict[str, Any] | Damage:
    """Return the manifest of a folder of evidence, or what is wrong with it: to the byte."""
    manifest = read_manifest(folder)
    if isinstance(manifest, Damage):
        return manifest
    strange = Damage(f"{folder.name}/{MANIFEST}", "is not that of an access review")
    if manifest.get("kind") != KIND or manifest.get("format") != FORMAT:
        return strange
    try:
        if (folder / MANIFEST).read_bytes() != rendered(manifest):
            return Damage(strange.file, "was changed after it was written")
        fine = all(
            isinstance(name, str) and Path(name).name == name and isinstance(entry["sha256"], str)
            for name, entry in manifest["files"].items()
        )
        return manifest if fine and isinstance(manifest["campaign"], str) else strange
    except (OSError, KeyError, TypeError, AttributeError):
        return strange


def damages_of(folder: Path) -> list[Found]:
    """Return what is wrong with the files of a folder, by its own manifest."""
    return [one for one in _files(folder) if one.state != WHOLE]


def _files(folder: Path) -> list[Found]:
    name = folder.name
    manifest = read(folder)
    if isinstance(manifest, Damage):
        state = MISSING if manifest.gone else CHANGED
        return [Found(name, MANIFEST, state, f"{manifest.words}; without it no other file can be checked.")]
    found = [Found(name, MANIFEST, WHOLE, "As it was written.")]
    listed = manifest["files"]
    for file, entry in listed.items():
        path = folder / file
        try:
            data = path.read_bytes() if path.is_file() and not path.is_symlink() else None
        except OSError as error:
            found.append(Found(name, file, CHANGED, f"It cannot be read: {error.strerror or error}."))
            continue
        if data is None:
            gone = not path.exists() and not path.is_symlink()
            words = "It is missing." if gone else "It is no file any more."
            found.append(Found(name, file, MISSING if gone else CHANGED, words))
        elif digest(data) != entry["sha256"]:
            size = f" ({len(data):,} bytes instead of {entry['bytes']:,})" if len(data) != entry["bytes"] else ""
            found.append(Found(name, file, CHANGED, f"It was changed after it was written{size}."))
        else:
            found.append(Found(name, file, WHOLE, "As it was written."))
    for path in sorted(folder.rglob("*")):
        inside = path.relative_to(folder).as_posix()
        if inside != MANIFEST and inside not in listed:
            found.append(Found(name, inside, ADDED, "It was not written with the evidence."))
    return found


def _folder(folder: Path, reviews: Reviews | None, campaign: str, notes: list[str]) -> list[Found]:
    found = _files(folder)
    manifest = read(folder)
    if isinstance(manifest, Damage):
        return found
    name, own = folder.name, manifest["campaign"]
    wrong = ""
    if campaign and campaign.strip().casefold() != own.casefold():
        wrong = f"It is the evidence of the review {own}, not of {campaign}."
    elif not campaign and manifest["folder"] != name:
        wrong = (
            f"It is the evidence of the review {own} and was written as {manifest['folder']}: if somebody has only "
            f"renamed it, check it with --campaign {own}."
        )
    if reviews is not None and not wrong:
        wrong = _against_store(folder, manifest, reviews, campaign, notes)
    if reviews is None:
        notes.append(
            f"{name} was held against its own manifest only; who can rewrite the whole folder can rewrite that."
        )
    return [*found, Found(name, ".", MISPLACED, wrong)] if wrong else found


def _against_store(folder: Path, manifest: dict[str, Any], reviews: Reviews, campaign: str, notes: list[str]) -> str:
    """Say why a folder is not the one that the store knows; "" where it is, or where the store cannot tell."""
    ours = digest((folder / MANIFEST).read_bytes())
    # Folder -> digest, the last written there; and every digest of each campaign.
    here = ""
    known: dict[str, list[str]] = {}
    for head in reviews.records.heads(reviews.cloud_id):
        for event in reviews.records.events(head.campaign_id):
            if event.event == rec.EVIDENCE:
                known.setdefault(head.campaign_id, []).append(event.detail["sha256"])
                if event.detail["folder"] == str(folder):
                    here = f"{head.name}\n{event.detail['sha256']}"
    written, _, expected = here.partition("\n")
    if here and expected != ours and not campaign:
        return (
            f"This folder was written for the review {written}, and holds another evidence, of {manifest['campaign']} "
            f"closed at {manifest['closed_at'][:16].replace('T', ' ')} UTC."
        )
    digests = known.get(manifest["campaign_id"], [])
    if digests and ours not in digests:
        return "Its manifest is not the one that the store has noted: it was written anew by somebody else."
    if not digests:
        notes.append(
            f"The store knows no evidence of the review {manifest['campaign']}: {folder.name} was held against "
            "its own manifest only."
        )
    return ""


def _chain(folders: list[Path]) -> list[Found]:
    """Hold each manifest of several against the one that it names as its predecessor."""
    manifests = {folder: m for folder in folders if isinstance(m := read(folder), dict)}
    by_campaign = {
        m["campaign_id"]: (folder, digest((folder / MANIFEST).read_bytes())) for folder, m in manifests.items()
    }
    found = []
    for folder, manifest in manifests.items():
        before = manifest.get("previous")
        if not before:
            continue
        there = by_campaign.get(before["campaign_id"])
        if there is None:
            words = f"It follows the review {before['campaign']}, whose evidence is not here."
            found.append(Found(folder.name, ".", MISSING, words))
        elif there[1] != before["sha256"]:
            words = f"It is not the evidence that {manifest['campaign']} follows: its manifest has another digest."
            found.append(Found(there[0].name, ".", CHANGED, words))
    return found


def as_json(frame: pd.DataFrame) -> str:
    """Return the result of a check as JSON."""
    return json.dumps(frame.to_dict("records"), ensure_ascii=True)
