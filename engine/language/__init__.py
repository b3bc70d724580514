"""Playbook source to a validated, canonical definition, with no I/O."""

from engine.language.canonical import definition_hash
from engine.language.compiler import compile_definition
from engine.language.inputs import check_inputs
from engine.language.playbook import ParsedPlaybook, parse
from engine.language.schema import json_schema
from engine.language.tools import BUILTIN_TOOLS, Tool

__all__ = [
    "BUILTIN_TOOLS",
    "ParsedPlaybook",
    "Tool",
    "check_inputs",
    "compile_definition",
    "definition_hash",
    "json_schema",
    "parse",
]
