"""Load settings with all faults in one message, and render them as the reference page."""

from __future__ import annotations

import difflib
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import dotenv
from pydantic import SecretStr, ValidationError

from engine.errors import Misconfigured
from engine.runtime.settings import GROUPS, PREFIX, PROCESSES, SettingsGroup

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pydantic.fields import FieldInfo

S = TypeVar("S", bound=SettingsGroup)

SETTINGS_DIR = "PLAYLOG_SETTINGS_DIR"
OTHER_NAMES = frozenset({SETTINGS_DIR, "PLAYLOG_IDEMPOTENCY_KEY"})
"""Names that are no field: where settings lie, and what a worker tells programs that it runs."""
SECRET_PREFIX = "PLAYLOG_SECRET_"  # noqa: S105  # a name
"""Begins the names that belong to authors of playbooks."""
_SERVICE_LINK = re.compile(r"_SERVICE_(HOST|PORT)(_\w+)?$|_PORT_\d+_(TCP|UDP|SCTP)(_\w+)?$")
"""Kubernetes adds such variables for each service; one named `playlog-...` must not look like a typo."""


def load(kind: type[S], *, env_file: Path | None = Path(".env")) -> S:
    """Read settings: environment, then `.env`, then the files of PLAYLOG_SETTINGS_DIR, then defaults.

    Raises:
        Misconfigured: with one line a fault, naming variables and never repeating values.
    """
    directory = os.environ.get(SETTINGS_DIR) or None
    faults = [] if directory is None or Path(directory).is_dir() else [f"{SETTINGS_DIR}: no such directory"]
    names = {*os.environ, *_names_in(env_file)}
    faults += [_unknown(name) for name in sorted(names) if not _is_known(name)]
    try:
        loaded = kind(_env_file=env_file, _secrets_dir=None if faults else directory)
    except ValidationError as error:
        faults += [_fault(item["loc"], item["msg"]) for item in error.errors(include_input=False)]
        loaded = None
    if faults or loaded is None:
        noun = "setting is" if len(faults) == 1 else "settings are"
        raise Misconfigured(f"{len(faults)} {noun} wrong:\n" + "\n".join(f"  {fault}" for fault in faults))
    return loaded


def secret_variables(env_file: Path | None = Path(".env")) -> dict[str, str]:
    """Return the variables that hold secrets of playbooks: the environment's, then those of `.env`."""
    file = dotenv.dotenv_values(env_file) if env_file is not None and env_file.is_file() else {}
    found = {**file, **os.environ}
    return {name: value for name, value in found.items() if name.startswith(SECRET_PREFIX) and value}


def known_names() -> list[str]:
    """Return the environment name of every setting of every process, sorted."""
    return sorted({_env(field) for group in GROUPS for field in group.model_fields} | OTHER_NAMES)


def reference() -> str:
    """Render docs/reference/settings.md."""
    lines = [
        "# Settings",
        "",
        "<!-- Written by `python -m engine.runtime.settings_loading`; a test compares. -->",
        "",
        "Environment variables win over `.env` in the working directory, then over files named like the",
        f"variable in the directory `{SETTINGS_DIR}`, then over the defaults below. An empty variable counts",
        "as unset. An unknown `PLAYLOG_*` name stops the process, with the nearest known name. Names that",
        f"begin with `{SECRET_PREFIX}` are free: they hold [secrets of playbooks](../howto/secrets.md).",
    ]
    for group in GROUPS:
        users = ", ".join(_role(process) for process in PROCESSES if issubclass(process, group))
        lines += ["", f"## {(group.__doc__ or '').rstrip('.')}", ""]
        lines += [f"Read by: {users}.", ""] if users else []
        lines += ["| name | type | default | meaning |", "|---|---|---|---|"]
        lines += [_row(name, field) for name, field in group.model_fields.items()]
    ports = ", ".join(f"{_role(p)} {p.model_fields['health_port'].default}" for p in PROCESSES)
    lines += ["", f"Defaults of `PLAYLOG_HEALTH_PORT` by process: {ports}.", ""]
    return "\n".join(lines)


def _env(field: str) -> str:
    return PREFIX + field.upper()


def _role(process: type[SettingsGroup]) -> str:
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "-", process.__name__.removesuffix("Process")).lower()


def _row(name: str, field: FieldInfo) -> str:
    default = "" if field.default is None or field.default == () else f"`{field.default}`"
    return f"| `{_env(name)}` | {_type(field)} | {default} | {field.description} |"


def _type(field: FieldInfo) -> str:
    text = str(field.annotation)
    if "Literal" in text:
        return " \\| ".join(re.findall(r"'(\w+)'", text))
    if SecretStr.__name__ in text:
        return "secret"
    kinds = {"bool": "boolean", "tuple": "list", "Path": "path", "float": "number", "int": "integer"}
    return next((word for kind, word in kinds.items() if kind in text), "text")


def _names_in(env_file: Path | None) -> Iterable[str]:
    return dotenv.dotenv_values(env_file) if env_file is not None and env_file.is_file() else ()


def _is_known(name: str) -> bool:
    if not name.upper().startswith(PREFIX) or name.upper().startswith(SECRET_PREFIX):
        return True
    return name.upper() in known_names() or _SERVICE_LINK.search(name) is not None


def _unknown(name: str) -> str:
    near = difflib.get_close_matches(name.upper(), known_names(), n=1)
    return f"{name}: no such setting" + (f"; did you mean {near[0]}?" if near else "")


def _fault(location: tuple[int | str, ...], message: str) -> str:
    name = _env(str(location[0])) if location else "settings"
    message = message.removeprefix("Value error, ")
    return f"{name}: {message[:1].lower()}{message[1:]}"


if __name__ == "__main__":
    print(reference(), end="")  # noqa: T201 - the page is this program's output
