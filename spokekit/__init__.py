"""spokekit: set up Confluence Cloud in notebooks, step by step.

Names are loaded when they are first used, so that importing the package costs next to nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from spokekit import errors
    from spokekit._secret import Secret
    from spokekit._workspace import Workspace, connect, workspace
    from spokekit.confluence.spoke import Spoke
    from spokekit.connections.connection import Connection, ConnectionDraft
    from spokekit.groups.registry import Registry
    from spokekit.practice import PracticeSite

    __version__: str

_HOME = {
    "Connection": "spokekit.connections.connection",
    "ConnectionDraft": "spokekit.connections.connection",
    "PracticeSite": "spokekit.practice",
    "Registry": "spokekit.groups.registry",
    "Secret": "spokekit._secret",
    "Spoke": "spokekit.confluence.spoke",
    "Workspace": "spokekit._workspace",
    "connect": "spokekit._workspace",
    "workspace": "spokekit._workspace",
}

__all__ = [
    "Connection",
    "ConnectionDraft",
    "PracticeSite",
    "Registry",
    "Secret",
    "Spoke",
    "Workspace",
    "__version__",
    "connect",
    "errors",
    "workspace",
]


def __getattr__(name: str) -> Any:
    if name in _HOME:
        value = getattr(import_module(_HOME[name]), name)
    elif name == "errors":
        value = import_module("spokekit.errors")
    elif name == "__version__":
        from importlib.metadata import version

        value = version("spokekit")
    else:
        raise AttributeError(f"module 'spokekit' has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
