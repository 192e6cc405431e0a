"""The redirect target inside jupyter_server: ``{base_url}spokekit/oauth/start`` and ``…/callback``.

The wheel switches it on by ``etc/jupyter/jupyter_server_config.d/spokekit.json``. It knows no token and no client
secret: it hands the callback to the kernel that waits for it (`spokekit.oauth.jupyter_mailbox`). Where the person's
browser cannot come to a practice site, ``{base_url}spokekit/practice/PORT/…`` passes its pages
on (`spokekit.oauth.jupyter_mailbox`). ``{base_url}spokekit/notebooks`` copies the notebooks and opens the first one.
"""

from __future__ import annotations

from typing import Any


def _jupyter_server_extension_points() -> list[dict[str, str]]:
    return [{"module": "spokekit.server_extension"}]


def _load_jupyter_server_extension(server_app: Any) -> None:
    from spokekit.server_extension.install import install

    install(server_app)
