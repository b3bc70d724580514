"""The parser: tokens to a syntax tree by precedence climbing, never deeper than the limits allow."""

from __future__ import annotations

from engine.language.expressions.faults import ExpressionFault, fault_at
from engine.language.expressions.syntax import (
    Binary,
    Call,
    Conditional,
    Has,
    Index,
    ListLiteral,
    Literal,
    Logic,
    Macro,
    MapLiteral,
    Name,
    Node,
    Select,
    Unary,
    children,
    path,
    start,
)
from engine.language.expressions.tokens import RESERVED, Token, tokenize

MAX_SOURCE = 64 * 1024
MAX_NESTING = 32
MAX_HEIGHT = 100
MAX_INT = 2**63 - 1

_POWERS = {
    **dict.fromkeys(("==", "!=", "<", "<=", ">", ">=", "in"), 1),
    **dict.fromkeys(("+", "-"), 2),
    **dict.fromkeys(("*", "/", "%"), 3),
}
_CONSTANTS = {"true": True, "false": False, "null": None}
MACROS = {
    **dict.fromkeys(("exists", "exists_one", "all", "filter", "optMap", "optFlatMap"), (2,)),
    "map": (2, 3),
}
_PACKAGE_OF_TIME = "google.protobuf"
_OF_TIME = {"Timestamp", "Duration"}
_OPTIONALS = {"of", "none", "ofNonZeroValue"}


def parse(source: str) -> Node:
    """Parse a source of at most 64 KiB; raise `ExpressionFault` at the first thing that does not fit."""
    if len(source) > MAX_SOURCE or len(source.encode(errors="surrogatepass")) > MAX_SOURCE:
        raise ExpressionFault(fault_at(source, 0, f"an expression is at most {MAX_SOURCE} bytes long"))
    return _Parser(source).whole()


