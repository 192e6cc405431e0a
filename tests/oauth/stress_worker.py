"""One process of the stress test: ten tasks on one token, some cancelled at random.

Usage: stress_worker.py CONNECTION_ID SECONDS_AHEAD SEED CANCEL(0|1) SLOW; waits for a line on standard input, prints
JSON. SLOW is the time in seconds that a request takes to the server, and its answer back.
"""

from __future__ import annotations

import asyncio
import json
import random
import sys
import time
from datetime import UTC, datetime, timedelta

import httpx2

from spokekit.connections.connection import Connections
from spokekit.connections.store import default_store
from spokekit.oauth.tokens import Tokens
from spokekit.oauth.vault import Vault

TASKS = 10


class SlowLine(httpx2.BaseTransport):
    def __init__(self, seconds: float) -> None:
        self._seconds = seconds

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        with httpx2.HTTPTransport() as real:
            time.sleep(self._seconds)
            answer = real.handle_request(request)
            answer.read()
            time.sleep(self._seconds)
        return answer


async def main(connection_id: str, ahead: float, seed: int, cancel: bool, slow: float) -> None:
    store = default_store()
    connection = Connections(store).get(connection_id)
    tokens = Tokens(
        store,
        Vault.open(store),
        transport=SlowLine(slow) if slow else None,
        now=lambda: datetime.now(UTC) + timedelta(seconds=ahead),
    )
    source = tokens.source(connection)
    rng = random.Random(seed)
    print("ready", flush=True)
    sys.stdin.readline()

    async def call(client: httpx2.AsyncClient) -> int:
        token = await source()
        answer = await client.get(connection.url + "me", headers={"Authorization": f"Bearer {token.reveal()}"})
        return answer.status_code

    async with httpx2.AsyncClient() as client:
        work = [asyncio.create_task(call(client)) for _ in range(TASKS)]
        if cancel:
            for task in rng.sample(work, TASKS // 2):
                await asyncio.sleep(rng.random() * 0.05)
                task.cancel()
        ended = await asyncio.gather(*work, return_exceptions=True)
    print(json.dumps([one if isinstance(one, int) else type(one).__name__ for one in ended]), flush=True)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], float(sys.argv[2]), int(sys.argv[3]), sys.argv[4] == "1", float(sys.argv[5])))
