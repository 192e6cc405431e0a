"""A practice instance of another process: what `spokekit lab --instance` started, steered from a notebook."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from spokekit.errors import InputError

VARIABLE = "SPOKEKIT_INSTANCE"
"""The environment variable that holds what a practice instance says of itself, as JSON."""


class RemoteInstance:
    """What `PracticeInstance` offers to somebody who practises, over HTTP.

    Parameters
    ----------
    said:
        What `PracticeInstance.describe` gave.

    Attributes
    ----------
    url, api_key, parent_sys_id:
        As those of `PracticeInstance`.
    """

    def __init__(self, said: Mapping[str, str]) -> None:
        self.url = said["url"]
        self.api_key = said["api_key"]
        self.parent_sys_id = said["parent_sys_id"]

    @classmethod
    def of(cls, environment: Mapping[str, str]) -> RemoteInstance | None:
        """Return the instance that the environment names, or None; raises `InputError` where it is not understood."""
        text = environment.get(VARIABLE, "").strip()
        if not text:
            return None
        try:
            return cls(json.loads(text))
        except (ValueError, KeyError, TypeError):
            raise InputError(
                f"The environment variable {VARIABLE} does not hold what a practice instance says of itself.",
                field="instance",
                hint="Start the notebooks with `spokekit lab --instance`, or take the variable away.",
            ) from None

    def import_xml(self, text: str | bytes) -> list[tuple[str, str]]:
        """Import an unload file, as `PracticeInstance.import_xml` does."""
        written = self._order("import", text.encode() if isinstance(text, str) else text)
        return [(table, sys_id) for table, sys_id in written["written"]]

    def become_a_clone(self) -> None:
        """Do what `PracticeInstance.become_a_clone` does."""
        self._order("clone", b"")

    def _order(self, what: str, body: bytes) -> dict[str, Any]:
        import httpx2

        address, headers = f"{self.url}practice/{what}", {"x-sn-apikey": self.api_key}
        try:
            answer = httpx2.post(address, content=body, headers=headers, timeout=20, trust_env=False)
            said = answer.json()
        except (httpx2.HTTPError, ValueError):
            said = None
        if not isinstance(said, dict) or answer.status_code != 200:
            told = said.get("error", {}).get("message") if isinstance(said, dict) else None
            raise InputError(
                str(told or f"The practice instance at {self.url} does not answer."),
                field="instance",
                hint="Start it again: spokekit lab --instance.",
            )
        return said
