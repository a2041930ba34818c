"""The command line. Commands load when they are used: `costmon check` must not pay for the terminal app."""

from __future__ import annotations

import errno
import os
import sys

import click

from costmon import __version__
from costmon.cli.lazy import LazyGroup
from costmon.errors import CostmonError

# command → (module, attribute, one line for --help)
_COMMANDS = {
    "run": (
        "costmon.cli.run",
        "run",
        "Run an app, watched, without a change to it: costmon run -- python app.py",
    ),
    "status": ("costmon.cli.status", "status", "What was spent, what is limited, who warns."),
    "watch": ("costmon.cli.watch", "watch", "Warn and enforce without a screen (the headless engine)."),
    "budget": ("costmon.cli.budget", "budget", "Set, list and remove budgets."),
    "kill": ("costmon.cli.switch", "kill", "Block calls: everything, or one scope such as app=trader."),
    "allow": ("costmon.cli.switch", "allow", "Lift what `kill` blocked."),
    "check": (
        "costmon.cli.switch",
        "check",
        "Exit 0 if calls may go out, 1 if they are blocked (for scripts).",
    ),
    "bypass": (
        "costmon.cli.bypass",
        "bypass",
        "Let calls through for a while that a budget or rule would refuse, on the record.",
    ),
    "estimate": (
        "costmon.cli.estimate",
        "estimate",
        "What a call would cost, before it is made; models side by side.",
    ),
    "scenario": ("costmon.cli.scenario", "scenario", "What so many calls a day cost in a month."),
    "break-even": (
        "costmon.cli.break_even",
        "break_even",
        "From how many requests a day on a server of your own is cheaper.",
    ),
    "meter": (
        "costmon.cli.meter",
        "meter",
        "Servers, storage, traffic, subscriptions: what they cost, and when a server runs.",
    ),
    "prices": ("costmon.cli.prices", "prices", "What models cost: show, list, compare, check, update."),
    "reprice": ("costmon.cli.reprice", "reprice", "Price past calls anew, on the record; take it back."),
    "rates": ("costmon.cli.rates", "rates", "Exchange rates: list, show, fetch today's."),
    "tokens": ("costmon.cli.tokens", "tokens", "Count the tokens of a text or of chat messages."),
    "tokenizer": ("costmon.cli.tokens", "tokenizer", "Install what OpenAI models' tokens are counted with."),
    "keys": ("costmon.cli.keys", "keys", "Keys for provider figures: set, list, test, remove."),
    "poll": (
        "costmon.cli.poll",
        "poll",
        "What providers themselves say was spent: read now, or as last read.",
    ),
    "reconcile": (
        "costmon.cli.reconcile",
        "reconcile",
        "What providers billed beside what apps logged, and what nobody logged.",
    ),
    "jobs": ("costmon.cli.jobs", "jobs", "Every job: its plan, its next run, and what ran against the plan."),
    "whatif": ("costmon.cli.whatif", "whatif", "What a job would cost at another rhythm."),
    "audit": (
        "costmon.cli.audit",
        "audit",
        "Find schedules, keys and models that will cost too much, before anything runs.",
    ),
    "incident": (
        "costmon.cli.incident",
        "incident",
        "What happened: which job, how often, how much, who was told and who stopped it.",
    ),
    "doctor": ("costmon.cli.doctor", "doctor", "What is wrong, and how to mend it."),
    "demo": ("costmon.cli.demo", "demo", "A simulated app that overspends, is warned about, and is stopped."),
}


class Commands(LazyGroup):
    """Errors become one line and exit code 2, a disk that is full too."""

    listed = _COMMANDS

    def invoke(self, ctx: click.Context) -> object:
        try:
            done = super().invoke(ctx)
            sys.stdout.flush()
        except CostmonError as error:
            click.echo(f"costmon: {error}", err=True)
            ctx.exit(2)
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                raise
            click.echo(f"costmon: the output cannot be written: {error.strerror}", err=True)
            os._exit(2)  # what is left of it cannot be written at the exit either
        return done


@click.command(
    cls=Commands, invoke_without_command=True, context_settings={"help_option_names": ["-h", "--help"]}
)
@click.version_option(__version__, prog_name="costmon")
@click.option("--theme", default="", help="Start with this theme.")
@click.pass_context
def main(ctx: click.Context, theme: str) -> None:
    """Watch what your apps spend on LLM and other metered APIs, warn before the budget is gone, stop the spending.

    Without a command it opens the terminal app.
    """
    if ctx.invoked_subcommand is None:
        from costmon.cli.tui import open_terminal

        ctx.exit(open_terminal(theme))
