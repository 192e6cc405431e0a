"""What every test gets: a home of its own, no keyring, no network beyond this machine, and a practice site.

Fixtures
--------
site
    A strict practice site of the size ``class`` for one test.
workspace
    What a person has open, in an empty home.
connected
    The same with a saved connection to `site` on the default alias: client secret, token and site are there.
"""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, settings

# Holds every exchange with a practice site, in every test, against Atlassian's own documents.
from tests.contract.judge import MISSING, judged, summary, the_judge  # noqa: F401
from tests.recording_proxy import EVERY_VARIABLE

if TYPE_CHECKING:
    from spokekit._workspace import Workspace
    from spokekit.practice import PracticeSite

# A slow machine is no failure, and each run draws the same. Settings of a test's own take the rest from here.
settings.register_profile("spokekit", derandomize=True, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("spokekit")

IN_CI = os.environ.get("CI", "").lower() in {"1", "true", "yes"}

# Settings of the person or the place that would change what is tested; those of the second kind are for the run itself.
_PERSONAL = ("SPOKEKIT_", "JUPYTERHUB_", "BINDER_", "JPY_", "SERVER_SOFTWARE")
_FOR_THE_RUN = {"SPOKEKIT_CHROMIUM", "SPOKEKIT_EXAMPLES", "SPOKEKIT_SCREENSHOTS", "SPOKEKIT_UPDATE_SCREENSHOT"}

# A proxy of this machine's is not for loopback, and that is where all of the tests' own requests go. What is tested
# gets its proxies from the test.
for _name in EVERY_VARIABLE:
    os.environ.pop(_name, None)

_LOCAL = ("127.", "::1", "localhost", "0.0.0.0")


@pytest.fixture(autouse=True, scope="session")
def _loopback_only() -> Iterator[None]:
    """Refuse connections that would leave this machine: a test that needs one is wrong."""
    patch = pytest.MonkeyPatch()
    for name in ("connect", "connect_ex"):
        original = getattr(socket.socket, name)

        def guarded(self: socket.socket, address: Any, _original: Any = original) -> Any:
            inet = self.family in (socket.AF_INET, socket.AF_INET6)
            if inet and not str(address[0]).startswith(_LOCAL):
                raise AssertionError(f"a test tried to reach {address[0]}: only this machine is allowed")
            return _original(self, address)

        patch.setattr(socket.socket, name, guarded)
    yield
    patch.undo()


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Give each test a home of its own, and none of the person's settings."""
    for name in list(os.environ):
        if name.startswith(_PERSONAL) and name not in _FOR_THE_RUN:
            monkeypatch.delenv(name)
    folder = tmp_path / "home"
    monkeypatch.setenv("SPOKEKIT_HOME", str(folder))
    monkeypatch.setenv("PYTHON_KEYRING_BACKEND", "keyring.backends.null.Keyring")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1,localhost")
    monkeypatch.setenv("MPLBACKEND", "agg")
    yield folder
    from spokekit.connections import store

    while store._open:
        store._open.popitem()[1].close()
    if opened := sys.modules.get("spokekit._workspace"):
        opened._open.clear()
    # What was typed into a component outlives it, for the next one of the same connection.
    if base := sys.modules.get("spokekit.widgets.base"):
        base.forget_typed()


@pytest.fixture
def site() -> Iterator[PracticeSite]:
    """Serve a strict practice site of the size ``class``."""
    from spokekit.practice import PracticeSite

    with PracticeSite(size="class", seed=1, strict=True) as running:
        yield running


@pytest.fixture
def workspace(home: Path) -> Workspace:
    """Open an empty workspace."""
    from spokekit._workspace import Workspace

    return Workspace()


@pytest.fixture
def connected(workspace: Workspace, site: PracticeSite) -> Workspace:
    """Open a workspace whose default alias is connected to `site`, as after Save and Get OAuth Token."""
    connect(workspace, site)
    return workspace


def connect(workspace: Workspace, site: PracticeSite, **changes: Any) -> Any:
    """Save a connection to `site` with client secret, grant and site; `changes` go to the draft."""
    from spokekit._secret import Secret
    from spokekit.connections.connection import ConnectionDraft

    draft = ConnectionDraft(
        **{
            "name": "Confluence Cloud Spoke Connection",
            "url": site.url,
            "auth_url": site.auth_url,
            "client_id": site.client_id,
            "redirect_uri": site.redirect_uris[0],
            **changes,
        }
    )
    connection = workspace.connections.save(draft)
    workspace.tokens.set_client_secret(connection, Secret(site.client_secret))
    workspace.tokens.save_grant(connection, site.issue_token(scopes=connection.scopes))
    home_site = site.sites[0]
    workspace.connections.set_site(connection.connection_id, home_site.cloud_id, home_site.name, home_site.url)
    return workspace.connection(connection.connection_id)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run what drives the browser last: Playwright keeps an event loop running in the main thread from then on."""
    items.sort(key=lambda item: "browser" in getattr(item, "fixturenames", ()))
    if IN_CI:
        # Real browsers, processes and clocks on a shared machine: what fails is run once more, and named in the summary
        # as "rerun" where that passed. What fails twice fails.
        for item in items:
            item.add_marker(pytest.mark.flaky(reruns=1))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Any:
    """Where everything is installed (CI), a test that is skipped has not been run: that is a failure."""
    report = yield
    if IN_CI and report.skipped and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        report.longrepr = f"{item.nodeid} was skipped, which CI does not allow: {reason}"
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(collector: pytest.Collector) -> Any:
    """The same for a whole module that skips itself."""
    report = yield
    if IN_CI and report.outcome == "skipped":
        report.outcome = "failed"
        report.longrepr = f"{collector.nodeid} was skipped, which CI does not allow: {report.longrepr}"
    return report


# --- what the run says at its end about the contract: each process has a judge of its own ---
_FIGURES: list[dict[str, Any]] = []


def pytest_sessionfinish(session: pytest.Session) -> None:
    judge = the_judge()
    if judge is not None and (told := getattr(session.config, "workeroutput", None)) is not None:
        told["contract"] = judge.figures()


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    if figures := getattr(node, "workeroutput", {}).get("contract"):
        _FIGURES.append(figures)


def pytest_terminal_summary(terminalreporter: Any) -> None:
    judge = the_judge()
    if judge is None:
        terminalreporter.write_line(MISSING, red=True, bold=True)
    else:
        terminalreporter.write_line(summary([judge.figures(), *_FIGURES]))
