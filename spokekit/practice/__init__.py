"""A practice site that behaves like Atlassian: for trying out, for training, and for tests (yours too)."""

from __future__ import annotations

from spokekit.practice._wire import Exchange, RequestRecord
from spokekit.practice.faults import FAULTS, Fault, Faults
from spokekit.practice.server import PracticeSite, SiteInfo
from spokekit.practice.switches import Switches
from spokekit.practice.world import SIZES, World

__all__ = [
    "FAULTS",
    "SIZES",
    "Exchange",
    "Fault",
    "Faults",
    "PracticeSite",
    "RequestRecord",
    "SiteInfo",
    "Switches",
    "World",
]
