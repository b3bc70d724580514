"""CEL expressions compiled to closures with a fuel limit."""

from engine.language.expressions.analysis import Analysis
from engine.language.expressions.compiler import analyse_expression, compile_expression
from engine.language.expressions.faults import ExpressionFault, Fault
from engine.language.expressions.types import Scope

__all__ = [
    "Analysis",
    "ExpressionFault",
    "Fault",
    "Scope",
    "analyse_expression",
    "compile_expression",
]
