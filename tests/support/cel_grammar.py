"""Random expressions from a grammar of typed parts, for comparing two implementations of the language."""

from __future__ import annotations

import random
import re
from collections.abc import Mapping, Sequence

DATA: dict[str, object] = {
    "n": None,
    "t": True,
    "i": 7,
    "d": 2.5,
    "whole": 7.0,
    "s": "héllo, wörld",
    "l": [3, 1, 2],
    "mixed": [1, "a", None, 2.0, True, [1], {"a": 1}],
    "texts": ["a", "b", "héllo"],
    "m": {"a": {"list": [10, {"x": None}]}},
    "empty": {},
}

LEAVES: Mapping[str, Sequence[str]] = {
    "int": ["i", "0", "1", "2", "-3", "100", "9223372036854775807", "-9223372036854775808", "l[1]"],
    "double": ["d", "whole", "0.0", "-2.5", "1e300", "0.1"],
    "text": [
        "s",
        "''",
        "'a'",
        r"'h\u00e9llo'",
        "', '",
        "'banana'",
        "'an'",
        "'12'",
        "'-5'",
        "'1.5'",
        "'true'",
        r"r'\n'",
        "texts[1]",
    ],
    "bool": ["t", "true", "false", "has(m.a)", "has(m.nope)"],
    "list": ["l", "mixed", "texts", "[]", "m.a.list"],
    "map": ["m", "empty", "m.a", "m.a.list[1]"],
    "any": ["n", "null", "m.nope", "mixed[5]", "mixed[3]", "mixed[4]"],
    "timestamp": [
        "timestamp(0)",
        "timestamp('2026-03-29T01:00:00Z')",
        "timestamp('2026-01-02T03:04:05.678901234Z')",
        "timestamp('2024-02-29T23:30:00+05:30')",
        "timestamp('9999-12-31T23:59:59Z')",
        "timestamp('0001-01-01T00:00:00Z')",
        "timestamp('1969-12-31T23:59:59.999Z')",
    ],
    "duration": [
        "duration('0')",
        "duration('1h30m')",
        "duration('-1.5s')",
        "duration('123.456789012s')",
        "duration('24h')",
        "duration('100ms5us7ns')",
        "duration('2500000h')",
    ],
    "optional": ["optional.none()", "optional.of(1)", "m.?a", "m.?nope", "l[?1]", "l[?9]"],
    "type": ["int", "string", "bool", "double", "list", "map", "null_type", "type"],
}

