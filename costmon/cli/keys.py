"""`costmon keys set | list | test | rm`: the keys with which providers are asked for their figures."""

from __future__ import annotations

import json
import re
import sys
from typing import TYPE_CHECKING, Any

import click

from costmon.cli.keys_config import bare, sources

if TYPE_CHECKING:
    from costmon.config.values import Source
    from costmon.credentials import Secret
    from costmon.sources.providers.protocol import Kind, Settings

_JSON = click.option("--json", "as_json", is_flag=True, help="For programs; no part of a key is in it.")
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,39}")
_MOST_BYTES = 20_000


@click.group()
def keys() -> None:
    """Keys for provider figures: set, list, test, remove.

    A key is kept in the system's keyring, in an environment variable, or in a file that only you can read. It goes only to
    the provider's own host, or to the one it was set for, and is never shown, logged, or taken from the command line.
    """


# --- set ---


@keys.command("set")
@click.argument("provider")
@click.argument("key", nargs=-1, metavar="")
@click.option(
    "--where",
    type=click.Choice(["keyring", "file"]),
    default="keyring",
    help="Where it is kept.",
    show_default=True,
)
@click.option("--base-url", metavar="URL", help="Ask this address instead of the provider's own.")
@click.option(
    "--option",
    "options",
    multiple=True,
    metavar="NAME=VALUE",
    help="A setting of the provider, such as team=….",
)
@click.option("--kind", metavar="KIND", help="PROVIDER is a name of your own for a source of this kind.")
@click.option("--no-verify", is_flag=True, help="Store it without asking the provider.")
@_JSON
def set_key(
    provider: str,
    key: tuple[str, ...],
    where: str,
    base_url: str | None,
    options: tuple[str, ...],
    kind: str | None,
    no_verify: bool,
    as_json: bool,
) -> None:
    """Store the key of PROVIDER and poll it from now on.

    \b
    costmon keys set openai
    costmon keys set xai --option team=1234
    pass show openai-admin | costmon keys set openai

    The key is asked for without showing it, or read from standard input when that is no terminal. The provider is asked with
    it before it is stored. [source.PROVIDER] is added to config.toml.
    """
    from costmon.cli import keys_config
    from costmon.credentials import Entry
    from costmon.errors import ConfigError
    from costmon.sources.providers import access

    if key:
        raise click.UsageError(
            "a key is never given on the command line, where other programs and the shell's history see it; leave it out "
            "and you are asked (one that stood here should be replaced at the provider)"
        )
    if base_url is not None and not base_url.strip():
        raise click.UsageError("--base-url is empty; write an address such as https://api.example.com/v1")
    values = keys_config.asked_for(
        provider, _known_kind(provider, kind), base_url, keys_config.parse_options(options)
    )
    _, source, _ = keys_config.planned(provider, values)
    found, settings = _settings(source)
    _check_places(found, source, where)
    secret = _ask(found)
    access.check_key(found, secret)
    if not no_verify:
        if found.fee and not as_json:
            amount, currency = found.fee
            click.echo(f"Trying it is a request that costs {amount} {currency}.", err=True)
        _prove(found, settings, secret)
    entry = Entry(secret, access.key_hosts(found, settings))
    place, remarks = _store(source.name, entry, where, found)
    try:
        changed = keys_config.write(source.name, values)
    except ConfigError as error:
        raise ConfigError(f"the key is stored in {place}, but it is not polled: {error}") from None
    remarks += _tell_engine()
    every = source.every_us // 1_000_000 or found.every_s
    if as_json:
        _print_json(
            source=source.name,
            kind=found.name,
            where=where,
            hosts=list(entry.hosts),
            verified=not no_verify,
            enabled=source.enabled,
            every_s=every,
            config_changed=changed,
            remarks=remarks,
        )
        return
    tried = "was not tried" if no_verify else "works"
    click.echo(f"The key {tried} and is stored in {place}; it goes only to {', '.join(entry.hosts)}.")
    click.echo(_polled(source, found, every, changed))
    for remark in remarks:
        click.echo(remark)


def _known_kind(provider: str, kind: str | None) -> str | None:
    """`kind`, once it is clear that PROVIDER names something. Raises a usage error that does not repeat a key."""
    from costmon.config.sources import looks_like_key
    from costmon.sources.providers import registry

    names = registry.names()
    known = provider in sources() or provider in names
    if kind is not None and looks_like_key(kind):
        raise click.UsageError(
            f"--kind is no kind of source; there are {', '.join(names)} (a key that stood here should be replaced at the "
            "provider: others may have seen it)"
        )
    too_long = looks_like_key(provider) or (kind is None and len(provider) > 24)
    if not known and (not _NAME.fullmatch(provider) or too_long):
        raise click.UsageError(
            f"PROVIDER is no name of a source; there are {', '.join(names)} (a key that stood here should be replaced at "
            "the provider: others may have seen it)"
        )
    if kind is not None or not known:
        registry.kind(kind or provider)
    return kind


