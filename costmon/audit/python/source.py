"""A Python file as a tree: what its names stand for, and what its constants come to."""

from __future__ import annotations

import ast
import re
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any, NamedTuple

_VARIABLE = re.compile(r"[A-Z][A-Z0-9_]{1,99}")
_DEEPEST = 12
_LEAVES = frozenset({ast.Name, ast.Constant, ast.Load, ast.Store, ast.Del})
_UNITS = {"weeks": 604_800, "days": 86_400, "hours": 3_600, "minutes": 60, "seconds": 1}


class Count(NamedTuple):
    """A number as far as it is known; `variable` is the environment variable that may say another."""

    value: Fraction | None
    variable: str = ""


@dataclass(slots=True)
class Source:
    """One parsed file. `names` are its imports (name → dotted), `constants` what its module level assigns once."""

    path: str
    tree: ast.Module
    names: dict[str, str] = field(default_factory=dict)
    constants: dict[str, ast.expr] = field(default_factory=dict)
    roots: frozenset[str] = frozenset()
    decorated: dict[int, str] = field(default_factory=dict)
    """id() of a decorator → the name of what it decorates."""
    calls: list[ast.Call] = field(default_factory=list)
    keywords: list[ast.keyword] = field(default_factory=list)
    assignments: list[ast.Assign | ast.AnnAssign] = field(default_factory=list)
    functions: list[ast.FunctionDef | ast.AsyncFunctionDef] = field(default_factory=list)
    loops: list[ast.While] = field(default_factory=list)
    classes: list[ast.ClassDef] = field(default_factory=list)

    def dotted(self, node: ast.AST) -> str:
        """'apscheduler.triggers.cron.CronTrigger' for what stands for it here; '' for what is no name."""
        parts: list[str] = []
        while isinstance(node, ast.Attribute):
            parts.append(node.attr)
            node = node.value
        if not isinstance(node, ast.Name):
            return ""
        return ".".join([self.names.get(node.id, node.id), *reversed(parts)])

    def resolved(self, node: ast.expr | None) -> ast.expr | None:
        """What a name of the module stands for, else the node."""
        for _ in range(_DEEPEST):
            if not isinstance(node, ast.Name) or node.id not in self.constants:
                return node
            node = self.constants[node.id]
        return None

    def text(self, node: ast.expr | None) -> str | None:
        """A constant text."""
        found = self.resolved(node)
        return found.value if isinstance(found, ast.Constant) and isinstance(found.value, str) else None

    def models(self) -> tuple[str, ...]:
        """What `model="…"` asks, in order of the alphabet."""
        return tuple(
            sorted({text for one in self.keywords if one.arg == "model" and (text := self.text(one.value))})
        )

    def is_none(self, node: ast.expr | None) -> bool:
        found = self.resolved(node)
        return isinstance(found, ast.Constant) and found.value is None

    def count(self, node: ast.expr | None, depth: int = 0) -> Count:
        """A number, from constants, arithmetic, and the defaults of environment variables."""
        found = self.resolved(node)
        if found is None or depth > _DEEPEST:
            return Count(None)
        if isinstance(found, ast.Constant):
            return Count(_number(found.value))
        if isinstance(found, ast.BinOp):
            return self._arithmetic(found, depth)
        if isinstance(found, ast.BoolOp) and isinstance(found.op, ast.Or):
            parts = [self.count(one, depth + 1) for one in found.values]
            variable = next((one.variable for one in parts if one.variable), "")
            return Count(next((one.value for one in parts if one.value is not None), None), variable)
        if isinstance(found, ast.Call):
            if self.dotted(found.func) in ("int", "float", "Decimal", "decimal.Decimal") and found.args:
                return self.count(found.args[0], depth + 1)
            return self._environment(found, depth)
        if isinstance(found, ast.Subscript) and self.dotted(found.value).endswith("environ"):
            return Count(None, self.text(found.slice) or "")
        return Count(None)

    def seconds(self, node: ast.expr | None) -> Count:
        """A number of seconds, or a timedelta."""
        found = self.resolved(node)
        if isinstance(found, ast.Call) and self.dotted(found.func).rpartition(".")[2] == "timedelta":
            return self.units(found, positional=("days", "seconds"))
        return self.count(found)

    def units(self, call: ast.Call, positional: tuple[str, ...] = ()) -> Count:
        """The seconds of `minutes=5` and the like; no value where there is none, or one is unknown."""
        given = {one.arg: one.value for one in call.keywords if one.arg in _UNITS}
        given.update(zip(positional, call.args, strict=False))
        total, variable = Fraction(0), ""
        for name, node in given.items():
            part = self.count(node)
            variable = variable or part.variable
            if part.value is None:
                return Count(None, variable)
            total += part.value * _UNITS[name or ""]
        return Count(total or None, variable)

    def environment(self, call: ast.Call) -> tuple[str, ast.expr | None]:
        """(variable, default) of os.getenv("X", "5"), config("X", default=5) and the like; '' for another call."""
        variable = self.text(call.args[0]) if call.args else None
        if variable is None or not _VARIABLE.fullmatch(variable):
            return "", None
        default = keyword(call, "default") or (call.args[1] if len(call.args) > 1 else None)
        return variable, default

    def _environment(self, call: ast.Call, depth: int) -> Count:
        variable, default = self.environment(call)
        return Count(self.count(default, depth + 1).value, variable) if variable else Count(None)

    def _arithmetic(self, node: ast.BinOp, depth: int) -> Count:
        left, right = self.count(node.left, depth + 1), self.count(node.right, depth + 1)
        variable = left.variable or right.variable
        if left.value is None or right.value is None:
            return Count(None, variable)
        if isinstance(node.op, ast.Mult):
            return Count(left.value * right.value, variable)
        if isinstance(node.op, ast.Add):
            return Count(left.value + right.value, variable)
        if isinstance(node.op, ast.Div) and right.value:
            return Count(left.value / right.value, variable)
        return Count(None, variable)


