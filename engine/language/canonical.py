"""The one spelling of a playbook: what it means decides its bytes, how it was written does not.

Keys are sorted, durations have one spelling, and a key that only repeats its default is absent, so that a
key added to the language later changes no hash. The canonical form is itself a valid source.
"""

from __future__ import annotations

import hashlib

import orjson

from engine.language.model import Playbook


def canonical(playbook: Playbook) -> bytes:
    """Return the canonical JSON of a playbook."""
    written = playbook.model_dump(mode="json", by_alias=True, exclude_defaults=True)
    return orjson.dumps(written, option=orjson.OPT_SORT_KEYS)


def definition_hash(canonical: bytes) -> bytes:
    """Return the identity of a definition: the SHA-256 of its canonical JSON, 32 bytes."""
    return hashlib.sha256(canonical).digest()
