"""Secrets by name: a file of a directory or a variable of the worker, read when an attempt asks for it."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

from worker.masking import NO_MASK, Mask
from worker.secret_forms import LEAST_LENGTH
from worker.tools.contract import ToolFailed

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

MOST_BYTES = 64 * 1024
VARIABLE = "PLAYLOG_SECRET_"
DIRECTORY = "PLAYLOG_SECRETS_DIR"


class Secrets:
    """Where this worker finds secrets: `directory` wins over `variables`, which are by secret's name."""

    def __init__(self, directory: Path | None = None, variables: Mapping[str, str] | None = None) -> None:
        self._directory = directory
        self._variables = variables or {}

    def for_attempt(self) -> Resolved:
        """What one attempt resolves; a changed file is seen by the next one."""
        return Resolved(self)

    def read(self, name: str) -> str:
        """Return a secret without the line break at its end, `name` being one that the language takes.

        Raises `ToolFailed`: `secret_missing`, or `secret_unusable` for what cannot be masked or read.
        """
        data = self._in_file(name)
        if data is None and name in self._variables:
            data = os.fsencode(self._variables[name])
        if data is None:
            raise ToolFailed("secret_missing", f"there is no secret {name}: {self._looked_at(name)}")
        try:
            value = data.decode().removesuffix("\n").removesuffix("\r")
        except UnicodeDecodeError:
            raise _unusable(name, "it is no UTF-8 text") from None
        if len(value) < LEAST_LENGTH:
            raise _unusable(name, f"it has less than {LEAST_LENGTH} characters, too few to be masked")
        return value

    def _in_file(self, name: str) -> bytes | None:
        if self._directory is None:
            return None
        try:
            # Not to wait for ever on what is no file.
            descriptor = os.open(self._directory / name, os.O_RDONLY | os.O_NONBLOCK)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise _unusable(name, f"its file cannot be read: {error.strerror}") from None
        try:
            data = os.read(descriptor, MOST_BYTES + 1) if _is_file(descriptor) else None
        finally:
            os.close(descriptor)
        if data is None:
            raise _unusable(name, f"{name} in {DIRECTORY} is no file")
        if len(data) > MOST_BYTES:
            raise _unusable(name, f"its file has more than {MOST_BYTES} bytes")
        return data

    def _looked_at(self, name: str) -> str:
        variable = f"variable {VARIABLE}{name}"
        if self._directory is None:
            return f"{DIRECTORY} is not set on this worker, nor is the {variable}"
        return f"this worker has neither a file {name} in {DIRECTORY} nor the {variable}"


class Resolved:
    """The secrets of one attempt, each read once, and the mask that hides them afterwards."""

    def __init__(self, secrets: Secrets) -> None:
        self._secrets = secrets
        self._values: dict[str, str] = {}

    def __call__(self, name: str) -> str:
        """Return a secret, as `Secrets.read` does."""
        if name not in self._values:
            self._values[name] = self._secrets.read(name)
        return self._values[name]

    def mask(self) -> Mask:
        """Return what hides everything that was resolved until now."""
        return Mask(self._values.values()) if self._values else NO_MASK


def _is_file(descriptor: int) -> bool:
    return stat.S_ISREG(os.fstat(descriptor).st_mode)


def _unusable(name: str, why: str) -> ToolFailed:
    return ToolFailed("secret_unusable", f"the secret {name} cannot be used: {why}")
