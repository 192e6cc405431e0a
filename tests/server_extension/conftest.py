"""A store on the practice site's clock, and a Jupyter server, as in tests/oauth."""

from __future__ import annotations

from tests.oauth.conftest import place
from tests.oauth.jupyter_server import proxy, running, server

__all__ = ["place", "proxy", "running", "server"]