def keyword(call: ast.Call, name: str) -> ast.expr | None:
    return next((one.value for one in call.keywords if one.arg == name), None)


def last_name(node: ast.expr | None) -> str:
    """'run' of trader.run and of run."""
    if isinstance(node, ast.Attribute):
        return node.attr
    return node.id if isinstance(node, ast.Name) else ""


def parse(path: str, text: str) -> Source | None:
    """The file's tree, None where it is no Python that this Python can read."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None
    source = Source(path, tree)
    imports: list[ast.Import | ast.ImportFrom] = []
    kept: dict[type[ast.AST], list[Any]] = {
        ast.Call: source.calls,
        ast.keyword: source.keywords,
        ast.Assign: source.assignments,
        ast.AnnAssign: source.assignments,
        ast.FunctionDef: source.functions,
        ast.AsyncFunctionDef: source.functions,
        ast.While: source.loops,
        ast.Import: imports,
        ast.ImportFrom: imports,
        ast.ClassDef: source.classes,
    }
    for node in _nodes(tree):
        if (found := kept.get(type(node))) is not None:
            found.append(node)
    source.names = {name: dotted for one in imports for name, dotted in _imported(one)}
    source.roots = frozenset(
        part for dotted in source.names.values() for part in (dotted, dotted.partition(".")[0])
    )
    source.decorated = {
        id(one): node.name for node in (*source.functions, *source.classes) for one in node.decorator_list
    }
    source.constants = _constants(tree)
    return source


def _nodes(tree: ast.Module) -> Iterator[ast.AST]:
    """Every node but names and constants; ast.walk takes three times as long."""
    waiting: list[ast.AST] = [tree]
    while waiting:
        node = waiting.pop()
        yield node
        for name in node._fields:
            value = getattr(node, name, None)
            if type(value) is list:
                waiting += [one for one in value if isinstance(one, ast.AST) and type(one) not in _LEAVES]
            elif isinstance(value, ast.AST) and type(value) not in _LEAVES:
                waiting.append(value)


def _imported(node: ast.Import | ast.ImportFrom) -> Iterator[tuple[str, str]]:
    for one in node.names:
        if isinstance(node, ast.ImportFrom):
            yield one.asname or one.name, f"{node.module or ''}.{one.name}"
        elif one.asname:
            yield one.asname, one.name
        else:
            yield one.name.partition(".")[0], one.name.partition(".")[0]


def _constants(tree: ast.Module) -> dict[str, ast.expr]:
    found: dict[str, ast.expr] = {}
    again: set[str] = set()
    for node in tree.body:
        targets = (
            node.targets
            if isinstance(node, ast.Assign)
            else [node.target]
            if isinstance(node, ast.AnnAssign)
            else []
        )
        value = node.value if isinstance(node, (ast.Assign, ast.AnnAssign)) else None
        for target in targets:
            if isinstance(target, ast.Name) and value is not None:
                again.update({target.id} & found.keys())
                found[target.id] = value
    return {name: value for name, value in found.items() if name not in again}


def _number(value: object) -> Fraction | None:
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        return None
    if isinstance(value, str) and not re.fullmatch(r"\s*[0-9]{1,12}(\.[0-9]{1,9})?\s*", value, re.ASCII):
        return None
    try:
        number = Fraction(value)
    except (ValueError, OverflowError):
        return None
    return number if abs(number) < 10**12 else None