# `{kind}` stands for an expression of that kind, `{kind:e}` for one that may use the variable e.
RULES: Mapping[str, Sequence[str]] = {
    "int": [
        *(f"{{int}} {sign} {{int}}" for sign in "+-*/%"),
        "{int} + {any}",
        "-{int}",
        "size({text})",
        "size({list})",
        "{map}.size()",
        "int({int})",
        "int({double})",
        "int({text})",
        "int({timestamp})",
        "{text}.indexOf({text})",
        "{text}.indexOf({text}, {int})",
        "{text}.lastIndexOf({text})",
        "{text}.lastIndexOf({text}, {int})",
        "{bool} ? {int} : {int}",
        *(f"{{timestamp}}.get{part}()" for part in ("FullYear", "Month", "Date", "DayOfMonth", "DayOfWeek")),
        *(
            f"{{timestamp}}.get{part}()"
            for part in ("DayOfYear", "Hours", "Minutes", "Seconds", "Milliseconds")
        ),
        "timestamp(1790000000).getHours('Europe/Berlin')",
        "timestamp(1790000000).getMinutes('+05:30')",
        *(f"{{duration}}.get{part}()" for part in ("Hours", "Minutes", "Seconds", "Milliseconds")),
    ],
    "double": [
        *(f"{{double}} {sign} {{double}}" for sign in "+-*/"),
        "double({int})",
        "double({text})",
        "-{double}",
    ],
    "text": [
        "{text} + {text}",
        "string({text})",
        "string({int})",
        "string({bool})",
        "string({timestamp})",
        "string({duration})",
        *(f"{{text}}.{change}()" for change in ("trim", "lowerAscii", "upperAscii")),
        "{text}.replace({text}, {text})",
        "{text}.replace({text}, {text}, {int})",
        "{text}.substring({int})",
        "{text}.charAt({int})",
        "{list}.join({text})",
        "{text}.split({text}).join('|')",
    ],
    "bool": [
        *(f"({{int}} % 1000) {sign} {{double}}" for sign in ("<", "<=", ">", ">=")),
        *(f"{{text}} {sign} {{text}}" for sign in ("<", "<=", ">", ">=")),
        *(f"{{timestamp}} {sign} {{timestamp}}" for sign in ("<", ">=", "==")),
        *(f"{{duration}} {sign} {{duration}}" for sign in ("<=", ">", "!=")),
        "{any} == {any}",
        "{any} != {any}",
        "{list} == {list}",
        "{map} == {map}",
        "{any} in {list}",
        "{text} in {map}",
        "{bool} && {bool}",
        "{bool} || {bool}",
        "{bool} && {any}",
        "!{bool}",
        "has({map}.a)",
        "has({map}.nope)",
        "{text}.contains({text})",
        "{text}.startsWith({text})",
        "{text}.endsWith({text})",
        "{list}.exists(e, {bool:e})",
        "{list}.all(e, {bool:e})",
        "{list}.exists_one(e, {bool:e})",
        "{list}.exists(e, e == {any:e})",
        "{list}.all(e, e != {any:e})",
        "{optional}.hasValue()",
        "{optional} == {optional}",
        "optional.ofNonZeroValue({any}).hasValue()",
        "type({any}) == {type}",
        "bool({text})",
    ],
    "list": [
        "{list} + {list}",
        "[{any}, {any}]",
        "[?{optional}, {any}]",
        "{text}.split({text})",
        "{text}.split({text}, {int})",
        "{list}.filter(e, {bool:e})",
        "{list}.map(e, {any:e})",
        "{list}.map(e, {bool:e}, {any:e})",
        "{list}.map(e, {list}.filter(f, f != e))",
    ],
    "map": ["{'a': {any}}", "{?'a': {optional}}"],
    "any": [
        "{map}.a",
        "{map}['x']",
        "{list}[{int}]",
        "{optional}.orValue({any})",
        "{optional}.value()",
        "{bool} ? {any} : {any}",
        *("{int}", "{double}", "{text}", "{bool}", "{list}", "{map}"),
    ],
    "timestamp": [
        "{timestamp} + {duration}",
        "{timestamp} - {duration}",
        "timestamp({int})",
        "timestamp({text})",
    ],
    "duration": ["{duration} + {duration}", "{duration} - {duration}", "{timestamp} - {timestamp}"],
    "optional": [
        "optional.of({any})",
        "optional.ofNonZeroValue({any})",
        "{map}.?a",
        "{map}[?'list']",
        "{list}[?{int}]",
        "{optional}.or({optional})",
        "{optional}.optMap(e, {any:e})",
        "{optional}.optFlatMap(e, {optional:e})",
        "{optional}.?a",
    ],
    "type": ["type({any})"],
}
_JSON = ("int", "double", "text", "bool", "list", "map", "any")
_TOPS = [rule for kind in _JSON for rule in RULES[kind]]
# What the reference cannot do is left out. It refuses 'ab'.substring(1, 2), which ends where the string does;
# it cannot hand an optional over, so none is put where it could become a part of a result; it rounds large
# ints to compare them with doubles, so they stay small there; and unchecked it takes int(true) and any body
# of optFlatMap(), but no whole double as an optional index, so these are given what they are meant for.
_WRONG = [kind for kind in RULES if kind != "optional"]
_EXACT = ("int(", "{list}[?", "{optional}.optFlatMap(")
_PART = re.compile(r"\{(\w+)(?::(\w))?\}")


class Grammar:
    """Makes expressions; `dynamic` hides every type in `dyn()` and puts a part of a wrong kind at times."""

    def __init__(self, chance: random.Random, *, dynamic: bool) -> None:
        self._chance = chance
        self._dynamic = dynamic

    def expression(self) -> str:
        """One expression whose result is JSON; each rule is as likely to be the outermost."""
        return self._filled(self._chance.choice(_TOPS), self._chance.choice((0, 1, 1, 2)), ())

    def _made(self, kind: str, depth: int, variables: tuple[str, ...]) -> str:
        if depth == 0 or self._chance.random() < 0.15:
            return self._wrapped(self._chance.choice([*LEAVES[kind], *(variables if kind == "any" else ())]))
        return self._filled(self._chance.choice(RULES[kind]), depth - 1, variables)

    def _filled(self, rule: str, depth: int, variables: tuple[str, ...]) -> str:
        def part(found: re.Match[str]) -> str:
            wanted, variable = found.groups()
            if self._dynamic and not rule.startswith(_EXACT) and self._chance.random() < 0.06:
                wanted = self._chance.choice(_WRONG)
            return self._made(wanted, depth, variables if variable is None else (*variables, variable))

        return self._wrapped(_PART.sub(part, rule))

    def _wrapped(self, source: str) -> str:
        return f"dyn({source})" if self._dynamic else f"({source})"
