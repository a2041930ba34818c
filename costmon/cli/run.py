"""`costmon run -- python app.py`: an app watched without a change to it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

import click

import costmon
from costmon import paths
from costmon.errors import CostmonError


@click.command(context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False})
@click.option("--app", help="The name it spends under; default: the script's name.")
@click.option("--route", help="Default route label of its calls.")
@click.option("--job", help="Default job label of its calls.")
@click.option("--essential", is_flag=True, help="Keep it going from 95 % of a budget to 100 %.")
@click.option("--no-watch", is_flag=True, help="Start no engine: nobody warns unless one runs elsewhere.")
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED)
def run(
    app: str | None,
    route: str | None,
    job: str | None,
    essential: bool,
    no_watch: bool,
    command: tuple[str, ...],
) -> None:
    """Run COMMAND with every Python process in it watched: costmon run -- python app.py.

    The command replaces costmon: its signals, exit code and terminal are its own. If no engine runs, one is started that
    warns for as long as the command lives.
    """
    program = shutil.which(command[0])
    if program is None:
        raise CostmonError(f"{command[0]}: no such command")
    _warn_if_isolated(command)
    os.environ.update(_labels(app, route, job, essential=essential))
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [inject_dir(), os.environ.get("PYTHONPATH", "")]))
    if os.environ.get("COSTMON_ENABLED", "1").strip().lower() not in ("0", "false", "no", "off"):
        _prepare(no_watch=no_watch)
    sys.stdout.flush()
    if os.name == "nt":
        raise SystemExit(subprocess.call([program, *command[1:]]))  # noqa: S603 - the user's own command
    os.execv(program, list(command))  # noqa: S606 - the user's own command


def inject_dir() -> str:
    """The folder that goes on PYTHONPATH; it holds a sitecustomize and nothing else."""
    return os.path.join(os.path.dirname(os.path.abspath(costmon.__file__)), "shim", "inject")


def _labels(app: str | None, route: str | None, job: str | None, *, essential: bool) -> dict[str, str]:
    given = {
        "COSTMON_APP": app,
        "COSTMON_ROUTE": route,
        "COSTMON_JOB": job,
        "COSTMON_ESSENTIAL": "1" if essential else None,
    }
    return {name: value for name, value in given.items() if value is not None}


def _warn_if_isolated(command: tuple[str, ...]) -> None:
    """`python -I` and `-E` ignore PYTHONPATH, `-S` skips sitecustomize: the app would silently go unwatched."""
    if not os.path.basename(command[0]).startswith("python"):
        return
    for argument in command[1:]:
        if not argument.startswith("-") or argument in ("-c", "-m", "-"):
            return
        if not argument.startswith("--") and set(argument[1:]) & set("IES"):
            click.echo(
                f"costmon: python {argument} keeps costmon out, so this app is not watched; "
                "drop the option or call costmon.instrument() in the app",
                err=True,
            )


def _prepare(*, no_watch: bool) -> None:
    """Bring the ledger up to date and see to it that somebody warns; neither may keep the app from starting."""
    from costmon.monitor.lock import holder

    home = paths.state_home()
    try:
        _compile(home)
        if not no_watch and holder(home) is None:
            _start_engine()
    except (CostmonError, OSError) as error:
        click.echo(f"costmon: {error}; the app runs, enforced from memory (costmon doctor)", err=True)


def _compile(home: str) -> None:
    from costmon import config
    from costmon.monitor.engine import read_config
    from costmon.store import open_ledger

    config.ensure(paths.config_file())
    store = open_ledger(home)
    try:
        problem = read_config(store)
    finally:
        store.close()
    if problem:
        click.echo(f"costmon: {problem} (the last good configuration stays in force)", err=True)


def _start_engine() -> None:
    """A background `costmon watch` that lives as long as the command that is about to replace this process."""
    command = [sys.executable, "-m", "costmon", "watch", "--quiet", "--follow", str(os.getpid())]
    if os.name == "nt":
        _spawn(command)
        return
    # Forked twice, so that the app never has a child it did not start.
    middle = os.fork()
    if middle == 0:
        try:
            os.setsid()
            _spawn(command)
        finally:
            os._exit(0)
    os.waitpid(middle, 0)


def _spawn(command: list[str]) -> None:
    kept = [
        entry
        for entry in os.environ.get("PYTHONPATH", "").split(os.pathsep)
        if entry and entry != inject_dir()
    ]
    subprocess.Popen(  # noqa: S603 - ourselves
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(kept)},
    )
