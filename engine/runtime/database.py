"""Connections to PostgreSQL with a time limit on everything, and its errors as ours."""

from __future__ import annotations

import struct
from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING, TypeAlias, TypeVar, cast

import asyncpg
import structlog
import tenacity

from engine import errors

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

    from engine.runtime.settings import DatabaseSettings

    _Connection = asyncpg.Connection[asyncpg.Record]
else:
    _Connection = asyncpg.Connection  # generic for the type checker only

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"
Pool: TypeAlias = "asyncpg.Pool[asyncpg.Record]"

T = TypeVar("T")

_log = structlog.get_logger(__name__)
_STARTING = (OSError, TimeoutError, asyncpg.CannotConnectNowError, asyncpg.TooManyConnectionsError)
_REFUSED = (
    asyncpg.InvalidAuthorizationSpecificationError,
    asyncpg.InvalidPasswordError,
    asyncpg.InvalidCatalogNameError,
    asyncpg.exceptions.ClientConfigurationError,
)
# InternalClientError is what asyncpg raises when a backend dies between two messages.
_ERRORS = (
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    OSError,
    TimeoutError,
)
_IDLE_CONNECTION_SECONDS = 300.0
_INTEGERS = {"int8": struct.Struct("!q"), "int4": struct.Struct("!i"), "int2": struct.Struct("!h")}


class SessionlessConnection(_Connection):
    """A connection without session state, so that giving it back to the pool costs no round trip."""

    def get_reset_query(self) -> str:
        """Return nothing to run; an open transaction is still rolled back by asyncpg."""
        return ""


async def connect(settings: DatabaseSettings, *, url: str | None = None, name: str = "playlog") -> Connection:
    """Open one connection outside any pool, waiting for a server that is starting.

    Raises:
        Misconfigured: no URL, or the server refuses user, password or database.
        Unavailable: no server after database_start_timeout.
    """
    dsn = _url(settings, url)

    async def attempt() -> Connection:
        connection = await asyncpg.connect(
            dsn,
            connection_class=SessionlessConnection,
            timeout=settings.connect_timeout,
            command_timeout=settings.command_timeout,
            statement_cache_size=settings.statement_cache_size,
            server_settings=_server_settings(settings, name),
        )
        try:
            await refuse_fractions(connection)
        except BaseException:
            connection.terminate()
            raise
        return connection

    return await _patiently(settings, attempt)


def reconnector(
    settings: DatabaseSettings, *, name: str, seconds: float
) -> Callable[[], Awaitable[Connection]]:
    """Return what opens connections as `connect` does, waiting at most `seconds` for a server that is away.

    That is for work at run time: it must not outlast the patience of a client, or the grace of SIGTERM.
    """
    patience = settings.model_copy(update={"database_start_timeout": seconds})

    async def reconnect() -> Connection:
        return await connect(patience, name=name)

    return reconnect


async def open_pool(settings: DatabaseSettings, *, size: int | None = None, name: str = "playlog") -> Pool:
    """Open a pool of at most `size` (default: database_pool_size) connections, one at once.

    Raises:
        Misconfigured: no URL, or the server refuses user, password or database.
        Unavailable: no server after database_start_timeout.
    """
    dsn = _url(settings, None)

    async def attempt() -> Pool:
        return await asyncpg.create_pool(
            dsn,
            min_size=1,
            max_size=size or settings.database_pool_size,
            max_inactive_connection_lifetime=_IDLE_CONNECTION_SECONDS,
            connection_class=SessionlessConnection,
            init=refuse_fractions,
            timeout=settings.connect_timeout,
            command_timeout=settings.command_timeout,
            statement_cache_size=settings.statement_cache_size,
            server_settings=_server_settings(settings, name),
        )

    return await _patiently(settings, attempt)


async def refuse_fractions(connection: Connection) -> None:
    """Make integer columns and parameters refuse 1.5, which asyncpg by itself stores as 1."""
    # In one transaction, because PgBouncer may change the server between two.
    async with connection.transaction():
        for type_name, form in _INTEGERS.items():
            await connection.set_type_codec(
                type_name,
                schema="pg_catalog",
                encoder=form.pack,
                decoder=_decoder(form),
                format="binary",
            )


@asynccontextmanager
async def checkout(pool: Pool, *, seconds: float = 5.0) -> AsyncIterator[Connection]:
    """Borrow a connection for a block, waiting at most `seconds`; database errors leave as ours.

    Raises:
        Busy: every connection stayed in use.
        Unavailable: no connection could be opened in that time.
        PlaylogError: what `classify` makes of a database error inside the block.
    """
    with classified():
        try:
            connection = await pool.acquire(timeout=seconds)
        except TimeoutError as error:
            if pool.get_size() < pool.get_max_size():
                raise
            raise errors.Busy("all database connections are in use", retry_after=1) from error
        try:
            # A pool lends proxies that behave as connections without being declared as such.
            yield cast("Connection", connection)
        finally:
            await pool.release(connection, timeout=seconds)


@contextmanager
def classified() -> Iterator[None]:
    """Turn errors of the database and of the network inside a block into ours."""
    try:
        yield
    except _ERRORS as error:
        raise classify(error) from error


def classify(error: BaseException) -> errors.PlaylogError:
    """Map an error of asyncpg or of the operating system to our tree, dropping its own text."""
    match error:
        case errors.PlaylogError():
            return error
        case asyncpg.PostgresError():
            constraint = getattr(error, "constraint_name", None)
            return errors.from_sqlstate(error.sqlstate, constraint)
        case asyncpg.InterfaceError() | asyncpg.InternalClientError() | OSError() | TimeoutError():
            return errors.from_sqlstate(None)
        case _:
            return errors.PlaylogError()


def _decoder(form: struct.Struct) -> Callable[[bytes], int]:
    unpack = form.unpack

    def decode(data: bytes) -> int:
        number: int = unpack(data)[0]
        return number

    return decode


def _url(settings: DatabaseSettings, url: str | None) -> str:
    chosen = url or settings.database_url
    if chosen is None:
        raise errors.Misconfigured("PLAYLOG_DATABASE_URL is not set")
    return chosen


def _server_settings(settings: DatabaseSettings, name: str) -> dict[str, str]:
    if settings.statement_cache_size == 0:
        return {"application_name": name}  # PgBouncer refuses start-up parameters that it does not know
    return {"application_name": name, "jit": "off"}


async def _patiently(settings: DatabaseSettings, attempt: Callable[[], Awaitable[T]]) -> T:
    retrying = tenacity.AsyncRetrying(
        retry=tenacity.retry_if_exception_type(_STARTING),
        stop=tenacity.stop_after_delay(settings.database_start_timeout),
        wait=tenacity.wait_random_exponential(multiplier=0.1, max=2.0),
        before_sleep=_say_waiting,
        reraise=True,
    )
    try:
        return await retrying(attempt)
    except _REFUSED as error:
        raise errors.Misconfigured(f"the database refuses the connection: {_reason(error)}") from error
    except _ERRORS as error:
        raise classify(error) from error


def _reason(error: Exception) -> str:
    reasons: dict[type[Exception], str] = {
        asyncpg.InvalidPasswordError: "wrong user or password",
        asyncpg.InvalidAuthorizationSpecificationError: "this user may not connect",
        asyncpg.InvalidCatalogNameError: "no such database",
    }
    return reasons.get(type(error), "the URL is wrong")


def _say_waiting(state: tenacity.RetryCallState) -> None:
    failure = state.outcome.exception() if state.outcome is not None else None
    _log.info("database.waiting", attempt=state.attempt_number, reason=type(failure).__name__)