def _settings(source: Source) -> tuple[Kind, Settings]:
    from costmon.errors import CredentialError
    from costmon.sources.providers import access, registry

    kind = registry.kind(source.kind)
    if not kind.key:
        raise CredentialError(
            f"{kind.title} needs no key; add [source.{source.name}] to config.toml to read it"
        )
    missing = access.option_problems(kind, source.options)
    if not (source.base_url or kind.base_url):
        missing = [f"--base-url URL (where {kind.title} is asked)", *missing]
    if missing:
        raise click.UsageError(f"{source.name} needs " + " and ".join(missing))
    return access.settings_of(source)


def _check_places(kind: Kind, source: Source, where: str) -> None:
    """Raises before anybody types a key that could not be stored, or would not be looked for there."""
    from costmon.credentials import keyring
    from costmon.errors import CredentialError

    if source.key and source.key != where:
        raise CredentialError(
            f'[source.{source.name}] in config.toml says key = "{source.key}", so a stored key would not be used; remove '
            "that line first"
        )
    if where == "keyring":
        try:
            keyring.read(source.name, ask=True)
        except CredentialError as error:
            raise CredentialError(f"{error}. {_other_ways(kind, source.name)}") from None


def _other_ways(kind: Kind, name: str) -> str:
    variable = kind.env[0] if kind.env else "a variable that the section's key names"
    return (
        f"Or: costmon keys set {name} --where file; or set {variable} where costmon runs and add [source.{name}] to "
        "config.toml"
    )


def _ask(kind: Kind) -> Secret:
    """The key, from a hidden prompt or from standard input. Raises CredentialError if it can be none."""
    from costmon.credentials import Secret
    from costmon.credentials.entry import cleaned

    if sys.stdin.isatty():
        click.echo(
            f"{kind.title}: {kind.key}." + (f" It is made at: {kind.key_from}." if kind.key_from else ""),
            err=True,
        )
        return cleaned(
            Secret(
                click.prompt(
                    "Key (it is not shown)", hide_input=True, err=True, default="", show_default=False
                )
            ),
            "the key",
        )
    return cleaned(
        Secret(sys.stdin.buffer.read(_MOST_BYTES).decode("utf-8", "replace")), "the key on standard input"
    )


def _prove(kind: Kind, settings: Settings, secret: Secret) -> None:
    """Raises CredentialError: the provider refuses the key, or it could not be asked."""
    import asyncio

    from costmon.cli import keys_tried
    from costmon.errors import CredentialError

    state, problem = asyncio.run(keys_tried.try_key(kind, settings, secret))
    if state in ("auth", "forbidden", "key", "config"):
        raise CredentialError(f"{problem}. Nothing was stored")
    if state != "ok":
        raise CredentialError(
            f"{problem}. The key was not tried, and nothing was stored; --no-verify stores it anyway"
        )


def _store(name: str, entry: Any, where: str, kind: Kind) -> tuple[str, list[str]]:
    """Store the entry; where, in words, and what else is to know: an older key elsewhere is removed or named."""
    from costmon.credentials import files, keyring
    from costmon.errors import CredentialError

    remarks = []
    if where == "keyring":
        try:
            keyring.write(name, entry)
        except CredentialError as error:
            raise CredentialError(f"{error}. {_other_ways(kind, name)}") from None
        if files.delete_own(name):
            remarks.append(f"The older key in {files.own_file(name)} is removed.")
        return f"the keyring ({keyring.name()})", remarks
    path = files.write_own(name, entry)
    try:
        if keyring.read(name) is not None and keyring.delete(name):
            remarks.append("The older key in the keyring is removed.")
    except CredentialError:
        pass  # no keyring, or a locked one: what is in it is looked at once it opens
    remarks += [f"{variable} is set too, and is looked at first." for variable in _set_variables(kind)]
    return path, remarks


def _polled(source: Source, kind: Kind, every_s: int, changed: bool) -> str:
    from costmon import paths
    from costmon.monitor.lock import holder
    from costmon.sources.providers.access import span

    said = (
        f"[source.{source.name}] is in {paths.config_file()}"
        if changed
        else f"[source.{source.name}] is unchanged"
    )
    if not source.enabled:
        return f"{said}; it has enabled = false, so it is not polled."
    running = "" if holder(paths.state_home()) else " while costmon or costmon watch runs (neither does now)"
    return f"{said}; {kind.title} is polled every {span(every_s)} from now on{running}."


# --- list ---


