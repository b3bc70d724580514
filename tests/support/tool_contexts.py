"""A tool's context in tests, with the lines it logged."""

from __future__ import annotations

from dataclasses import dataclass, field

from worker.tools.contract import ToolContext


@dataclass
class Logged:
    """Lines as (stream, line)."""

    lines: list[tuple[str, str]] = field(default_factory=list)

    def context(self, *, traceparent: str | None = None, idempotency_key: str = "2/s/0/0") -> ToolContext:
        return ToolContext(
            command_id="1",
            execution_id="2",
            step="s",
            attempt=1,
            traceparent=traceparent,
            idempotency_key=idempotency_key,
            log=lambda stream, line: self.lines.append((stream, line)),
        )