class _Parser:
    def __init__(self, source: str) -> None:
        self._source = source
        self._tokens = tokenize(source)
        self._token = next(self._tokens)
        self._nesting = 0

    def whole(self) -> Node:
        if self._token.kind == "end":
            raise self._fault(0, "the expression is empty")
        tree = self._expression()
        if self._token.kind != "end":
            raise self._unexpected("an operator or the end")
        self._limit_height(tree)
        return tree

    def _limit_height(self, tree: Node) -> None:
        level = [tree]
        for _ in range(MAX_HEIGHT):
            level = [part for node in level for part in children(node)]
            if not level:
                return
        raise self._chained(level[0].at)

    def _chained(self, at: int) -> ExpressionFault:
        return self._fault(at, f"more than {MAX_HEIGHT} operators are chained here")

    def _next(self) -> Token:
        token = self._token
        self._token = next(self._tokens)
        return token

    def _accept(self, *texts: str) -> Token | None:
        token = self._token
        return self._next() if token.kind in {"sign", "keyword"} and token.text in texts else None

    def _expect(self, text: str) -> Token:
        token = self._accept(text)
        if token is None:
            raise self._unexpected(f"'{text}'")
        return token

    def _unexpected(self, wanted: str) -> ExpressionFault:
        token = self._token
        what = "the end" if token.kind == "end" else f"'{token.text[:40]}'"
        return self._fault(token.at, f"unexpected {what}", f"expected {wanted}")

    def _fault(self, at: int, message: str, hint: str | None = None) -> ExpressionFault:
        return ExpressionFault(fault_at(self._source, at, message, hint))

    def _expression(self) -> Node:
        self._nesting += 1
        if self._nesting > MAX_NESTING:
            raise self._fault(self._token.at, f"nested more than {MAX_NESTING} deep")
        condition = self._either()
        if sign := self._accept("?"):
            then = self._either()
            self._expect(":")
            condition = Conditional(sign.at, condition, then, self._expression())
        self._nesting -= 1
        return condition

    def _either(self) -> Node:
        operands = [self._both()]
        first = self._token.at
        while self._accept("||"):
            operands.append(self._both())
        return operands[0] if len(operands) == 1 else Logic(first, "||", tuple(operands))

    def _both(self) -> Node:
        operands = [self._binary(0)]
        first = self._token.at
        while self._accept("&&"):
            operands.append(self._binary(0))
        return operands[0] if len(operands) == 1 else Logic(first, "&&", tuple(operands))

    def _binary(self, floor: int) -> Node:
        left = self._unary()
        links = 0
        while (power := self._power()) > floor:
            operator = self._next()
            links += 1
            if links > MAX_HEIGHT:
                raise self._chained(operator.at)
            left = Binary(operator.at, operator.text, left, self._binary(power))
        return left

    def _power(self) -> int:
        token = self._token
        return _POWERS.get(token.text, 0) if token.kind in {"sign", "keyword"} else 0

    def _unary(self) -> Node:
        operators: list[Token] = []
        while operator := self._accept("!", "-"):
            operators.append(operator)
            if len(operators) > MAX_HEIGHT:
                raise self._chained(operator.at)
        if operators and operators[-1].text == "-" and self._token.kind in {"int", "double"}:
            node = self._members(self._number(operators.pop()))
        else:
            node = self._members(self._primary())
        for operator in reversed(operators):
            node = Unary(operator.at, operator.text, node)
        return node

    def _number(self, minus: Token | None = None) -> Literal:
        token = self._next()
        value = token.value
        assert not isinstance(value, str)  # noqa: S101  # the lexer decodes numbers
        if token.kind == "int" and value > MAX_INT + (minus is not None):
            raise self._fault(token.at, "this int does not fit into 64 bits")
        return Literal(token.at, value) if minus is None else Literal(minus.at, -value)

    def _members(self, node: Node) -> Node:
        links = 0
        while sign := self._accept(".", ".?", "[", "[?"):
            links += 1
            if links > MAX_HEIGHT:
                raise self._chained(sign.at)
            node = self._member(sign, node)
        return node

    def _member(self, sign: Token, operand: Node) -> Node:
        if sign.text in {"[", "[?"}:
            index = Index(sign.at, operand, self._expression(), optional=sign.text == "[?")
            self._expect("]")
            return index
        field = self._field()
        if sign.text == "." and self._accept("("):
            return self._method(field, operand)
        if field.text in _OF_TIME and path(operand) == _PACKAGE_OF_TIME:
            return Name(start(operand), f"{_PACKAGE_OF_TIME}.{field.text}")
        return Select(field.at, operand, field.text, optional=sign.text == ".?")

    def _field(self) -> Token:
        if self._token.kind != "name":
            raise self._unexpected("a name")
        return self._next()

    def _primary(self) -> Node:
        token = self._token
        match token.kind:
            case "int" | "double":
                return self._number()
            case "string":
                self._next()
                return Literal(token.at, str(token.value))
            case "name":
                return self._name()
            case "keyword" if token.text in _CONSTANTS:
                self._next()
                return Literal(token.at, _CONSTANTS[token.text])
            case _:
                return self._bracket()

    def _name(self) -> Node:
        token = self._next()
        if token.text in RESERVED:
            raise self._fault(token.at, f"'{token.text}' is a reserved word")
        if not self._accept("("):
            return Name(token.at, token.text)
        if token.text == "has":
            return self._has(token)
        return Call(token.at, token.text, None, self._arguments())

    def _bracket(self) -> Node:
        if self._accept("("):
            node = self._expression()
            self._expect(")")
            return node
        if sign := self._accept("[", "[?"):
            return self._list(sign)
        if sign := self._accept("{"):
            return self._map(sign)
        raise self._unexpected("a value")

    def _arguments(self) -> tuple[Node, ...]:
        arguments: list[Node] = []
        while not self._accept(")"):
            arguments.append(self._expression())
            if not self._accept(","):
                self._expect(")")
                break
            if self._token.text == ")":
                raise self._unexpected("an argument")
        return tuple(arguments)

    def _list(self, sign: Token) -> ListLiteral:
        elements: list[Node] = []
        optional: set[int] = set()
        marked = sign.text == "[?"
        while marked or not self._accept("]"):
            if marked or self._accept("?"):
                optional.add(len(elements))
            marked = False
            elements.append(self._expression())
            if not self._accept(","):
                self._expect("]")
                break
        return ListLiteral(sign.at, tuple(elements), frozenset(optional))

    def _map(self, sign: Token) -> MapLiteral:
        entries: list[tuple[Node, Node]] = []
        optional: set[int] = set()
        while not self._accept("}"):
            if self._accept("?"):
                optional.add(len(entries))
            key = self._expression()
            self._expect(":")
            entries.append((key, self._expression()))
            if not self._accept(","):
                self._expect("}")
                break
        return MapLiteral(sign.at, tuple(entries), frozenset(optional))

    def _has(self, name: Token) -> Has:
        arguments = self._arguments()
        if len(arguments) != 1 or not isinstance(arguments[0], Select) or arguments[0].optional:
            raise self._fault(name.at, "has() asks for one selected key", "write has(a.b)")
        return Has(name.at, arguments[0])

    def _method(self, name: Token, target: Node) -> Node:
        arguments = self._arguments()
        if isinstance(target, Name) and target.name == "optional" and name.text in _OPTIONALS:
            return Call(target.at, f"optional.{name.text}", None, arguments)
        counts = MACROS.get(name.text)
        if counts is None:
            return Call(name.at, name.text, target, arguments)
        if len(arguments) not in counts:
            wanted = " or ".join(map(str, counts))
            raise self._fault(name.at, f"{name.text}() takes {wanted} arguments, not {len(arguments)}")
        variable = arguments[0]
        if not isinstance(variable, Name):
            raise self._fault(variable.at, f"the first argument of {name.text}() is the name of a variable")
        where = arguments[1] if len(arguments) > 2 else None  # noqa: PLR2004  # variable, where, body
        return Macro(name.at, name.text, target, variable.name, where, arguments[-1])
