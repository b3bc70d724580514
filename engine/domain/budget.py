"""What one event from outside may set off in one append: so many events, and so much fuel of expressions."""

from __future__ import annotations

from dataclasses import dataclass

from engine.domain.expression import ExpressionFailed

MOST_EVENTS = 25_000
"""More than twice what a map of 10,000 items records when every one of them fails as it begins."""

MOST_FUEL = 10_000_000
FUEL_A_DECISION = 2_000_000
FUEL_IN_ONE_GO = 500_000
EVENTS_IN_ONE_GO = 500


@dataclass(slots=True)
class Budget:
    """What deciding has spent since the last event from outside.

    `used` is the fuel of the present decision, which counts once that is made: one that is begun again,
    because values were lacking, has used nothing. What was spent since the last pause goes on counting.
    """

    events: int = 0
    fuel: int = 0
    used: int = 0
    events_unbroken: int = 0
    fuel_unbroken: int = 0

    def renew(self) -> None:
        """Nothing is due any more: the next event from outside has all of it again."""
        self.events = self.fuel = 0

    def begin(self) -> None:
        """A decision begins."""
        self.used = 0

    def count(self, events: int) -> None:
        """A decision is made and has recorded so many events."""
        self.events += events
        self.events_unbroken += events
        self.fuel += self.used
        self.fuel_unbroken += self.used

    def check(self) -> None:
        """Raise `ExpressionFailed` when the present decision has no fuel left for another expression."""
        if self.used >= FUEL_A_DECISION:
            detail = f"what is evaluated together needs more than {FUEL_A_DECISION} units of fuel"
            raise ExpressionFailed("out_of_fuel", detail)

    @property
    def is_half_used(self) -> bool:
        """Whether the present decision had better leave the rest to the next one."""
        return self.used >= FUEL_A_DECISION // 2

    @property
    def is_spent(self) -> bool:
        """Whether the execution must not go on."""
        return self.events > MOST_EVENTS or self.fuel > MOST_FUEL

    def is_pause_due(self) -> bool:
        """Whether others must have their turn now; a pause that is due is taken for made."""
        due = self.events_unbroken >= EVENTS_IN_ONE_GO or self.fuel_unbroken >= FUEL_IN_ONE_GO
        if due:
            self.events_unbroken = self.fuel_unbroken = 0
        return due


class Names(dict[str, object]):
    """The names that the expressions of one evaluation see; `budget` is where they count their fuel."""

    __slots__ = ("budget",)

    def __init__(self, names: dict[str, object], budget: Budget) -> None:
        super().__init__(names)
        self.budget = budget
