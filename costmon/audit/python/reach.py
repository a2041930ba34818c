"""What a piece of Python may get at, by the names it uses: a client of a paid service, or nothing of the kind."""

from __future__ import annotations

import ast
import builtins
import re
import sys
from collections.abc import Iterable
from typing import NamedTuple

from costmon.audit.python.source import Source, last_name
from costmon.audit.services import SDKS

_FREE = sys.stdlib_module_names | {
    *(
        "requests",
        "httpx",
        "aiohttp",
        "urllib3",
        "websockets",
        "certifi",
        "numpy",
        "pandas",
        "polars",
        "redis",
    ),
    *("sqlalchemy", "psycopg", "psycopg2", "asyncpg", "pymongo", "pymysql", "pytz", "dateutil", "tzdata"),
    *(
        "loguru",
        "structlog",
        "dotenv",
        "yaml",
        "pydantic",
        "pydantic_settings",
        "prometheus_client",
        "psutil",
    ),
    *("schedule", "apscheduler", "celery", "tenacity", "backoff", "stamina", "ccxt", "pyupbit", "yfinance"),
}
"""Modules that call no model by themselves."""
_HOSTS = re.compile(
    r"api\.openai\.com|openai\.azure|anthropic\.com|openrouter\.ai|generativelanguage|aiplatform\.googleapis|mistral\.ai|"
    r"api\.groq|deepseek\.com|api\.x\.ai|cohere\.|together\.xyz|perplexity\.ai|bedrock|/chat/completions|/v1/(messages|responses)"
)
_BUILTINS = frozenset(dir(builtins))
_MOST_PIECES = 200
_OWN = ("self", "cls")


class _Used(NamedTuple):
    """What a piece of code uses: names of the file, a paid service, something that this file does not show."""

    names: frozenset[str]
    paid: bool
    unseen: bool


class Reach:
    """One file's names, and what stands for each of them."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._bound: dict[str, list[ast.AST]] = {}
        self._known: dict[str, bool | None] = {}
        self._uses: dict[ast.AST, _Used] = {}
        for node in (*source.functions, *source.classes):
            self._bound.setdefault(node.name, []).append(node)
        for one in source.assignments:
            for target in one.targets if isinstance(one, ast.Assign) else [one.target]:
                if one.value is not None and (name := last_name(target)):
                    self._bound.setdefault(name, []).append(one.value)

    def of_call(self, function: ast.expr | None) -> bool | None:
        """Whether calling it makes paid calls: True, False (it gets at nothing that could), None = that cannot be seen."""
        if function is None:
            return None
        if isinstance(function, ast.Name):
            if function.id not in self._known:
                self._known[function.id] = self.of([_called(function)])
            return self._known[function.id]
        return self.of([_called(function)])

    def of_name(self, name: str) -> bool | None:
        """As `of_call`, of a function of this file."""
        return self.of_call(ast.Name(name, ast.Load())) if name.isidentifier() else None

    def of(self, nodes: Iterable[ast.AST]) -> bool | None:
        """As `of_call`, of pieces of the file."""
        waiting, seen, unseen, count = list(nodes), set[str](), False, 0
        while waiting:
            count += 1
            if count > _MOST_PIECES:
                return None
            used = self._used(waiting.pop())
            if used.paid:
                return True
            unseen |= used.unseen
            waiting += (node for name in used.names - seen for node in self._bound.get(name, ()))
            seen |= used.names
        return None if unseen else False

    def _used(self, node: ast.AST) -> _Used:
        """What one piece uses; each piece of a file is gone through once."""
        found = self._uses.get(node)
        if found is None:
            found = self._uses[node] = self._gone_through(node)
        return found

    def _gone_through(self, node: ast.AST) -> _Used:
        parts = list(ast.walk(node))
        stored = {part.id for part in parts if isinstance(part, ast.Name) and isinstance(part.ctx, ast.Store)}
        loaded = {part.id for part in parts if isinstance(part, ast.Name) and isinstance(part.ctx, ast.Load)}
        own = {
            part.attr for part in parts if isinstance(part, ast.Attribute) and last_name(part.value) in _OWN
        }
        modules = {self._source.names[name] for name in loaded & self._source.names.keys()}
        texts = (
            part.value for part in parts if isinstance(part, ast.Constant) and isinstance(part.value, str)
        )
        return _Used(
            frozenset(loaded | own),
            any(map(_is_sdk, modules)) or any(map(_HOSTS.search, texts)),
            any(module.partition(".")[0] not in _FREE for module in modules)
            or any(isinstance(part, ast.Call) and self._is_unseen(part, stored) for part in parts),
        )

    def _is_unseen(self, call: ast.Call, stored: set[str]) -> bool:
        """Whether what is called is nothing that this file shows: a parameter, or a name from elsewhere."""
        base = call.func
        while isinstance(base, (ast.Attribute, ast.Call, ast.Subscript)):
            if isinstance(base, ast.Attribute) and last_name(base.value) in _OWN:
                return base.attr not in self._bound
            base = base.func if isinstance(base, ast.Call) else base.value
        if not isinstance(base, ast.Name):
            return False
        known = (self._source.names, self._bound, _BUILTINS, stored)
        return not any(base.id in names for names in known)


def _called(function: ast.expr) -> ast.Call:
    return ast.Call(function, [], [])


def _is_sdk(dotted: str) -> bool:
    parts = dotted.split(".")
    return any(".".join(parts[:size]) in SDKS for size in range(1, len(parts) + 1))