@keys.command("list")
@_JSON
def list_keys(as_json: bool) -> None:
    """Where the key of each source is.

    And to which hosts it may go, whether it is there, and which keys nobody polls with.
    """
    from costmon.cli import keys_shown
    from costmon.credentials import keyring
    from costmon.errors import CredentialError

    with keyring.together():
        try:
            ring, ring_problem = keyring.name(), ""
        except CredentialError as error:
            ring, ring_problem = "", str(error)
        rows = keys_shown.all_rows()
    if as_json:
        _print_json(
            keyring={"name": ring, "problem": ring_problem}, keys=[keys_shown.row_json(row) for row in rows]
        )
        return
    click.echo(f"Keyring: {ring_problem or ring}")
    if not rows:
        click.echo("No key and no source yet. Set one: costmon keys set openai")
        return
    keys_shown.print_rows(rows)


# --- test ---


@keys.command("test")
@click.argument("provider", required=False)
@_JSON
@click.pass_context
def test_keys(ctx: click.Context, provider: str | None, as_json: bool) -> None:
    """Ask every provider (or PROVIDER) once, with its key.

    Every one that config.toml names; all at once, each with the smallest request there is. Exits 1 if one does not answer as
    it should.
    """
    from costmon.cli import keys_tried
    from costmon.errors import ConfigError

    known = sources()
    if provider is not None and provider not in known:
        names = ", ".join(known) or "none yet; costmon keys set adds one"
        raise ConfigError(f"config.toml has no source of that name (there are: {names})")
    chosen = list(known.values()) if provider is None else [known[provider]]
    results = keys_tried.test_all(chosen, named=provider is not None)
    if as_json:
        _print_json(keys=[{"name": name, "state": state, "text": text} for name, state, text in results])
    elif not results:
        click.echo("No source yet. Set a key: costmon keys set openai")
    else:
        _print_results(results)
    if any(state not in ("ok", "skipped") for _, state, _ in results):
        ctx.exit(1)


def _print_results(results: list[tuple[str, str, str]]) -> None:
    import textwrap

    names, states = (max(len(result[column]) for result in results) for column in (0, 1))
    for name, state, text in results:
        start = f"{name:<{names}}  {state:<{states}}  "
        indent = " " * len(start)
        lines = textwrap.wrap(
            text, 80 - len(start), break_long_words=False, break_on_hyphens=False
        )  # paths stay whole: they are copied
        click.echo(start + f"\n{indent}".join(lines))


# --- rm ---


@keys.command("rm")
@click.argument("provider")
@_JSON
def remove_key(provider: str, as_json: bool) -> None:
    """Remove the key of PROVIDER.

    From the keyring and from its file; says where it still is.
    """
    from costmon.credentials import files, keyring
    from costmon.credentials.keyring import NoKeyringError
    from costmon.errors import CredentialError

    path = files.own_file(provider)
    removed = [f"the file {path}"] if files.delete_own(provider) else []
    problem = ""
    try:
        removed += ["the keyring"] if keyring.delete(provider) else []
    except NoKeyringError:
        pass
    except CredentialError as error:
        problem = str(error)
    left = _left(provider)
    if not removed and not left and not problem:
        raise CredentialError("there is no key of that name; costmon keys list shows which there are")
    remarks = _tell_engine() if removed else []
    if as_json:
        _print_json(removed=removed, still=left, problem=problem, remarks=remarks)
    else:
        if removed:
            click.echo(f"Removed the key of {provider} from {' and '.join(removed)}.")
        for text in [*(f"It is still in {place}; remove it there." for place in left), *remarks]:
            click.echo(text)
        if problem:
            click.echo(f"The keyring may still have one: {problem}.")
        if removed and provider in sources() and not left:
            click.echo(f"[source.{provider}] stays in config.toml; remove it to stop polling.")
    if problem and not removed:
        click.get_current_context().exit(1)


def _left(name: str) -> list[str]:
    """Where a key of the source still is after all of ours are removed."""
    from costmon.sources.providers import registry
    from costmon.sources.providers.protocol import SourceError

    source = sources().get(name) or bare(name)
    if source.key.startswith(("env:", "file:")):
        return [source.key.partition(":")[2]]
    try:
        return _set_variables(registry.kind(source.kind))
    except SourceError:
        return []


# --- shared ---


def _set_variables(kind: Kind) -> list[str]:
    import os

    return [name for name in kind.env if os.environ.get(name)]


def _tell_engine() -> list[str]:
    """Let a running engine look at keys and sources again; what to know when it cannot be told."""
    from costmon.cli.budget import opened
    from costmon.errors import LedgerError
    from costmon.store.queries import set_setting

    try:
        with opened() as store:
            set_setting(store.db, "keys_changed", str(store.now()))
    except LedgerError as error:
        return [f"A running costmon could not be told ({error}); start it anew."]
    return []


def _print_json(**values: object) -> None:
    click.echo(json.dumps(values, ensure_ascii=False))
