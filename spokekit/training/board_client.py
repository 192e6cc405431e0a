"""What a learner's computer asks of the board of a class: outgoing only, nowhere else, and never more than is said.

No redirect is followed and no answer is read beyond its bound. What the board sends is foreign data, of which
`spokekit.board.wire` takes what fits a closed list.
"""

from __future__ import annotations

from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, TypeVar

from spokekit._http import clean, client, json_of, retry_after
from spokekit._secret import Secret
from spokekit._unreachable import failures, unreachable
from spokekit._words import counted
from spokekit.board.wire import (
    LONGEST_WAIT,
    MOST_BYTES,
    Join,
    Joined,
    Kept,
    Message,
    Orders,
    Report,
    Sent,
    Verified,
    decode,
    encode,
)
from spokekit.errors import Conflict, InputError, NotFound, SpokekitError, TransportError, UnexpectedAnswer

M = TypeVar("M")
_SECONDS = 10.0
_ANSWERS = 4_000_000
"""Bytes of what is kept of a learner (`sent`), at most; every other answer has `MOST_BYTES`."""
GONE = "The class does not know this computer any more: it was ended, or begun anew."
WHERE = "It has six signs and stands on the trainer's board."
AGAIN = "Ask the trainer for today's code and join again; what you did is kept here."


class NotInClass(SpokekitError):
    """The board does not know the key: the class was ended, or its records were deleted."""


class Contradicted(Conflict):
    """The board keeps something else under the numbers that were sent."""


class BoardClient:
    """One board, and the key of one learner on it; safe to share between threads.

    Parameters
    ----------
    url:
        As `class_address` gives it.
    key:
        None before joining.
    """

    def __init__(self, url: str, key: Secret | None = None) -> None:
        self.url = url
        self._key = key
        self._http = client(url, timeout=_SECONDS)

    def __repr__(self) -> str:
        return f"BoardClient({self.url!r})"

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    # -- what is asked -------------------------------------------------------------------------------------------------

    def join(self, asked: Join) -> Joined:
        """Come into the class; raises `InputError` for a wrong code, and `Conflict` when it is full."""
        status, headers, body = self._send("POST", "api/join", asked)
        said = _message(body)
        if status == 403 and said:
            of_code = "code" in said
            raise InputError(
                said,
                field="code" if of_code else "address",
                hint=WHERE if of_code else "Show this to the trainer.",
            )
        if status == 429:
            wait = retry_after(headers, datetime.now(UTC)) or 60
            raise InputError(
                "Wrong codes were tried too often from here.",
                field="code",
                hint=f"Wait {counted(round(wait), 'second')}, then copy the code from the trainer's board.",
            )
        if status == 409:
            raise Conflict(said or "The class is full.", hint="Ask the trainer.")
        return self._read(status, body, Joined)

    def report(self, told: Report) -> int:
        """Send a report and return the last event that is kept; raises `Contradicted`."""
        status, _, body = self._send("POST", "api/report", told)
        if status == 409:
            raise Contradicted(_message(body) or "The board keeps something else already.")
        return self._read(status, body, Kept).seq

    def orders(self, after: int, wait: float = LONGEST_WAIT) -> tuple[Orders, float | None]:
        """Wait for orders after a number, and return them with the board's own time, None where it says none."""
        path = f"api/orders?after={after}&wait={wait:g}"
        status, headers, body = self._send("GET", path, seconds=wait + _SECONDS)
        return self._read(status, body, Orders), _date(headers)

    def sent(self) -> Sent:
        """Return all that the board keeps of this learner."""
        status, _, body = self._send("GET", "api/sent", most=_ANSWERS)
        return self._read(status, body, Sent, _ANSWERS)

    def certificate(self) -> Verified:
        """Return what the board has of this learner, with a code; raises `NotFound` when nothing was right yet."""
        status, _, body = self._send("POST", "api/certificate")
        if status == 404 and (said := _message(body)):
            raise NotFound(said, hint="Check a lesson first.")
        return self._read(status, body, Verified)

    # -- inside --------------------------------------------------------------------------------------------------------

    def _read(self, status: int, body: bytes, kind: type[M], most: int = MOST_BYTES) -> M:
        if status in (401, 410):
            raise NotInClass(GONE, hint=AGAIN)
        if status >= 400 and (said := _message(body)):
            raise UnexpectedAnswer(f"The board refused: {said}", status=status, hint="Try again in a moment.")
        if status != 200:
            raise _not_a_board(self.url, status)
        try:
            return decode(body, kind, most)
        except InputError:
            raise UnexpectedAnswer(
                "The class answered with something that this spokekit does not know.",
                likely="It is no class of spokekit, or of another version.",
                hint="Copy the address from the trainer's board; the trainer's spokekit and yours have one version.",
            ) from None

    def _send(
        self,
        method: str,
        path: str,
        message: Message | None = None,
        *,
        seconds: float = _SECONDS,
        most: int = MOST_BYTES,
    ) -> tuple[int, Any, bytes]:
        import httpx2

        headers = {"Accept": "application/json"}
        if message is not None:
            headers["Content-Type"] = "application/json"
        if self._key is not None:
            headers["Authorization"] = f"Bearer {self._key.reveal()}"
        content = None if message is None else encode(message)
        failed: SpokekitError
        try:
            with self._http.stream(
                method,
                self.url + path,
                headers=headers,
                content=content,
                timeout=httpx2.Timeout(_SECONDS, read=seconds),
            ) as answer:
                parts, size = [], 0
                for part in answer.iter_bytes():
                    size += len(part)
                    if size > most:
                        raise _not_a_board(self.url, answer.status_code)
                    parts.append(part)
                return answer.status_code, answer.headers, b"".join(parts)
        except failures() as error:
            failed = self._away(error)
        except (httpx2.HTTPError, httpx2.InvalidURL, UnicodeError, ValueError, RuntimeError) as error:
            failed = TransportError(f"The class does not answer ({type(error).__name__}).")
        raise failed

    def _away(self, error: BaseException) -> TransportError:
        """Return why no answer came, in the words of somebody who wants to join."""
        told = unreachable(error, self.url, "the class")
        if told is not None and told.lasting:
            return told
        return TransportError(
            told.message if told is not None else f"The class at {self.url} does not answer.",
            likely="The class has not begun or has ended, its address is another one, or a firewall stands between.",
            hint="Copy the address from the trainer's board, and see that this computer is in the same network.",
        )


def _not_a_board(url: str, status: int) -> UnexpectedAnswer:
    return UnexpectedAnswer(
        f"What answers at {url} is no class of spokekit.",
        status=status,
        likely="The address leads to another program, or somebody between shows a page to sign in.",
        hint="Copy the address from the trainer's board.",
    )


def _message(body: bytes) -> str:
    found = json_of(body)
    said = found.get("message") if isinstance(found, dict) else None
    return clean(said) if isinstance(said, str) else ""


def _date(headers: Any) -> float | None:
    try:
        return parsedate_to_datetime(headers.get("date") or "").replace(tzinfo=UTC).timestamp()
    except (TypeError, ValueError, OverflowError):
        return None
