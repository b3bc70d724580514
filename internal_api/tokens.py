"""Who may call: the tokens of the setting and of the file, compared in constant time."""

from __future__ import annotations

import hmac
import re
from collections.abc import Iterable
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from engine.errors import Denied, Unavailable

if TYPE_CHECKING:
    from engine.runtime.settings import InternalApiSettings

OPEN_PATHS = frozenset({"/livez", "/healthz", "/readyz"})
SETTING = "PLAYLOG_INTERNAL_API_TOKEN"
_SEPARATORS = re.compile(r"[,\r\n]")


class Tokens:
    """The digests of the tokens that open the API now; the file is read again whenever it changes."""

    def __init__(self, value: str | None, file: Path | None) -> None:
        self._fixed = _digests(value or "")
        self._file = file
        self._seen: tuple[int, int, int] | None = None
        self._from_file: list[bytes] = []

    @classmethod
    def of(cls, settings: InternalApiSettings) -> Tokens:
        """The tokens that the settings name."""
        secret = settings.internal_api_token
        return cls(None if secret is None else secret.get_secret_value(), settings.internal_api_token_file)

    def check(self, headers: Iterable[str]) -> None:
        """Let the holder of a token pass, given all `Authorization` headers of the request.

        Raises `Unavailable` when no token is configured and `Denied` for everything but a right one.
        """
        valid = self._fixed + self._read_file()
        if not valid:
            raise Unavailable(f"no token is configured: set {SETTING} or {SETTING}_FILE", code="no_token")
        given = blake2b(_bearer(list(headers))).digest()
        matches = [hmac.compare_digest(given, known) for known in valid]
        if not any(matches):
            raise Denied("the token is not valid")

    def _read_file(self) -> list[bytes]:
        """A file that is away, unreadable or empty holds no token: what was in it is withdrawn."""
        if self._file is None:
            return []
        try:
            stat = self._file.stat()
            seen = (stat.st_mtime_ns, stat.st_ino, stat.st_size)
            if seen != self._seen:
                self._from_file = _digests(self._file.read_text(encoding="utf-8"))
                self._seen = seen
        except (OSError, UnicodeDecodeError):
            self._from_file, self._seen = [], None
        return self._from_file


def gate(tokens: Tokens) -> Middleware:
    """A middleware that lets only holders of a token through; probes are open to everyone."""

    @web.middleware
    async def guard(request: web.Request, handler: Handler) -> web.StreamResponse:
        if request.path not in OPEN_PATHS:
            tokens.check(request.headers.getall("Authorization", []))
        return await handler(request)

    return guard


def _digests(text: str) -> list[bytes]:
    parts = (part.strip() for part in _SEPARATORS.split(text))
    return [blake2b(part.encode()).digest() for part in parts if part]


def _bearer(headers: list[str]) -> bytes:
    if len(headers) != 1:
        raise Denied("one Authorization header with a Bearer token is required")
    if not headers[0].isascii():
        raise Denied("the Authorization header is not ASCII")
    scheme, _, token = headers[0].partition(" ")
    if scheme.lower() != "bearer":
        raise Denied("the Authorization header is not of the scheme Bearer")
    if not token.strip():
        raise Denied("the Bearer token is empty")
    return token.encode()
