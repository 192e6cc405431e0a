"""A practice instance that answers like ServiceNow's Table API: what a hand-over goes to, without an instance."""

from __future__ import annotations

from spokekit.practice.instance.remote import RemoteInstance
from spokekit.practice.instance.server import PracticeInstance
from spokekit.practice.instance.switches import FAULTS, InstanceSwitches

__all__ = ["FAULTS", "InstanceSwitches", "PracticeInstance", "RemoteInstance"]
