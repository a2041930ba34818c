"""Development and staging: real keys, the scheduler on, a dearer model than production's."""

from __future__ import annotations

import os
from collections.abc import Iterator
from fractions import Fraction

from costmon.audit.edits import with_value
from costmon.audit.envfiles import DEVELOPMENT, PRODUCTION, TEMPLATE, EnvFile, Variable
from costmon.audit.rules.context import Context
from costmon.audit.secrets import MASK, has_key_shape, shown
from costmon.audit.services import is_model
from costmon.audit.values import ERROR, WARNING, Finding
from costmon.shim.money import fine_money
from costmon.sources.compose.intervals import disables, enables, truth
from costmon.sources.compose.values import Place, Setting


def key_shape(context: Context) -> Iterator[Finding]:
    """What has the shape of a real key stands in a development file, a template, or a compose file."""
    for env in context.envs:
        if env.stage == PRODUCTION:
            continue
        for one in env.variables.values():
            if has_key_shape(one.name, one.value):
                yield _key(one.name, one.place, env.stage)
    for member in context.members:
        for setting in member.service.environment.values():
            literal = setting.default or ("" if setting.asks else setting.value or "")
            if setting.origin == "environment" and has_key_shape(setting.name, literal):
                yield _key(setting.name, setting.place, "")
    for key in context.keys:
        yield _key(key.name, key.place, "crontab") if key.name else _in_command(key.place)


_KEY_SAID = {
    "crontab": (
        "in a crontab has the shape of a real key, and every job of it gets the key.",
        "Move it to a file that only its job's user can read, and replace it at the provider if the crontab was shared.",
    ),
    DEVELOPMENT: (
        "in a development file has the shape of a real key: what is tried out there is billed.",
        "Empty it, give development a key of its own with a low limit, and replace this one at the provider if the file "
        "was shared.",
    ),
    TEMPLATE: (
        "in a template has the shape of a real key, and templates are shared.",
        "Empty it, and replace the key at the provider.",
    ),
    "": (
        "has the shape of a real key and stands in the file itself.",
        "Move it to an .env that is not shared, and replace it at the provider if the file was.",
    ),
}


def _key(name: str, place: Place, stage: str) -> Finding:
    said, advice = _KEY_SAID[stage]
    name = shown(name)
    return Finding("key-shape", ERROR, f"{name} {said}", advice, ((place, f"{name} = {MASK}"),))


def _in_command(place: Place) -> Finding:
    return Finding(
        "key-shape",
        ERROR,
        "The command of a crontab's line holds what has the shape of a real key; while it runs, every user of the "
        "machine can read it.",
        _KEY_SAID["crontab"][1],
        ((place, f"a command with {MASK}"),),
    )


def scheduler_on(context: Context) -> Iterator[Finding]:
    """A scheduler is on in development."""
    for env in context.envs:
        for one in env.variables.values() if env.stage == DEVELOPMENT else ():
            said = truth(one.value) if enables(one.name) else None
            if said is None or said == disables(one.name):
                continue
            off = "true" if disables(one.name) else "false"
            new = with_value(context.texts.line(one.place), one.name, one.value, off)
            yield Finding(
                "scheduler-on",
                WARNING,
                f"{shown(one.name)} turns the scheduler on in development, where nobody waits for its runs.",
                "Turn it off there, and start a run by hand when you need one.",
                ((one.place, f"{shown(one.name)} = {shown(one.value)}"),),
                None,
                context.texts.fix({one.place: new}),
            )


def costly_model(context: Context) -> Iterator[Finding]:
    """Development asks a dearer model than production."""
    for env in context.envs:
        for one in env.variables.values() if env.stage == DEVELOPMENT else ():
            usual = _production(context, env, one.name) if is_model(one.name) and one.value else None
            if usual is not None and usual[0] != one.value:
                ratio = context.pricing.ratio(one.value, usual[0])
                if ratio is not None:
                    yield _costly(context, one, usual, ratio)


def _production(context: Context, env: EnvFile, name: str) -> tuple[str, Place] | None:
    """(the model that production asks, where that stands): of a production env file of the same folder, or a service."""
    folder = os.path.dirname(env.path)
    for other in sorted(context.envs, key=lambda one: os.path.basename(one.path) == ".env"):
        if other.stage == PRODUCTION and os.path.dirname(other.path) == folder and name in other.variables:
            found = other.variables[name]
            if found.value:
                return found.value, found.place
    settings = [
        setting
        for member in context.members
        if context.scope(member.service.place.path) == context.scope(env.path)
        and (setting := member.service.environment.get(name)) is not None
        and setting.value
        and setting.place.path != env.path
    ]
    return _cheapest(settings)


def _cheapest(settings: list[Setting]) -> tuple[str, Place] | None:
    """The one model of all services; None where they differ."""
    values = {setting.value for setting in settings}
    return (settings[0].value or "", settings[0].from_file or settings[0].place) if len(values) == 1 else None


def _costly(
    context: Context, one: Variable, usual: tuple[str, Place], ratio: tuple[Fraction, Fraction]
) -> Finding:
    model, other = shown(one.value), shown(usual[0])
    runs = [context.pricing.per_run(value) for value in (one.value, usual[0])]
    each = " against ".join(fine_money(*money) for money in runs if money is not None)
    priced = f" ({each} a run)" if None not in runs else ""
    return Finding(
        "costly-model",
        WARNING,
        f"Development asks {model}, {_times(ratio)} as dear as production's {other}{priced}.",
        f"Use {other} there too, or one that costs less.",
        ((one.place, f"{shown(one.name)} = {model}"), (usual[1], f"{shown(one.name)} = {other}")),
        None,
        context.texts.fix(
            {one.place: with_value(context.texts.line(one.place), one.name, one.value, usual[0])}
        ),
    )


def _times(ratio: tuple[Fraction, Fraction]) -> str:
    low, high = (f"{float(one):,.1f}".removesuffix(".0") for one in ratio)
    return f"{low} times" if low == high else f"{low} to {high} times"
