"""A value that nothing shows: no repr, str, HTML, pickle, log, traceback, debugger or inspector of it.

The plain text exists in the request that needs it only: a `Secret` holds it sealed by a key of this process, since
debuggers and inspectors show every attribute, whatever its name. Everything that
is written for people passes through `scrub`, as a second line behind the first.
"""

from __future__ import annotations

import hashlib
import hmac
import logging
import re
import secrets
from typing import Any, NoReturn

from spokekit._foreign import shown

MASK = "***"

_PATTERNS: tuple[tuple[re.Pattern[str], str], ...] = (
    # A JWT is three base64url parts; Atlassian's codes and tokens are JWTs (facts: reported).
    (re.compile(r"eyJ[\w-]{8,}\.[\w-]{4,}(?:\.[\w-]*)?"), MASK),
    (re.compile(r"(?i)\b(bearer|basic)\s+[\w.~+/=-]{6,}"), rf"\1 {MASK}"),
    (
        re.compile(
            r"(?i)([?&\"'\s{,(]|^)((?:[\w-]*(?:access_|refresh_|id_)?token|code|client_secret|secret|password|"
            r"code_verifier|state|flow)[\"']?\s*[=:]\s*[\"']?)([^\s\"'&,}<>)]{3,})"
        ),
        rf"\1\2{MASK}",
    ),
)


def scrub(text: str) -> str:
    """Return `text` with everything that looks like a token, code, state or secret masked."""
    for pattern, replacement in _PATTERNS:
        text = pattern.sub(replacement, text)
    return text


# Kept when the module is loaded again (autoreload in a notebook), as the secrets that exist are; a forked child has it.
_KEY: bytes = globals().get("_KEY") or secrets.token_bytes(32)
_NONCE = 16


def _mask(data: bytes, nonce: bytes) -> bytes:
    """Combine `data` with a stream of bytes made from the key and `nonce`; doing it twice gives `data` again."""
    stream = hashlib.shake_256(_KEY + nonce).digest(len(data))
    return (int.from_bytes(data) ^ int.from_bytes(stream)).to_bytes(len(data))


class Secret:
    """Hold a secret string and show only ``***``.

    `reveal` gives the plain text; call it inside the expression that sends it, so that no local variable holds it
    when an exception prints the locals. Comparison takes constant time. Pickling is refused. No attribute holds the
    plain text, so a debugger's variables and ``inspect.getmembers`` do not show it; whoever may run code here can
    still call `reveal`.
    """

    __slots__ = ("__masked", "__weakref__")

    def __init__(self, value: str) -> None:
        if not isinstance(value, str):
            raise TypeError("A secret is a string.")
        nonce = secrets.token_bytes(_NONCE)
        # A str subclass could bring its own encode.
        self.__masked = nonce + _mask(str.encode(value, errors="surrogatepass"), nonce)

    def reveal(self) -> str:
        """Return the plain text."""
        return self.__plain().decode(errors="surrogatepass")

    def __plain(self) -> bytes:
        return _mask(self.__masked[_NONCE:], self.__masked[:_NONCE])

    def __repr__(self) -> str:
        return f"Secret('{MASK}')"

    def __str__(self) -> str:
        return MASK

    def __format__(self, spec: str) -> str:
        return MASK

    def __bool__(self) -> bool:
        return len(self.__masked) > _NONCE

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Secret):
            return NotImplemented
        return hmac.compare_digest(self.__plain(), other.__plain())

    def __hash__(self) -> int:
        return hash((Secret, self.__plain()))

    def __copy__(self) -> Secret:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Secret:
        return self

    def __reduce__(self) -> NoReturn:
        raise TypeError("A secret cannot be pickled: it would be written in clear text.")

    def __getstate__(self) -> NoReturn:
        raise TypeError("A secret has no state to show.")


class ScrubFilter(logging.Filter):
    """Mask secrets in log records of spokekit and of the HTTP libraries under it, and write out what is unseen."""

    def filter(self, record: logging.LogRecord) -> bool:
        try:
            text = record.getMessage()
        except (TypeError, ValueError):
            return True
        clean = shown(scrub(text), keep="\n\t")
        if clean != text:
            record.msg, record.args = clean, None
        if record.exc_text:
            record.exc_text = shown(scrub(record.exc_text), keep="\n\t")
        return True


# A logger's filter does not see what its children log, so each is named.
_LOGGERS = (
    "spokekit",
    "httpx2",
    *(f"httpcore2.{part}" for part in ("connection", "http11", "http2", "proxy", "socks")),
    "uvicorn.access",
    "uvicorn.error",
)


def guard_logs() -> None:
    """Put the filter on the loggers that could name a full URL; calling it again changes nothing."""
    for name in _LOGGERS:
        logger = logging.getLogger(name)
        if not any(isinstance(f, ScrubFilter) for f in logger.filters):
            logger.addFilter(ScrubFilter())
