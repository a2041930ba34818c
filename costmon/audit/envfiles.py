"""Env files: what each line sets, and for which stage."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from itertools import islice
from typing import NamedTuple

from costmon.sources.compose.envfile import parse_env
from costmon.sources.compose.texts import shown
from costmon.sources.compose.values import Place, Problem
from costmon.sources.compose.work import Work

_TEMPLATE = re.compile(r"(^|[._-])(example|sample|template|tmpl|dist|defaults?)([._-]|$)", re.IGNORECASE)
_DEVELOPMENT = re.compile(
    r"(^|[._-])(dev|devel|develop|development|local|stage|staging|test|testing|qa|sandbox|preview|ci)([._-]|$)",
    re.IGNORECASE,
)
_PRODUCTION = re.compile(r"(^|[._-])(prod|production|live)([._-]|$)", re.IGNORECASE)
_STAGE_NAMES = frozenset(
    {
        "APP_ENV",
        "ENV",
        "ENVIRONMENT",
        "NODE_ENV",
        "FLASK_ENV",
        "DJANGO_ENV",
        "STAGE",
        "APP_STAGE",
        "RAILS_ENV",
    }
)
_MOST, _MOST_PROBLEMS = 1000, 20
TEMPLATE, DEVELOPMENT, PRODUCTION = "template", "development", "production"


class Variable(NamedTuple):
    """`value` is a literal's text, or what an interpolation comes to by the file alone."""

    name: str
    value: str
    place: Place


@dataclass(frozen=True, slots=True)
class EnvFile:
    """`stage` is TEMPLATE, DEVELOPMENT (staging too) or PRODUCTION; the last line of a variable counts."""

    path: str
    stage: str
    variables: dict[str, Variable] = field(repr=False)
    problems: tuple[Problem, ...] = ()


def read_env(path: str, text: str) -> EnvFile:
    """What an env file sets."""
    found = parse_env(text, path, lambda _: None, Work())
    variables = {
        name: Variable(name, one.expanded.text or "", Place(path, one.line))
        for name, one in islice(found.lines.items(), _MOST)
    }
    problems = found.problems[:_MOST_PROBLEMS]
    if len(found.lines) > _MOST:
        sentence = f"{shown(path)} sets more than {_MOST:,} variables; the rest is not judged."
        problems = (*problems, Problem(Place(path, 1), sentence))
    return EnvFile(path, _stage(os.path.basename(path), variables), variables, problems)


def stage_of_name(name: str) -> str:
    """The stage that a name tells ('.env.staging', 'production'), '' for none."""
    if _TEMPLATE.search(name):
        return TEMPLATE
    if _PRODUCTION.search(name):
        return PRODUCTION
    return DEVELOPMENT if _DEVELOPMENT.search(name) else ""


def _stage(name: str, variables: dict[str, Variable]) -> str:
    """By the name, else by what the file says of itself (APP_ENV=staging); a plain .env is production's."""
    if stage := stage_of_name(name):
        return stage
    said = {one.value.lower() for name, one in variables.items() if name.upper() in _STAGE_NAMES}
    return DEVELOPMENT if any(stage_of_name(one) == DEVELOPMENT for one in said) else PRODUCTION
