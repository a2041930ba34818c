"""Jobs, schedules and logs in config.toml: what is read, and how each mistake is said."""

from __future__ import annotations

import json

import pytest

from costmon import config
from costmon.config.schedules import JobsInForce, from_json, to_json
from costmon.config.values import Config, Job, Schedules
from costmon.errors import ConfigError

HOUR = 3_600_000_000


def parse(text: str) -> Config:
    return config.parse(text.encode(), "config.toml")


def test_jobs_are_held_to_an_interval_or_to_a_crontabs_fields() -> None:
    found = parse(
        'time_zone = "Asia/Seoul"\n'
        '[jobs.trade]\nevery = "60m"\n[jobs."backend/trade"]\ncron = "0  9 * * 1-5"\nalert = false\n'
        '[jobs.report]\ncron = "0 9 * * *"\nzone = "Europe/Paris"\n[jobs.counted]\n'
    )

    assert found.jobs == (
        Job("trade", every_us=HOUR),
        Job("backend/trade", cron="0 9 * * 1-5", zone="Asia/Seoul", alert=False),
        Job("report", cron="0 9 * * *", zone="Europe/Paris"),
        Job("counted"),
    )


def test_without_a_word_the_floor_is_an_hour_and_this_machines_schedulers_are_read() -> None:
    assert parse("").schedules == Schedules(HOUR, crontab=True, systemd=True)


def test_what_is_compiled_reads_back_the_same() -> None:
    found = parse(
        '[jobs.trade]\nevery = "60m"\n[schedules]\nfloor = "10m"\ncompose = ["/srv/a.yml"]\n'
        '[log.bot]\npath = "/srv/bot.log"\nnext = "next (?P<time>.+)"\n'
    )
    text = to_json(found.jobs, found.schedules, found.logs)

    assert from_json(text) == JobsInForce(found.jobs, found.schedules, found.logs)
    assert json.loads(text)["logs"][0]["patterns"] == {"next": "next (?P<time>.+)"}
    assert from_json("") == JobsInForce()


@pytest.mark.parametrize(
    ("text", "line", "said"),
    [
        ('[jobs.trade]\nevery = "1 hour and a bit"', 2, "jobs.trade.every must be a duration"),
        ('[jobs.trade]\nevery = "60m"\ncron = "0 * * * *"', 3, 'jobs.trade.cron stands beside "every"'),
        ('[jobs.trade]\ncron = "0 * * *"', 2, "jobs.trade.cron must be five fields"),
        ('[jobs.trade]\ncron = "99 * * * *"', 2, "jobs.trade.cron must be five fields"),
        ('[jobs.trade]\ncron = "0 * * * *"\nzone = "Seoul"', 3, '"Asia/Seoul"'),
        ('[jobs.trade]\nevery = "60m"\nzone = "Asia/Seoul"', 3, 'is the zone of "cron"'),
        ('[jobs.trade]\nevrey = "60m"', 2, 'did you mean "every"?'),
        ("jobs.trade = 5", 1, "must be a table"),
        ('[jobs."a\\u0007b"]\nevery = "60m"', 1, "is no name"),
        ('[jobs.trade]\nalert = "no"', 2, "jobs.trade.alert must be true or false"),
        ('[schedules]\nfloor = "0s"', 2, "schedules.floor must be a duration"),
        ('[schedules]\ncompose = "docker-compose.yml"', 2, "schedules.compose must be a list of paths"),
        ('[schedules]\ncompose = ["docker-compose.yml"]', 2, "must hold whole paths"),
        ('[log.bot]\napp = "bot"', 1, 'needs "path"'),
        ('[log.bot]\npath = "bot.log"', 2, "must be a whole path"),
        ('[log.bot]\npath = "/srv/bot.log"\nnext = "("', 3, "is no regular expression"),
    ],
)
def test_a_mistake_is_one_sentence_with_its_line(text: str, line: int, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse(text)

    message = str(caught.value)
    assert message.startswith(f"config.toml, line {line}: ")
    assert said in message
    assert "\n" not in message


def test_as_many_jobs_as_can_be_kept_and_no_more() -> None:
    jobs = "".join(f'[jobs.j{number}]\nevery = "60m"\n' for number in range(201))
    with pytest.raises(ConfigError, match="one job too many"):
        parse(jobs)
