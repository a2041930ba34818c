"""Whether a stop would hold: restart policies, the kill switch's folder, the shim; and retries without a limit."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator

from costmon.audit.edits import with_value
from costmon.audit.rules.context import Context, named
from costmon.audit.secrets import shown
from costmon.audit.services import Member
from costmon.audit.values import NOTE, WARNING, Evidence, Finding
from costmon.sources.compose.values import Mount, Place

_RETRIES = re.compile(
    r"(.*_)?(MAX_?RETR(Y|IES)|RETR(Y|IES)_?(LIMIT|MAX|COUNT|ATTEMPTS)|MAX_?(RETRY_?)?ATTEMPTS)(_.*)?"
)
_FOR_EVER = frozenset({"-1", "inf", "infinite", "infinity", "unlimited", "forever", "always", "none"})
_RETRY_FOR_EVER = re.compile(r"(.*_)?RETRY_?(FOREVER|INFINITE(LY)?|UNLIMITED)(_.*)?")
_SCOPE_FILE = re.compile(r"all|nonessential|(provider|model|app|route|job)=.*")
_LIMITED = re.compile(r"on-failure:[1-9][0-9]*|no|false|")


_RESTARTS = {False: "restart: on-failure:5", True: "Restart=on-failure with StartLimitBurst=5"}
"""What to write instead, by whether it is a systemd unit."""


def restarts(context: Context) -> Iterator[Finding]:
    """A restart policy starts again what was stopped."""
    for members in _by_project(context):
        found = [one for one in members if not _LIMITED.fullmatch(one.service.restart)]
        if found:
            yield Finding(
                "restart-policy",
                NOTE,
                f"{named(found)} would be started again after a crash, or when the machine starts, and go on spending.",
                f"Use {_RESTARTS[found[0].unit]}, and stop calls by costmon kill, which no restart undoes.",
                tuple(
                    (
                        one.service.restart_place or one.service.place,
                        f"{one.title}: restart {shown(one.service.restart)}",
                    )
                    for one in found
                ),
            )


def switch_mounts(context: Context) -> Iterator[Finding]:
    """The folder of the kill switch is not mounted, or a single file of it is."""
    for members in _by_project(context):
        containers = [one for one in members if not one.unit]
        for one in containers:
            for mount in one.service.mounts:
                if _is_single(one, mount):
                    yield _single(one, mount)
        without = [
            one for one in containers if not any(_is_switch(one, mount) for mount in one.service.mounts)
        ]
        if without:
            yield Finding(
                "switch-unmounted",
                NOTE,
                f"{named(without)} cannot see the kill switch: its folder is not mounted.",
                'Mount the state folder and name it: volumes: ["/srv/costmon/costmon:/costmon"], '
                "environment: {COSTMON_HOME: /costmon}.",
                _places(without),
            )


def _is_single(member: Member, mount: Mount) -> bool:
    """Whether it mounts one file of costmon's; a rename puts another file there, which the container never sees."""
    inner, outer = mount.target.rstrip("/"), mount.source.rstrip("/")
    ours = "costmon" in f"{inner}{outer}" or any(inner.startswith(f"{one}/") for one in _wanted(member))
    return ours and any(_is_file(path) for path in (inner, outer))


def _is_file(path: str) -> bool:
    """Whether a path is that of the ledger, or of a scope's file in a folder named switch (or named by COSTMON_SWITCH)."""
    folder, name = os.path.split(path)
    return name == "ledger.db" or (
        _SCOPE_FILE.fullmatch(name) is not None and folder.rstrip("/").endswith(("switch", "kill", "costmon"))
    )


def _wanted(member: Member) -> list[str]:
    """Where the service looks for costmon's folder, in its container."""
    settings = (member.service.environment.get(name) for name in ("COSTMON_HOME", "COSTMON_SWITCH"))
    return [one.value.rstrip("/") for one in settings if one is not None and one.value]


def _is_switch(member: Member, mount: Mount) -> bool:
    """Whether the mount shows the container the switch: the folder COSTMON_HOME or COSTMON_SWITCH names, or costmon's."""
    wanted = _wanted(member)
    target = mount.target.rstrip("/")
    if any(one == target or one.startswith(f"{target}/") for one in wanted):
        return True
    return not wanted and "costmon" in f"{mount.source}{mount.target}"


def _single(member: Member, mount: Mount) -> Finding:
    return Finding(
        "switch-file-mounted",
        WARNING,
        f"{member.title} mounts a single file of costmon's: when that is replaced or removed, the container "
        "never learns of it.",
        "Mount the folder it is in.",
        ((mount.place, f"{member.title}: mounts {shown(mount.target)}"),),
    )


def missing_shim(context: Context) -> Iterator[Finding]:
    """A service makes calls, and nothing says that costmon records them."""
    for members in _by_project(context):
        found = [one for one in members if not one.shimmed]
        if found:
            where = "environment" if found[0].unit else "image"
            yield Finding(
                "no-shim",
                NOTE,
                f"Nothing says that costmon records what {named(found)} {'spends' if len(found) == 1 else 'spend'}: "
                "no costmon run in the command, no costmon among the packages.",
                f"Start it with costmon run -- COMMAND, or install costmon in its {where} and call costmon.instrument().",
                _places(found),
            )


def retries(context: Context) -> Iterator[Finding]:
    """Retries without a limit, in what services and env files set."""
    seen: set[Place] = set()
    settings = [
        (one.name, one.value or "", one.from_file or one.place, one.asks)
        for member in context.members
        for one in member.service.environment.values()
    ]
    settings += [
        (one.name, one.value, one.place, ()) for env in context.envs for one in env.variables.values()
    ]
    for name, value, place, asks in settings:
        severity = _limitless(name, value)
        if severity is None or place in seen:
            continue
        seen.add(place)
        new = (
            with_value(context.texts.line(place), name, value, "5")
            if not asks and severity == WARNING and _RETRIES.fullmatch(name)
            else None
        )
        yield Finding(
            "retry-unlimited",
            severity,
            f"{shown(name)} is {shown(value)}: it retries without a limit, and each retry may be a paid call."
            if severity == WARNING
            else f"{shown(name)} is 0, which some clients take for no limit.",
            "Set a number, such as 5.",
            ((place, f"{shown(name)} = {shown(value)}"),),
            None,
            context.texts.fix({place: new}) if new is not None else None,
        )
    for habit in (one for one in context.habits if one.cadence is None):
        yield Finding(habit.rule, habit.severity, habit.sentence, habit.advice, ((habit.place, habit.text),))


def _limitless(name: str, value: str) -> str | None:
    said = value.strip().lower()
    if _RETRIES.fullmatch(name.upper()):
        return WARNING if said in _FOR_EVER else NOTE if said == "0" else None
    return WARNING if _RETRY_FOR_EVER.fullmatch(name.upper()) and said in ("1", "true", "yes", "on") else None


def _by_project(context: Context) -> Iterator[list[Member]]:
    """The services of each project that make calls."""
    for project in context.projects:
        members = [one for one in context.of(project) if one.spends and one.starts]
        if members:
            yield members


def _places(members: list[Member]) -> Evidence:
    return tuple((one.service.place, one.title) for one in members)
