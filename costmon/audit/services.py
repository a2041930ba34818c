"""What a service of a project does, as the rules see it: whether it makes calls, what it schedules, which model it asks."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

from costmon.audit.cadences import of_plan
from costmon.audit.secrets import is_metered_key, shown
from costmon.audit.ties import of_variable
from costmon.audit.values import Cadence
from costmon.shim.jobs.intervals import interval_us
from costmon.sources.compose.intervals import cadence, disables, enables, job_of, truth
from costmon.sources.compose.values import Project, Service, Setting

_MODEL = re.compile(r"(.*_)?MODEL(_NAME|_ID)?")
_NO_CHAT = re.compile(r"EMBED|RERANK|WHISPER|SPEECH|TTS|VOICE|IMAGE|DATA|DJANGO|CAR_|DEVICE")
_NO_LLM_KEY = re.compile(
    r"(DD|DATADOG|SENTRY|SENDGRID|STRIPE|MAPS?|GOOGLE_MAPS|ALGOLIA|GITHUB|GITLAB|NPM|MAILGUN|POSTHOG).*_"
)
_SCHEDULER_COMMAND = re.compile(
    r"celery\b.*\bbeat\b|celery\b.*\sworker\b.*\s(-B|--beat)(\s|$)|\b(rq|ar?q)?scheduler\b|\bapscheduler\b|\bcrond?\b|\bsupercronic\b",
    re.IGNORECASE,
)
_BEAT = re.compile(r"celery\b.*\b(beat\b|worker\b.*\s(-B|--beat)(\s|$))")
_BEAT_APP = re.compile(r"\s(?:-A|--app)[ =]?(\S+)")
_DEDICATED = re.compile(r"schedul|beat|cron|worker|jobs?\b", re.IGNORECASE)
_NO_TAG = re.compile(r"(@sha256:.*|:[^/:]*)$")


class Planned(NamedTuple):
    """An interval variable of a service and what it comes to; `cadence` None = it cannot be known, and `why` says so."""

    setting: Setting
    cadence: Cadence | None
    job: str


@dataclass(frozen=True, eq=False)
class Member:
    """One service. `known` are the packages its build folder names; `unit`: a systemd unit, not a container."""

    project: Project
    service: Service
    known: frozenset[str] = frozenset()
    unit: bool = False

    @property
    def name(self) -> str:
        return self.service.name

    @cached_property
    def title(self) -> str:
        """Its name for people."""
        return shown(self.name, 40) or "?"

    @cached_property
    def key(self) -> str:
        """What spends: a service of a folder, whichever of its files it is in (they are alternatives)."""
        return f"{os.path.dirname(os.path.abspath(self.service.place.path))}:{self.name}"

    @cached_property
    def code(self) -> frozenset[str]:
        """What it runs: its image without the tag, and its build folder."""
        image = _NO_TAG.sub("", self.service.image)
        return frozenset(
            filter(None, (image and f"image {image}", self.service.build and f"build {self.service.build}"))
        )

    def same_code(self, other: Member) -> bool:
        return bool(self.code & other.code)

    @cached_property
    def spends(self) -> bool:
        """Whether it has a key of a metered service, names a model, or knows an SDK."""
        names = self.service.environment
        return (
            any(is_metered_key(name) and not _NO_LLM_KEY.match(name) for name in names)
            or bool(self.models)
            or bool(self.known & SDKS)
        )

    @cached_property
    def shimmed(self) -> bool:
        """Whether anything says that costmon records its calls."""
        command = f"{self.service.entrypoint} {self.service.command}"
        return "costmon" in self.known or re.search(r"\bcostmon\b", command) is not None

    @cached_property
    def models(self) -> tuple[Setting, ...]:
        return tuple(one for one in self.service.environment.values() if is_model(one.name) and one.value)

    @cached_property
    def plans(self) -> tuple[Planned, ...]:
        found = []
        for setting in self.service.environment.values():
            said = cadence(setting.name, setting.value) if setting.value else None
            if said is not None:
                found.append(Planned(setting, of_plan(said.plan) if said.plan else None, said.job))
        return tuple(found)

    @cached_property
    def switch(self) -> Setting | None:
        """The variable that turns its scheduler on and off; of several one that turns it on."""
        found = [one for one in self.service.environment.values() if enables(one.name) and one.value]
        return next(
            (one for one in found if truth(one.value) is (not disables(one.name))),
            found[0] if found else None,
        )

    @cached_property
    def is_on(self) -> bool | None:
        """Whether its scheduler runs; None = nothing says so."""
        if self.switch is not None:
            said = truth(self.switch.value)
            return said if said is None else said != disables(self.switch.name)
        return True if self.runs_scheduler else None

    @cached_property
    def runs_scheduler(self) -> bool:
        """Whether its command is a scheduler's."""
        return _SCHEDULER_COMMAND.search(self.started_by) is not None

    @property
    def started_by(self) -> str:
        """Its command, behind its entry point."""
        return f"{self.service.entrypoint} {self.service.command}".strip()

    @property
    def locks(self) -> bool:
        """Whether its scheduler is one of which only one at a time runs, however many are started (redbeat)."""
        return "redbeat" in self.started_by.lower()

    @cached_property
    def beat(self) -> str | None:
        """The app whose beat it is ('' = the one it finds by itself), None for no beat, or one that locks."""
        command = self.started_by
        if not _BEAT.search(command) or self.locks:
            return None
        named = _BEAT_APP.search(command)
        return named[1] if named is not None else ""

    @cached_property
    def schedules_alone(self) -> bool:
        """Whether its command is a scheduler's and does nothing else."""
        return self.runs_scheduler and re.search(r"\bworker\b", self.started_by) is None

    def ties(self, planned: Planned) -> bool:
        """Whether that plan is one of paid calls: not where it polls or refreshes, or nothing here makes calls."""
        return self.spends and of_variable(planned.setting.name)

    @property
    def starts(self) -> bool:
        """Whether the project starts it at all."""
        return self.service.active and self.service.scale > 0

    @cached_property
    def dedicated(self) -> bool:
        """Whether it is there for the schedule, by its name or command."""
        return bool(_DEDICATED.search(self.name)) or self.runs_scheduler

    @cached_property
    def paid(self) -> tuple[Planned, ...]:
        """The plans of paid calls."""
        return tuple(one for one in self.plans if of_variable(one.setting.name))

    @cached_property
    def cadences(self) -> tuple[Cadence, ...]:
        """How often it makes paid calls."""
        return tuple(one.cadence for one in self.paid if one.cadence is not None)

    def share(self, planned: Planned) -> str:
        """What a plan of it spends, by a name of its own."""
        return f"{self.key}:{planned.setting.name}"

    def jobs(self, planned: Planned) -> tuple[str, ...]:
        """Names its job may go by, the likeliest first."""
        app = self.service.environment.get("COSTMON_JOB")
        said = (app.value if app is not None else "", planned.job, self.name, job_of(planned.setting.name))
        return tuple(dict.fromkeys(one for one in said if one))

    def held_names(self, planned: Planned) -> tuple[str, ...]:
        """The names by which config.toml may hold that job to a plan."""
        jobs = self.jobs(planned)
        return (*(f"{app}/{job}" for app in self.apps for job in jobs), *jobs)

    @property
    def apps(self) -> tuple[str, ...]:
        app = self.service.environment.get("COSTMON_APP")
        return tuple(dict.fromkeys(one for one in (app.value if app is not None else "", self.name) if one))


