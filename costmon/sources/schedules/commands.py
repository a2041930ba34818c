"""Whose job a command line is: the app and the job it runs as, told from its text alone."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from typing import NamedTuple

from costmon.shim.events import clean

_ASSIGNMENT = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)=(.*)", re.DOTALL)
_INTERPRETER = re.compile(
    r"(?:python|pypy|bash|sh|dash|zsh|ksh|node|ruby|perl|php|deno|bun|Rscript)[\d.]*(?:\.exe)?"
)
_PYTHON = re.compile(r"(?:python|pypy)[\d.]*(?:\.exe)?")
_SHELL = re.compile(r"(?:bash|sh|dash|zsh|ksh)")
# Programs that run another: how many words of their own come before it, their options aside.
_WRAPPERS = {
    **dict.fromkeys(
        ("nice", "ionice", "nohup", "setsid", "exec", "env", "chronic", "time", "sudo", "stdbuf"), 0
    ),
    **dict.fromkeys(
        ("command", "systemd-cat", "caffeinate", "unbuffer", "dotenv", "doppler", "op", "cronitor"), 0
    ),
    **dict.fromkeys(("timeout", "flock", "chrt", "taskset"), 1),
}
_RUNNERS = frozenset({"uv", "poetry", "pipenv", "hatch", "pdm", "rye", "doppler", "op", "dotenv"})
_WITH_VALUE = {
    "nice": {"-n"},
    "ionice": {"-c", "-n", "-t"},
    "sudo": {"-u", "-g", "-h", "-p", "-U"},
    "env": {"-u", "-C"},
    "timeout": {"-k", "-s"},
    "flock": {"-w", "-E", "-c"},
    "systemd-cat": {"-t", "-p"},
    "stdbuf": {"-i", "-o", "-e"},
    "uv": {"--project", "--directory", "--with", "-p", "--python", "--env-file", "--extra", "--group"},
}
_CONTAINER_WITH_VALUE = {
    "-e",
    "--env",
    "-u",
    "--user",
    "-w",
    "--workdir",
    "--name",
    "-v",
    "--volume",
    "--env-file",
    "--network",
}
_PYTHON_WITH_VALUE = frozenset({"-W", "-X", "-Q"})
# What a line does before its work.
_BEFORE = frozenset(
    {
        "cd",
        "test",
        "[",
        "[[",
        ".",
        "source",
        "export",
        "set",
        "sleep",
        "umask",
        "ulimit",
        "echo",
        "printf",
        "mkdir",
    }
    | {"touch", "trap", "date", "cat", "exit", "return", "true", "false", ":", "fi", "done"}
)
_KEYWORDS = frozenset({"if", "then", "else", "elif", "do", "while", "until", "!"})
_SUBSTITUTED = re.compile(r"\$\([^()]*\)|`[^`]*`")
_OPERATORS = frozenset({"&&", "||", ";", "|", "&", "|&", "(", ")", "{", "}", "\n", ";;"})
_COSTMON_OPTIONS = {"--app": "COSTMON_APP", "--job": "COSTMON_JOB", "--route": ""}
_MAX_COMMAND = 8000


class Named(NamedTuple):
    """A command's app and job; '' where nothing tells."""

    app: str
    job: str


def name_command(command: str, environment: Mapping[str, str] | None = None) -> Named:
    """The app and job a command runs as.

    What it is told wins (`COSTMON_APP`, `COSTMON_JOB` in the environment or before the command, `costmon run --app`);
    else both are the name of its script without '.py', or of its module, as the app names itself.
    """
    labels = dict(environment or {})
    program = ""
    for words in _segments(_SUBSTITUTED.sub("value", command[:_MAX_COMMAND])):
        told = dict(labels)
        found = _program(words, told)
        if found:
            program, labels = found, told
            break
        labels.update(told)  # `export COSTMON_APP=trader; …`
    program = clean(program)
    return Named(
        clean(labels.get("COSTMON_APP", "")) or program, clean(labels.get("COSTMON_JOB", "")) or program
    )


def _segments(command: str) -> list[list[str]]:
    """The simple commands of a shell line, each as its words."""
    lexer = shlex.shlex(command, posix=True, punctuation_chars=";|&()\n")
    lexer.whitespace = " \t\r"
    lexer.whitespace_split = True
    lexer.commenters = ""
    segments: list[list[str]] = [[]]
    try:
        for word in lexer:
            if word in _OPERATORS or (word and set(word) <= set(";|&()\n")):
                segments.append([])
            else:
                segments[-1].append(word)
    except ValueError:  # an open quote
        return [command.split()]
    return [segment for segment in segments if segment]


