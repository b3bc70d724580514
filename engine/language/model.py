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
MAX_LABELS = 50
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
Cel = Annotated[
    str,
    Field(min_length=1, json_schema_extra={"format": "cel", "examples": ["inputs.limit > 10"]}),
]


class Shape(BaseModel):
    """A mapping of the language: strict, and unknown keys are faults."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, use_attribute_docstrings=True)


class Input(Shape):
    """One input: its type, and a default unless it is required."""

    type: Literal["string", "integer", "number", "boolean", "array", "object", "any"]
    """What a value must be."""
    format: Literal["date", "date-time"] | None = None
    """For the type string: `2026-01-31`, or `2026-01-31T09:30:00Z`."""
    default: JsonValue = None
    """What it is when none is given; without a default a value is required. `null` allows null."""
    description: Text | None = None
    """What it is for."""
    enum: Annotated[list[JsonValue], Field(min_length=1, max_length=1000)] | None = None
    """The only values allowed."""
    items: Input | None = None
    """For the type array: what each element must be."""
    properties: dict[str, Input] | None = None
    """For the type object: its keys; those without a default are required, others are refused."""

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
    """Tries in all, the first included."""
    delay: Duration = "1s"
    """The rest before the second try."""
    backoff: Annotated[float, Field(ge=1, le=100)] = 2.0
    """By how much each rest is longer than the one before."""
    max_delay: Duration = "60s"
    """No rest is longer."""
    jitter: Annotated[float, Field(ge=0, le=1)] = 0.0
    """The share of a rest that is left to chance, so that many do not come back at once."""
    on: Cel | None = None
    """Try again only if this holds, over `error`; without it, after what another try can mend."""
    on_lost: Literal["retry", "fail"] = "retry"
    """What a worker that vanished in the middle leads to."""


class Wait(Shape):
    """What a step without a tool waits for: exactly one of `event`, `until`, `for`."""

    event: Annotated[str, Field(pattern=EVENT, examples=["approved"])] | None = None
    """The name of a signal; the output is what it carries. Needs a `timeout`."""
    until: Cel | None = None
    """An expression for a moment, as `2026-01-31T09:30:00Z`."""
    for_: Duration | None = Field(default=None, alias="for")
    """A length of time."""
    timeout: Duration | None = None
    """How long to wait at most."""
    on_timeout: str = "fail"
    """Where the time-out leads: a step, `skip` to go on without output, or `fail`."""


class Map(Shape):
    """A step that is done once for each item of a list."""

    items: JsonValue
    """A list, or an expression that gives one: 10,000 items at most."""
    as_: Name = Field(default="item", alias="as")
    """The name that expressions have for the item."""
    key: Cel | None = None
    """An expression that names each item; two alike fail the step."""
    max_in_flight: Annotated[int, Field(ge=1, le=1000)] = 100
    """How many items are worked on at a time."""
    on_item_error: Literal["fail", "continue"] = "fail"
    """`fail`: the first item given up fails the step; `continue`: it leaves null in the output."""


class Repeat(Shape):
    """A step that is done again and again, until a guard holds or `max` times."""

    max: Annotated[int, Field(ge=1, le=100_000)]
    """Rounds at most; without `until` it is done so many times."""
    until: Cel | None = None
    """Ends it when this holds, over `output` and `iteration`; if it never does, the step fails."""
    delay: Duration = "0s"
    """The rest between two rounds."""


class OnError(Shape):
    """One answer to a step's failure; the first whose guard holds is taken."""

    when: Cel | None = None
    """Which failures this answers, over `error`; without it, all."""
    then: str
    """`skip`: go on as if skipped; `continue`: go on as failed; `fail`; or a step to go to."""


class Compensate(Shape):
    """The tool call that undoes a completed step, when the execution fails later on."""

    tool: Annotated[str, Field(pattern=TOOL)]
    """What a worker does to undo the step."""
    with_: dict[str, JsonValue] | None = Field(default=None, alias="with")
    """The tool's input, with the outputs of that time."""
    retry: Retry | None = None
    """Without it there are 5 tries."""
    timeout: Duration | None = None
    """How long one attempt may take; 1h by default."""
    pool: Pool | None = None
    """Which workers do it."""
    priority: Priority | None = None
    """Higher ones are done earlier."""