def is_model(name: str) -> bool:
    """Whether a variable of that name says which model answers."""
    return _MODEL.fullmatch(name) is not None and _NO_CHAT.search(name) is None


def unit_us(name: str) -> int | None:
    """What one of a number in that interval variable is, in µs: 60,000,000 for SCHEDULER_INTERVAL_MINUTES."""
    said = cadence(name, "1")
    return (
        interval_us(said.plan.removeprefix("every "))
        if said is not None and said.plan.startswith("every ")
        else None
    )


def spelled_like(name: str, old: str, us: int) -> str | None:
    """An interval of `us` as that variable would say it, after the manner of its old value; None where it cannot."""
    from costmon.shim.jobs.intervals import spell_interval

    if re.fullmatch(r"[0-9.]+", old.strip()):
        unit = unit_us(name)
        return str(us // unit) if unit and us % unit == 0 else None
    said = cadence(name, old)
    return spell_interval(us) if said is not None and said.plan.startswith("every ") else None


SDKS = frozenset(
    {
        *(
            "openai",
            "anthropic",
            "google-genai",
            "google-generativeai",
            "google.genai",
            "google.generativeai",
            "mistralai",
        ),
        *(
            "groq",
            "cohere",
            "litellm",
            "langchain",
            "langchain-openai",
            "langchain-anthropic",
            "langchain_openai",
        ),
        *(
            "langchain_anthropic",
            "langgraph",
            "together",
            "replicate",
            "fireworks-ai",
            "fireworks",
            "deepgram-sdk",
        ),
        *(
            "deepgram",
            "elevenlabs",
            "xai-sdk",
            "xai_sdk",
            "pydantic-ai",
            "pydantic_ai",
            "instructor",
            "crewai",
            "dspy",
        ),
        *(
            "llama-index",
            "llama_index",
            "azure-ai-inference",
            "voyageai",
            "huggingface-hub",
            "huggingface_hub",
        ),
    }
)
"""Packages and modules that make metered calls."""
