"""A practice site that behaves like Atlassian: for trying out, for training, and for tests (yours too).

In a test of your own::

    import pytest
    from spokekit.practice import PracticeSite

    @pytest.fixture
    def site():
        with PracticeSite(strict=True) as running:
            yield running

    def test_a_page_that_is_cut_off(site):
        site.faults.add("reset:3@members")                    # every third page of members is cut off
        token = site.issue_token()["access_token"]            # or play the whole consent: site.play_browser(address)
        ...
        truth = site.world.frames()["memberships"]            # what a complete pull has to equal
        assert site.writes == {}                              # nobody's membership was touched

`PracticeSite` is the server, `World` what it holds, `FAULTS` what can go wrong, `Switches` what is not known of the
real site and can be set either way; `roster` writes the list of people that HR would have of a world. On the command
line it is ``spokekit practice``; its developer console is at ``/console``, and faults can be ordered at run time with
``POST /practice/faults``. `PracticeInstance` answers like a ServiceNow instance, for a hand-over.
"""

from __future__ import annotations

from spokekit.practice.exchange import Exchange, RequestRecord
from spokekit.practice.faults import FAULTS, Fault, Faults
from spokekit.practice.instance import InstanceSwitches, PracticeInstance
from spokekit.practice.server import PracticeSite, SiteInfo
from spokekit.practice.switches import Switches
from spokekit.practice.world import SIZES, World
from spokekit.practice.world.roster import PracticeRoster, roster

__all__ = [
    "FAULTS",
    "SIZES",
    "Exchange",
    "Fault",
    "Faults",
    "InstanceSwitches",
    "PracticeInstance",
    "PracticeRoster",
    "PracticeSite",
    "RequestRecord",
    "SiteInfo",
    "Switches",
    "World",
    "roster",
]
