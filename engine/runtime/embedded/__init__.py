"""PostgreSQL and nats-server as children of this process, for development and tests."""

from engine.runtime.embedded.binaries import Search
from engine.runtime.embedded.nats_server import EmbeddedNats
from engine.runtime.embedded.postgres_server import EmbeddedPostgres
from engine.runtime.embedded.servers import Servers, embedded

__all__ = ["EmbeddedNats", "EmbeddedPostgres", "Search", "Servers", "embedded"]
