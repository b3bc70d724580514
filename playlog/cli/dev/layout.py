"""Which processes there are, on which ports, and what each is told by its environment."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pydantic import field_validator

from engine.runtime.settings import (
    MEMORY,
    BrokerSettings,
    DatabaseSettings,
    HttpSettings,
    InternalApiProcess,
    InternalApiSettings,
    ProjectorProcess,
    PublicApiProcess,
    PublicApiSettings,
    PublisherProcess,
    SchedulerProcess,
    StandaloneProcess,
    WorkerProcess,
    WorkerSettings,
)
from engine.runtime.settings_loading import SECRET_PREFIX
from playlog.cli.dev.ports import HOST, Ports
from playlog.cli.dev.processes import Plan, health_url, inherited, plain_environment

PACKAGES = {
    "internal-api": "internal_api",
    "public-api": "public_api",
    "publisher": "publisher",
    "projector": "projector",
    "scheduler": "scheduler",
    "worker": "worker",
}
"""Every role and the package that plays it."""
STANDALONE = "standalone"
"""The package, and the process, that plays all roles when there is no NATS."""

HEALTH_PORTS: dict[str, int] = {
    "internal-api": InternalApiProcess.model_fields["health_port"].default,
    "public-api": PublicApiProcess.model_fields["health_port"].default,
    "publisher": PublisherProcess.model_fields["health_port"].default,
    "projector": ProjectorProcess.model_fields["health_port"].default,
    "scheduler": SchedulerProcess.model_fields["health_port"].default,
    "worker": WorkerProcess.model_fields["health_port"].default,
    STANDALONE: StandaloneProcess.model_fields["health_port"].default,
}
TOKEN_USERS = frozenset({"internal-api", "worker", STANDALONE})
GRACE_SECONDS = "6"


class DevSettings(
    DatabaseSettings, BrokerSettings, HttpSettings, InternalApiSettings, PublicApiSettings, WorkerSettings
):
    """What `playlog dev` takes from the environment and `.env`; only here may NATS be left out."""

    @field_validator("nats_url")
    @classmethod
    def _is_nats(cls, urls: str | None) -> str | None:
        return urls if urls == MEMORY else super()._is_nats(urls)


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What the engine is to be: ports None are chosen; `isolated` from the settings of its surroundings."""

    home: Path
    tasks_path: Path
    public_port: int | None = None
    internal_port: int | None = None
    http_allow: tuple[str, ...] = ()
    first_ports: tuple[int, int] = (8080, 8081)
    first_health_port: int | None = None
    isolated: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """The ports and the token of one engine, and what it was given from outside."""

    public_port: int
    internal_port: int
    health_ports: Mapping[str, int]
    token: str
    given: Mapping[str, str]
    directory: Path | None = None

    @property
    def public_url(self) -> str:
        """Where the public API answers."""
        return f"http://{HOST}:{self.public_port}"

    @property
    def internal_url(self) -> str:
        """Where the internal API answers."""
        return f"http://{HOST}:{self.internal_port}"

    def plans(self, database_url: str, nats_url: str) -> list[Plan]:
        """What to run, in no particular order: each waits for what it needs."""
        servers = {"PLAYLOG_DATABASE_URL": database_url, "PLAYLOG_NATS_URL": nats_url}
        return [
            Plan(
                name=role,
                package=PACKAGES.get(role, role),
                environment=self._environment(role, servers),
                ready_url=health_url(port),
                directory=self.directory,
            )
            for role, port in self.health_ports.items()
        ]

    def _environment(self, role: str, servers: Mapping[str, str]) -> dict[str, str]:
        """Nobody is told an address or a secret that it does not need; one process for all needs all."""
        works = role in {"worker", STANDALONE}
        own = {
            **(self.given if works else _without_secrets(self.given)),
            "PLAYLOG_LOG_FORMAT": "json",
            "PLAYLOG_HEALTH_HOST": HOST,
            "PLAYLOG_HEALTH_PORT": str(self.health_ports[role]),
            "PLAYLOG_INTERNAL_API_TOKEN_FILE": "",
            "PLAYLOG_INTERNAL_API_TOKEN": self.token if role in TOKEN_USERS else "",
            **dict.fromkeys(servers, ""),
        }
        if works:
            own["PLAYLOG_INTERNAL_API_URL"] = self.internal_url
        if role == "worker":
            return own
        ports = {
            "PLAYLOG_INTERNAL_API_PORT": str(self.internal_port),
            "PLAYLOG_PUBLIC_API_PORT": str(self.public_port),
        }
        return {**own, **servers, **ports}


def _without_secrets(given: Mapping[str, str]) -> dict[str, str]:
    """What secrets of playbooks are not among; only workers resolve them."""
    return {name: value for name, value in given.items() if not name.startswith(SECRET_PREFIX)}


def lay_out(wanted: Wanted, settings: DevSettings, ports: Ports) -> Layout:
    """Choose the ports and put together what the processes are told.

    A port that was asked for, by option or setting, is taken as it is or refused (`Misconfigured`).
    """
    public_port = ports.choose(
        _first(wanted.public_port, _set(settings, "public_api_port")), wanted.first_ports[0], "public API"
    )
    internal_port = ports.choose(
        _first(wanted.internal_port, _set(settings, "internal_api_port")),
        wanted.first_ports[1],
        "internal API",
    )
    roles = [STANDALONE] if settings.nats_url == MEMORY else PACKAGES
    health = {role: ports.near(wanted.first_health_port or HEALTH_PORTS[role]) for role in roles}
    return Layout(
        public_port=public_port,
        internal_port=internal_port,
        health_ports=health,
        token=_token(settings),
        given=_given(wanted, settings),
        directory=wanted.home.absolute() if wanted.isolated else None,
    )


def _given(wanted: Wanted, settings: DevSettings) -> dict[str, str]:
    given = plain_environment() if wanted.isolated else inherited()
    given.setdefault("PLAYLOG_GRACE_SECONDS", GRACE_SECONDS)
    allowed = (*settings.http_allow, *wanted.http_allow)
    paths = settings.tasks_path or (wanted.tasks_path,)
    given["PLAYLOG_HTTP_ALLOW"] = ",".join(allowed)
    given["PLAYLOG_TASKS_PATH"] = ",".join(str(path) for path in paths)
    return given


def _token(settings: DevSettings) -> str:
    """The first of the tokens that are set, or a new one for this run."""
    known = settings.internal_api_token.get_secret_value() if settings.internal_api_token else ""
    return known.partition(",")[0].strip() or secrets.token_urlsafe(32)


def _set(settings: DevSettings, name: str) -> int | None:
    """A port that somebody has set, as opposed to its default."""
    port: int = getattr(settings, name)
    return port if name in settings.model_fields_set else None


def _first(*ports: int | None) -> int | None:
    return next((port for port in ports if port is not None), None)
