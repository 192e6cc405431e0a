"""Talking to Confluence Cloud: the gateway, paging, the ledger of points, and the spoke's actions.

The names below are imported on first use, since this room needs the HTTP library and `import spokekit` does not.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from spokekit.confluence.backoff import RetryPolicy
    from spokekit.confluence.gateway import Gateway
    from spokekit.confluence.report import CompletenessReport, Progress
    from spokekit.confluence.spoke import AsyncSpoke, Spoke
    from spokekit.confluence.wire import Timeouts

_WHERE = {
    "AsyncSpoke": "spoke",
    "CompletenessReport": "report",
    "Gateway": "gateway",
    "Progress": "report",
    "RetryPolicy": "backoff",
    "Spoke": "spoke",
    "Timeouts": "wire",
}

__all__ = ["AsyncSpoke", "CompletenessReport", "Gateway", "Progress", "RetryPolicy", "Spoke", "Timeouts"]


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_WHERE[name]}"), name)
