"""Every setting of every process: read from `PLAYLOG_*`, checked as a whole before anything starts."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, SecretStr, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

PREFIX = "PLAYLOG_"
MEMORY = "memory"
"""The NATS URL of an engine without NATS."""

Port = Annotated[int, Field(ge=0, le=65_535)]
Seconds = Annotated[float, Field(gt=0, le=86_400)]


class SettingsGroup(BaseSettings):
    """A group of settings; a process composes groups by inheritance, so that each name exists once."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        env_ignore_empty=True,
        extra="ignore",
        frozen=True,
        hide_input_in_errors=True,
    )

    @model_validator(mode="before")
    @classmethod
    def _without_service_links(cls, values: dict[str, object]) -> dict[str, object]:
        # Kubernetes sets PLAYLOG_INTERNAL_API_PORT=tcp://... for a service named playlog-internal-api.
        return {name: value for name, value in values.items() if not _is_service_link(name, value)}


class ProcessSettings(SettingsGroup):
    """Every process."""

    health_host: str = Field("0.0.0.0", description="Address of /livez, /readyz and /metrics.")  # noqa: S104 - probes come from other hosts
    health_port: Port = Field(9090, description="Port of /livez, /readyz and /metrics; 0 takes a free one.")
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="Least severe log line to write."
    )
    log_format: Literal["auto", "json", "console"] = Field(
        "auto", description="Log lines as JSON or coloured text; auto: text when stderr is a terminal."
    )
    grace_seconds: Seconds = Field(
        20.0, description="Seconds that SIGTERM leaves for finishing work before the rest is cancelled."
    )


class DatabaseSettings(SettingsGroup):
    """PostgreSQL."""

    database_url: str | None = Field(None, repr=False, description="PostgreSQL URL, `postgresql://...`.")
    migration_database_url: str | None = Field(
        None, repr=False, description="Direct PostgreSQL URL for migrations when database_url is a PgBouncer."
    )
    database_pool_size: int = Field(10, ge=1, le=1000, description="Most connections of one process.")
    statement_cache_size: int = Field(
        1024, ge=0, le=100_000, description="Prepared statements kept a connection; 0 behind PgBouncer."
    )
    command_timeout: Seconds = Field(30.0, description="Seconds after which a statement is given up.")
    connect_timeout: Seconds = Field(10.0, description="Seconds one connection attempt may take.")
    database_start_timeout: Seconds = Field(
        60.0, description="Seconds to wait at start-up for a database that is still starting."
    )
    allow_unsafe_durability: bool = Field(
        default=False,
        description="Be ready although fsync, synchronous_commit or full_page_writes of PostgreSQL is off.",
    )

    @field_validator("database_url", "migration_database_url")
    @classmethod
    def _is_postgresql(cls, url: str | None) -> str | None:
        if url is not None and not url.startswith(("postgresql://", "postgres://")):
            raise ValueError("must start with postgresql://")
        return url


class BrokerSettings(SettingsGroup):
    """NATS."""

    nats_url: str | None = Field(
        None,
        repr=False,
        description="NATS URLs, comma-separated, `nats://` or `tls://`; `playlog dev` takes `memory` too.",
    )
    stream: str = Field(
        "PLAYLOG_EVENTS", pattern=r"^[A-Za-z0-9_-]{1,64}$", description="Name of the JetStream stream."
    )
    stream_max_bytes: int = Field(10 * 2**30, ge=2**20, description="Bytes the stream keeps, at least.")
    stream_max_age: float = Field(
        7 * 86_400.0, ge=3600, description="Seconds the stream keeps a message, at least."
    )

    @field_validator("nats_url")
    @classmethod
    def _is_nats(cls, urls: str | None) -> str | None:
        if urls is None:
            return urls
        if urls == MEMORY:
            raise ValueError(
                "memory works only in `playlog dev`, where one process plays every role; name a NATS server"
            )
        if not all(url.strip().startswith(("nats://", "tls://")) for url in urls.split(",")):
            raise ValueError("each URL must start with nats:// or tls://")
        return urls


class HttpSettings(SettingsGroup):
    """HTTP servers."""

    host: str = Field("127.0.0.1", description="Address the API listens on.")
    body_limit: int = Field(
        16 * 2**20, ge=1024, le=2**30, description="Largest request body in bytes; more is answered with 413."
    )
    body_timeout: Seconds = Field(30.0, description="Seconds a client may take to send a body.")
    keepalive_timeout: Seconds = Field(
        75.0, description="Seconds an idle connection is kept, also one that is slow to send its headers."
    )
    max_connections: int = Field(4000, ge=1, description="Open connections; more are answered with 503.")


class InternalApiSettings(SettingsGroup):
    """The internal API."""

    internal_api_port: Port = Field(8081, description="Port of the internal API.")
    internal_api_token: SecretStr | None = Field(
        None, description="Bearer token of the internal API, or several separated by commas."
    )
    internal_api_token_file: Path | None = Field(
        None, description="File with the tokens, read again when it changes."
    )


class PublicApiSettings(SettingsGroup):
    """The public API."""

    public_api_port: Port = Field(8080, description="Port of the public API.")
    public_auth: Literal["none"] = Field(
        "none", description="Who may call: everyone, and therefore only on a loopback address."
    )
    max_streams: int = Field(
        1000, ge=1, le=100_000, description="Event streams open at a time; more are answered with 503."
    )
    stream_buffer_bytes: int = Field(
        4 * 2**20,
        ge=2**20,
        le=2**30,
        description="Bytes kept for one reader of all events; then it is dropped.",
    )
    stream_write_timeout: Seconds = Field(
        10.0, description="Seconds a client may take to make room for more of its stream; then it is dropped."
    )


