"""The shape of the language: every key a playbook may have, and nothing else.

Values keep their stored spelling (durations as text such as `90s`); `engine.language.check` says what the
shape alone cannot, `engine.language.compiler` turns a model into a definition.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    JsonValue,
    SerializerFunctionWrapHandler,
    Tag,
    model_serializer,
)

from engine.language import durations

MAX_STEPS = 1000
NAME = r"^[a-z][a-z0-9_]{0,63}$"
TOOL = r"^[a-z][a-z0-9_.-]{0,63}$"
POOL = r"^[a-z][a-z0-9_-]{0,63}$"
EVENT = r"^[A-Za-z0-9][A-Za-z0-9_.:/-]{0,127}$"
INPUT = r"^[A-Za-z_][A-Za-z0-9_]{0,63}$"
SEGMENT = r"[a-z0-9][a-z0-9_-]*"

Duration = Annotated[
    str,
    AfterValidator(durations.normalize),
    Field(json_schema_extra={"pattern": durations.PATTERN, "minLength": 2, "examples": ["30s", "1h30m"]}),
]
Text = Annotated[str, Field(max_length=10_000)]
Name = Annotated[str, Field(pattern=NAME)]
Pool = Annotated[str, Field(pattern=POOL)]
Priority = Annotated[int, Field(ge=-100, le=100)]
Label = Annotated[str, Field(min_length=1, max_length=200)]
Cel = Annotated[str, Field(min_length=1, description="A CEL expression, without ${ }.")]


class Shape(BaseModel):
    """A mapping of the language: strict, and unknown keys are faults."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)


class Input(Shape):
    """One input: its type, and a default unless it is required."""

    type: Literal["string", "integer", "number", "boolean", "array", "object", "any"]
    format: Literal["date", "date-time"] | None = None
    default: JsonValue = None
    description: Text | None = None
    enum: Annotated[list[JsonValue], Field(min_length=1, max_length=1000)] | None = None
    items: Input | None = None
    properties: dict[str, Input] | None = None

    @property
    def required(self) -> bool:
        """Whether a value must be given: there is no default."""
        return "default" not in self.model_fields_set

    @model_serializer(mode="wrap")
    def _keep_null_default(self, handler: SerializerFunctionWrapHandler) -> dict[str, JsonValue]:
        written: dict[str, JsonValue] = handler(self)
        return written if self.required else {**written, "default": self.default}


class Retry(Shape):
    """How often an attempt is made and how long to rest between two."""

    max_attempts: Annotated[int, Field(ge=1, le=1000)] = 1
    delay: Duration = "1s"
    backoff: Annotated[float, Field(ge=1, le=100)] = 2.0
    max_delay: Duration = "60s"
    jitter: Annotated[float, Field(ge=0, le=1)] = 0.0
    on: Cel | None = None
    on_lost: Literal["retry", "fail"] = "retry"


class Wait(Shape):
    """What a step without a tool waits for: exactly one of `event`, `until`, `for`."""

    event: Annotated[str, Field(pattern=EVENT)] | None = None
    until: Cel | None = None
    for_: Duration | None = Field(default=None, alias="for")
    timeout: Duration | None = None
    on_timeout: str = Field(default="fail", description="A step, `skip`, or `fail`.")


class Map(Shape):
    """A step that is done once for each item of a list."""

    items: JsonValue
    as_: Name = Field(default="item", alias="as")
    key: Cel | None = None
    max_in_flight: Annotated[int, Field(ge=1, le=1000)] = 100
    on_item_error: Literal["fail", "continue"] = "fail"


class Repeat(Shape):
    """A step that is done again and again, until a guard holds or `max` times."""

    max: Annotated[int, Field(ge=1, le=100_000)]
    until: Cel | None = None
    delay: Duration = "0s"


class OnError(Shape):
    """One answer to a step's failure; the first whose guard holds is taken."""

    when: Cel | None = None
    then: str = Field(description="`skip`, `continue`, `fail`, or a step.")


class Compensate(Shape):
    """The tool call that undoes a completed step, when the execution fails later on."""

    tool: Annotated[str, Field(pattern=TOOL)]
    with_: dict[str, JsonValue] | None = Field(default=None, alias="with")
    retry: Retry | None = None
    timeout: Duration | None = None
    pool: Pool | None = None
    priority: Priority | None = None


class Branch(Shape):
    """One entry of `next`: `when` and `step`, or only `default`."""

    when: Cel | None = None
    step: str | None = None
    default: str | None = None


Next = Annotated[
    Annotated[str, Tag("step")]
    | Annotated[list[Branch], Tag("branches"), Field(min_length=1, max_length=100)],
    Discriminator(lambda value: "step" if isinstance(value, str) else "branches"),
]


class Step(Shape):
    """One step: a tool call or a wait, and how it is connected."""

    name: Name
    description: Text | None = None
    tool: Annotated[str, Field(pattern=TOOL)] | None = None
    with_: dict[str, JsonValue] | None = Field(default=None, alias="with")
    needs: list[str] | None = None
    join: Literal["all", "any"] = "all"
    next: Next | None = None
    when: Cel | None = None
    retry: Retry | None = None
    timeout: Duration | None = None
    deadline: Duration | None = None
    wait: Wait | None = None
    map: Map | None = None
    repeat: Repeat | None = None
    on_error: Annotated[list[OnError], Field(min_length=1, max_length=100)] | None = None
    compensate: Compensate | None = None
    pool: Pool | None = None
    priority: Priority | None = None


class Playbook(Shape):
    """A whole playbook."""

    playbook: Annotated[str, Field(max_length=200, pattern=f"^{SEGMENT}(/{SEGMENT})*$")]
    description: Text | None = None
    owner: Label | None = None
    tags: list[Label] | None = None
    labels: dict[str, Label] | None = None
    inputs: dict[str, Input] | None = None
    steps: Annotated[list[Step], Field(min_length=1, max_length=MAX_STEPS)]
    output: JsonValue = None
    deadline: Duration | None = None
    pool: Pool | None = None
    priority: Priority | None = None
