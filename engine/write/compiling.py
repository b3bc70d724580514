"""Compiling stored definitions without keeping the event loop from everybody else."""

from __future__ import annotations

import asyncio

from engine.domain.definition import Definition
from engine.language import compile_definition

BYTES_ON_THE_LOOP = 16 * 1024
"""A definition of so many bytes takes some 0.1 s."""


async def compiled(canonical: bytes) -> Definition:
    """Compile a definition, a large one in a thread: it may take seconds. Raises as `compile_definition`."""
    if len(canonical) <= BYTES_ON_THE_LOOP:
        return compile_definition(canonical)
    return await asyncio.to_thread(compile_definition, canonical)