class PublisherSettings(SettingsGroup):
    """The publisher."""

    publisher_shards: int = Field(
        8, ge=1, le=16, description="Shards of the outbox, of 16, that one publisher takes at a time."
    )


class SchedulerSettings(SettingsGroup):
    """The scheduler."""

    pool_patience: Seconds = Field(
        60.0,
        description="Seconds commands may be due before it is an incident that no worker takes them.",
    )


class WorkerSettings(SettingsGroup):
    """The worker."""

    internal_api_url: str = Field(
        "http://127.0.0.1:8081", pattern=r"^https?://[^/]+", description="URL of the internal API."
    )
    internal_api_token: SecretStr | None = Field(None, description="Bearer token for the internal API.")
    internal_api_token_file: Path | None = Field(
        None, description="File with the token, read again when it changes."
    )
    worker_id: str | None = Field(
        None, pattern=r"^[\x21-\x7e]{1,128}$", description="Name of this worker; made from host and pid."
    )
    pool: str = Field(
        "default", pattern=r"^[a-z0-9][a-z0-9_-]{0,62}$", description="Pool whose commands it claims."
    )
    slots: int = Field(20, ge=1, le=1000, description="Commands run at the same time.")
    prefetch: int | None = Field(
        None, ge=0, le=1000, description="Commands claimed ahead while commands are short; as many as slots."
    )
    tasks_path: Annotated[tuple[Path, ...], NoDecode] = Field(
        (), description="Directories with the modules of the python tool, comma-separated."
    )
    secrets_dir: Path | None = Field(
        None, description="Directory whose files are the secrets that playbooks name, read at each attempt."
    )
    http_allow: Annotated[tuple[str, ...], NoDecode] = Field(
        (), description="Addresses, networks or hosts, `:port` or not, that the http tool may also reach."
    )

    @field_validator("http_allow", "tasks_path", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        return _comma_separated(value)


class ClientSettings(SettingsGroup):
    """The command line and the Python client."""

    api_url: str | None = Field(
        None,
        pattern=r"^https?://[^/]+",
        description="URL of the public API; what `playlog dev` runs here, else `http://127.0.0.1:8080`.",
    )
    api_token: SecretStr | None = Field(None, description="Bearer token for the public API.")


def _is_service_link(name: str, value: object) -> bool:
    return name.endswith("_port") and isinstance(value, str) and value.startswith(("tcp://", "udp://"))


def _comma_separated(value: object) -> object:
    if isinstance(value, str):
        return tuple(part.strip() for part in value.split(",") if part.strip())
    return value


class InternalApiProcess(
    ProcessSettings, DatabaseSettings, BrokerSettings, HttpSettings, InternalApiSettings
):
    """`playlog server internal-api`."""

    health_port: Port = Field(9081, description="Port of /livez, /readyz and /metrics; 0 takes a free one.")


class PublicApiProcess(ProcessSettings, DatabaseSettings, BrokerSettings, HttpSettings, PublicApiSettings):
    """`playlog server public-api`."""

    health_port: Port = Field(9080, description="Port of /livez, /readyz and /metrics; 0 takes a free one.")


class PublisherProcess(ProcessSettings, DatabaseSettings, BrokerSettings, PublisherSettings):
    """`playlog server publisher`."""

    health_port: Port = Field(9082, description="Port of /livez, /readyz and /metrics; 0 takes a free one.")


class ProjectorProcess(ProcessSettings, DatabaseSettings, BrokerSettings):
    """`playlog server projector`."""

    health_port: Port = Field(9083, description="Port of /livez, /readyz and /metrics; 0 takes a free one.")


class SchedulerProcess(ProcessSettings, DatabaseSettings, BrokerSettings, SchedulerSettings):
    """`playlog server scheduler`."""

    health_port: Port = Field(9084, description="Port of /livez, /readyz and /metrics; 0 takes a free one.")


class WorkerProcess(ProcessSettings, WorkerSettings):
    """`playlog server worker`."""

    health_port: Port = Field(9085, description="Port of /livez, /readyz and /metrics; 0 takes a free one.")


class StandaloneProcess(
    InternalApiProcess, PublicApiProcess, PublisherProcess, ProjectorProcess, SchedulerProcess, WorkerProcess
):
    """Every role in one process, without NATS; started by `playlog dev` only."""

    nats_url: str | None = MEMORY
    health_port: Port = Field(9086, description="Port of /livez, /readyz and /metrics; 0 takes a free one.")

    @field_validator("nats_url")
    @classmethod
    def _is_nats(cls, urls: str | None) -> str | None:
        if urls != MEMORY:
            raise ValueError("must be memory, because this process uses no NATS")
        return urls


GROUPS: tuple[type[SettingsGroup], ...] = (
    ProcessSettings,
    DatabaseSettings,
    BrokerSettings,
    HttpSettings,
    InternalApiSettings,
    PublicApiSettings,
    PublisherSettings,
    SchedulerSettings,
    WorkerSettings,
    ClientSettings,
)
PROCESSES: tuple[type[ProcessSettings], ...] = (
    InternalApiProcess,
    PublicApiProcess,
    PublisherProcess,
    ProjectorProcess,
    SchedulerProcess,
    WorkerProcess,
)
