"""What the language says of `secret('NAME')`: its type, the names it takes, and where it is refused."""

from __future__ import annotations

import re

from engine.language.expressions.types import STRING, FunctionType

SECRET = "secret"  # noqa: S105  # the function's name
SECRET_TYPE = FunctionType((STRING,), STRING, named=re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}"))

OUTSIDE_WITH = (
    "secret() is known only in `with`: workers have secrets, and what stands here is decided without one",
    "name it in the `with` of the step that needs it",
)
OF_A_CHILD = (
    "secret() is not known here: the inputs of a child are recorded, and no secret ever is",
    "name it in the `with` of the child's own step",
)
