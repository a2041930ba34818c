"""Plans that compose files announce: interval and cron variables of the services that would run."""

from __future__ import annotations

import os
from collections.abc import Iterator

from costmon.sources.compose import intervals
from costmon.sources.compose.finding import projects
from costmon.sources.compose.reading import read as read_project
from costmon.sources.compose.texts import shown
from costmon.sources.compose.values import Project, Service, Setting
from costmon.sources.schedules.values import Found, Planned, Problem

SOURCE = "compose"
_ZONES = ("SCHEDULER_TIMEZONE", "CRON_TZ", "TZ", "TIMEZONE")


def read(path: str) -> Found:
    """The plans of the compose projects at a file, or in and under a folder; of a folder's variants (docker-compose.prod.yml
    beside docker-compose.yml) only where the file itself is named, since nobody knows that they run. Nothing is raised."""
    planned: list[Planned] = []
    problems: list[Problem] = []
    for files in projects(path, variants=False):
        found = of_project(read_project(files))
        planned.extend(found.planned)
        problems.extend(found.problems)
    return Found(tuple(planned), tuple(dict.fromkeys(problems)))


def of_project(project: Project) -> Found:
    """The plans of one project, by service and variable. A schedule whose plan cannot be known is one with the plan '' and
    a note; a service that is switched off by its profile, its scale or its own variable plans nothing."""
    planned = [
        plan
        for service in project.services
        if service.active and service.scale > 0 and switched_on(service) is not False
        for plan in _of_service(project, service)
    ]
    problems = (
        Problem(problem.place.path, problem.place.line, problem.sentence) for problem in project.problems
    )
    return Found(tuple(planned), tuple(problems))


def switched_on(service: Service) -> bool | None:
    """Whether the service's own switch (SCHEDULER_ENABLED, RUN_SCHEDULER …) is on; None if it has none, or one that is
    neither yes nor no. Of several one that is on wins."""
    said = [
        truth != intervals.disables(name)
        for name, setting in service.environment.items()
        if intervals.enables(name) and (truth := intervals.truth(setting.value)) is not None and setting.value
    ]
    return any(said) if said else None


def _of_service(project: Project, service: Service) -> Iterator[Planned]:
    app = _value(service, "COSTMON_APP") or service.name
    zone = next((value for name in _ZONES if (value := _value(service, name))), "")
    for name, setting in service.environment.items():
        said = intervals.cadence(name, setting.value)
        if said is None:
            continue
        place = setting.place
        yield Planned(
            job=shown(said.job or service.name, 200),
            app=shown(app, 200),
            source=SOURCE,
            owner=f"{shown(os.path.abspath(project.files[0]), 500)}#{shown(service.name)}.{shown(name)}",
            who=f"{shown(place.path, 500)}:{place.line} ({shown(service.name)})",
            plan=said.plan,
            zone=zone if said.plan.startswith("cron ") else "",
            note=_note(setting, said, service),
            command=" ".join(filter(None, (service.entrypoint, service.command))),
        )


def _value(service: Service, name: str) -> str:
    setting = service.environment.get(name)
    return (setting.value or "").strip() if setting else ""


def _note(setting: Setting, said: intervals.Cadence, service: Service) -> str:
    """What a reader should know beside the plan."""
    notes = []
    if setting.unset:
        notes.append(
            f"{shown(setting.name)} takes {shown(', '.join(setting.unset))} from the shell, which nothing here sets"
        )
    elif said.why:
        notes.append(shown(said.why, 300))
    if service.scale > 1:
        notes.append(f"{service.scale} containers of it run, each by this plan")
    return "; ".join(notes)
