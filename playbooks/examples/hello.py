"""The code behind `hello.yaml`."""

from __future__ import annotations


def greet(name: str) -> dict[str, str]:
    """Return `{greeting}` for a name."""
    return {"greeting": f"Hello, {name}!"}