class Concurrency(Shape):
    """How many commands with the same key may be open at a time, and what becomes of one more."""

    key: Cel
    """What must not be done too often at a time: text, a number or a bool."""
    limit: Annotated[int, Field(ge=1, le=10_000)]
    """So many at a time."""
    strategy: Literal["queue", "cancel_newest", "cancel_running"] = "queue"
    """Wait in line, be refused, or take the place of the one that has been open longest."""
    scope: Literal["playbook", "global"] = "playbook"
    """Whether other playbooks' keys are other keys, or the same ones."""


class Branch(Shape):
    """One entry of `next`: `when` and `step`, or only `default`."""

    when: Cel | None = None
    """Taken when this holds, and none before it did."""
    step: str | None = None
    """Where it leads: a step, or `end`."""
    default: str | None = None
    """Where it leads when no branch was taken: a step, or `end`."""


Next = Annotated[
    Annotated[str, Tag("step")]
    | Annotated[list[Branch], Tag("branches"), Field(min_length=1, max_length=100)],
    Discriminator(lambda value: "step" if isinstance(value, str) else "branches"),
]


class Step(Shape):
    """One step: a tool call or a wait, and how it is connected."""

    name: Name
    """Unique in the playbook."""
    description: Text | None = None
    """What it does, for people."""
    tool: Annotated[str, Field(pattern=TOOL)] | None = None
    """What a worker does: a built-in tool, or one that a pool registers."""
    with_: dict[str, JsonValue] | None = Field(default=None, alias="with")
    """The tool's input; a value that is wholly `${ ... }` is an expression."""
    needs: list[str] | None = None
    """All steps that it runs after, instead of the one above; `[]` starts it at once."""
    join: Literal["all", "any"] = "all"
    """Run when all edges into it are settled and one is live, or at the first live one."""
    next: Next | None = None
    """Where it leads instead of the step below: a step, `end`, or branches (the first match is taken)."""
    when: Cel | None = None
    """A guard: if it does not hold, the step is skipped and the flow goes on behind it."""
    retry: Retry | None = None
    """How often and when a failed attempt is made again; without it, never."""
    timeout: Duration | None = None
    """How long one attempt may take from its claim; 1h by default."""
    deadline: Duration | None = None
    """How long the step may take over all attempts, queueing and rests."""
    wait: Wait | None = None
    """Instead of a tool: wait for a signal, a moment or a length of time."""
    map: Map | None = None
    """Do the tool once for each item of a list; the output is the list of outputs."""
    repeat: Repeat | None = None
    """Do the tool again and again; the output is the last one."""
    on_error: Annotated[list[OnError], Field(min_length=1, max_length=100)] | None = None
    """What a final failure leads to: the first answer that matches; without one the execution fails."""
    compensate: Compensate | None = None
    """The tool call that undoes the completed step when the execution fails later on."""
    pool: Pool | None = None
    """Which workers do it."""
    priority: Priority | None = None
    """Higher ones are done earlier."""
    concurrency: Concurrency | None = None
    """How many commands with the same key may be open at a time."""
    idempotency_key: Cel | None = None
    """What names the work to whoever does it, the same for every attempt; by default its place here."""


class Playbook(Shape):
    """A whole playbook."""

    playbook: Annotated[
        str, Field(max_length=200, pattern=f"^{SEGMENT}(/{SEGMENT})*$", examples=["shop/orders"])
    ]
    """Its path: words joined by slashes; `versions` and `graph` are no words of a path."""
    description: Text | None = None
    """What it does, for people."""
    owner: Label | None = None
    """Who answers for it."""
    tags: Annotated[list[Label], Field(max_length=MAX_LABELS)] | None = None
    """Words to find it by."""
    labels: Annotated[dict[Label, Label], Field(max_length=MAX_LABELS)] | None = None
    """Names and values to find it by."""
    inputs: dict[str, Input] | None = None
    """What may be given when it is started, by name."""
    steps: Annotated[list[Step], Field(min_length=1, max_length=MAX_STEPS)]
    """What is done: a step runs after the one above it, unless one of them says otherwise."""
    output: JsonValue = None
    """The execution's output, with expressions over the steps."""
    deadline: Duration | None = None
    """How long an execution may take; 30d by default."""
    pool: Pool | None = None
    """The pool of steps that name none; `default` by default."""
    priority: Priority | None = None
    """The priority of steps that name none; 0 by default."""