def _program(words: list[str], labels: dict[str, str]) -> str:
    """The program the words run, '' for what only prepares it; what they tell of the labels is added to them."""
    words = list(words)
    for _ in range(12):  # wrappers within wrappers
        _take_assignments(words, labels)
        if not words:
            return ""
        name = _base(words[0])
        if name == "export":
            words.pop(0)
            _take_assignments(words, labels)
            return ""
        if name in _BEFORE:
            return ""
        if name in _KEYWORDS:
            words.pop(0)
            continue
        if name == "costmon" and len(words) > 1 and words[1] == "run":
            words = _costmon(words[2:], labels)
        elif _is_costmon_module(words):
            words = _costmon(words[words.index("costmon") + 2 :], labels)
        elif _SHELL.fullmatch(name) and (script := _inline(words)) is not None:
            return _nested(script, labels)
        elif _INTERPRETER.fullmatch(name):
            return _script(words, python=_PYTHON.fullmatch(name) is not None) or name
        elif name in _RUNNERS and "run" in words[1:4]:
            words = _after_options(words[words.index("run") + 1 :], _WITH_VALUE.get(name, set()))
        elif name in ("docker", "podman", "docker-compose", "podman-compose") and {"exec", "run"} & set(
            words
        ):
            words = _in_container(words)
        elif name in ("su", "runuser", "flock") and "-c" in words[:-1]:
            return _nested(words[words.index("-c") + 1], labels)
        elif name in _WRAPPERS:
            words = _after_options(words[1:], _WITH_VALUE.get(name, set()))[_WRAPPERS[name] :]
        else:
            return name.removesuffix(".py")
    return ""


def _in_container(words: list[str]) -> list[str]:
    """What `docker compose exec SERVICE …` runs; the service alone, where it runs what it is made for."""
    verb = next(index for index, word in enumerate(words) if word in ("exec", "run"))
    rest = _after_options(words[verb + 1 :], _CONTAINER_WITH_VALUE)
    return rest[1:] or rest


def _nested(script: str, labels: dict[str, str]) -> str:
    for words in _segments(script):
        found = _program(words, labels)
        if found:
            return found
    return ""


def _take_assignments(words: list[str], labels: dict[str, str]) -> None:
    while words and (match := _ASSIGNMENT.fullmatch(words[0])) is not None:
        if match.group(1) in ("COSTMON_APP", "COSTMON_JOB"):
            labels[match.group(1)] = match.group(2)
        words.pop(0)


def _is_costmon_module(words: list[str]) -> bool:
    return (
        _PYTHON.fullmatch(_base(words[0])) is not None
        and "costmon" in words
        and words[words.index("costmon") - 1 : words.index("costmon") + 2] == ["-m", "costmon", "run"]
    )


def _costmon(words: list[str], labels: dict[str, str]) -> list[str]:
    """What `costmon run` runs; its own options become labels."""
    while words and words[0].startswith("-"):
        option, equals, value = words.pop(0).partition("=")
        if option == "--":
            break
        if option in _COSTMON_OPTIONS:
            if not equals:
                value = words.pop(0) if words else ""
            if _COSTMON_OPTIONS[option]:
                labels[_COSTMON_OPTIONS[option]] = value
    return words


def _inline(words: list[str]) -> str | None:
    """The script of `sh -c 'script'`."""
    for index, word in enumerate(words[1:], 1):
        if not word.startswith("-"):
            return None
        if not word.startswith("--") and word.endswith("c"):
            return words[index + 1] if index + 1 < len(words) else None
    return None


def _script(words: list[str], *, python: bool) -> str:
    index = 1
    while index < len(words) and words[index].startswith("-"):
        option = words[index]
        if python and option == "-m":
            return words[index + 1].removesuffix(".__main__") if index + 1 < len(words) else ""
        if python and option.startswith("-c"):
            return ""
        index += 2 if option in _PYTHON_WITH_VALUE else 1
    return _base(words[index]).removesuffix(".py") if index < len(words) else ""


def _after_options(words: list[str], with_value: set[str]) -> list[str]:
    index = 0
    while index < len(words) and words[index].startswith("-"):
        if words[index] == "--":
            return words[index + 1 :]
        index += 2 if words[index] in with_value else 1
    return words[index:]


def _base(word: str) -> str:
    return word.replace("\\", "/").rstrip("/").rpartition("/")[2]
