"""`costmon keys`: set, list, test, rm, against a provider that answers on loopback."""

from __future__ import annotations

import json
import sqlite3
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from costmon import config, paths
from costmon.cli import main
from costmon.cli.keys_config import with_source
from costmon.credentials import Entry, Secret, files, keyring
from costmon.credentials.keyring import NoKeyringError
from costmon.errors import CredentialError
from costmon.sources.providers import registry
from tests.sources.providers.fake import Answer
from tests.sources.providers.fake.openai import FAKE, error
from tests.sources.providers.fake.server import Server


@pytest.fixture
def provider() -> Iterator[Server]:
    with Server(FAKE) as server:
        yield server


@pytest.fixture(autouse=True)
def ring(monkeypatch: pytest.MonkeyPatch) -> dict[str, Entry]:
    """A keyring in memory; the real ones have tests of their own."""
    entries: dict[str, Entry] = {}
    monkeypatch.setattr(keyring, "name", lambda: "Secret Service")
    monkeypatch.setattr(keyring, "read", lambda user, *, ask=False: entries.get(user))
    monkeypatch.setattr(keyring, "write", entries.__setitem__)
    monkeypatch.setattr(keyring, "delete", lambda user: entries.pop(user, None) is not None)
    for name in registry.names():
        for variable in registry.kind(name).env:
            monkeypatch.delenv(variable, raising=False)
    return entries


@pytest.fixture
def no_ring(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine without a keyring."""

    def fail(*_: object, **__: object) -> None:
        raise NoKeyringError("there is no keyring on this machine")

    for name in ("name", "read", "write", "delete"):
        monkeypatch.setattr(keyring, name, fail)


def keys(*arguments: str, key: str = "") -> Result:
    """`costmon keys ARGUMENTS` with `key` on standard input."""
    return CliRunner().invoke(main, ["keys", *arguments], input=key)


def joined(result: Result) -> str:
    """What was said, without the line breaks of 80 columns."""
    return " ".join(result.output.split())


def set_openai(server: Server, *more: str, key: str = FAKE.key) -> Result:
    return keys("set", "openai", "--base-url", server.url, *more, key=key + "\n")


def test_a_key_is_tried_stored_and_polled(
    provider: Server, ring: dict[str, Entry], costmon_home: Path
) -> None:
    """One real call, then the keyring, then config.toml, then a note to a running engine."""
    done = set_openai(provider)
    assert done.exit_code == 0, done.output
    host = provider.url
    assert ring["openai"] == Entry(Secret(FAKE.key), (host,))
    assert (
        f"The key works and is stored in the keyring (Secret Service); it goes only to {host}." in done.output
    )
    assert (
        "OpenAI is polled every 10 min from now on while costmon or costmon watch runs (neither does now)."
        in done.output
    )
    assert len(provider.journal) == 1
    (source,) = config.load(paths.config_file()).sources
    assert (source.name, source.base_url, source.enabled) == ("openai", provider.url, True)
    told = (
        sqlite3.connect(paths.ledger_file())
        .execute("select value from setting where key = 'keys_changed'")
        .fetchone()
    )
    assert int(told[0]) > 1_700_000_000_000_000


def test_json_says_the_same(provider: Server) -> None:
    told = json.loads(set_openai(provider, "--json").output)
    assert told["source"] == "openai"
    assert (told["verified"], told["every_s"], told["config_changed"]) == (True, 600, True)
    assert told["hosts"] == [provider.url]


@pytest.mark.parametrize(
    ("key", "says"),
    [
        ("sk-admin-mistyped", "OpenAI does not know the key"),
        (
            FAKE.wrong_key,
            "this is a project key, which may call models but not read costs; OpenAI needs an Admin key",
        ),
        ("", "the key on standard input is empty"),
        ("one\ntwo", "the key on standard input has several lines"),
        ("sk-\x07", "control characters"),
    ],
)
def test_a_key_that_cannot_work_is_not_stored(
    provider: Server, ring: dict[str, Entry], costmon_home: Path, key: str, says: str
) -> None:
    """One sentence, exit code 2, and nothing changed anywhere; the key is not repeated."""
    done = set_openai(provider, key=key)
    assert done.exit_code == 2
    assert done.output.startswith("costmon: ")
    assert done.output.count("\n") == 1
    assert says in done.output
    assert not key or key not in done.output
    assert ring == {}
    assert not (costmon_home / "config.toml").exists()


def test_a_missing_scope_is_named(provider: Server) -> None:
    """What the provider says is missing, in our own words, and what to do."""
    provider.faults.append(error(403, "You have insufficient permissions. Missing scopes: api.usage.read."))
    done = set_openai(provider)
    assert done.exit_code == 2
    assert "api.usage.read" in done.output
    assert "Nothing was stored" in done.output


def test_a_provider_that_is_down_stores_nothing_unless_told_to(
    provider: Server, ring: dict[str, Entry]
) -> None:
    """The way around is named, and works."""
    provider.faults.append(Answer(b"<html>", 503))
    done = set_openai(provider)
    assert done.exit_code == 2
    assert "--no-verify stores it anyway" in done.output
    assert ring == {}
    done = set_openai(provider, "--no-verify")
    assert "The key was not tried and is stored" in done.output
    assert ring["openai"].secret == Secret(FAKE.key)
    assert len(provider.journal) == 1


def test_a_key_on_the_command_line_is_refused_and_not_repeated(provider: Server) -> None:
    """As an argument, as PROVIDER, or as an option's value."""
    canary = "sk-ant-api03-Canary0123456789"
    for arguments in (
        ["set", "openai", canary], ["set", canary], ["set", "openai", "--option", canary],
        ["set", canary, "--kind", "openai"], ["set", canary.lower()], ["rm", canary], ["test", canary],
        ["set", "work", "--kind", canary.lower()], ["set", "openai", "--kind", canary],
        ["set", "openai", "--base-url", canary], ["set", "openai", "--base-url", f"https://{canary}@api.openai.com"],
        ["set", "openai", "--option", f"{canary.replace('-', '_')}=x"], ["set", "openai", "--option", f"{canary}=x"],
    ):  # fmt: skip
        done = keys(*arguments)
        assert done.exit_code == 2, arguments
        assert "canary0123" not in done.output.lower(), arguments
    assert "never given on the command line" in keys("set", "openai", canary).output


def test_no_keyring_says_what_to_do_before_asking(no_ring: None) -> None:
    """A file or a variable."""
    done = keys("set", "openai", key=FAKE.key)
    assert done.exit_code == 2
    assert (
        "there is no keyring on this machine. Or: costmon keys set openai --where file; or set OPENAI_ADMIN_KEY"
        in done.output
    )


def test_a_key_in_a_file(provider: Server, no_ring: None, costmon_home: Path) -> None:
    """Only its owner can read it; it is found, listed, tried and removed."""
    done = set_openai(provider, "--where", "file")
    assert done.exit_code == 0, done.output
    path = costmon_home / "keys" / "openai"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert keys("test").output == "openai  ok  OpenAI answers\n"
    listed = json.loads(keys("list", "--json").output)
    assert listed["keyring"] == {"name": "", "problem": "there is no keyring on this machine"}
    assert listed["keys"] == [
        {
            "name": "openai", "kind": "openai", "configured": True, "enabled": True, "where": "file",
            "hosts": [provider.url], "problem": "",
            "places": [{"where": "file", "detail": str(path), "hosts": [provider.url], "problem": ""}],
        }
    ]  # fmt: skip
    path.chmod(0o644)
    assert f"chmod 600 {path}" in joined(keys("test"))
    assert keys("rm", "openai").exit_code == 0
    assert not path.exists()
    assert keys("test").exit_code == 1


def test_the_newer_place_wins(provider: Server, ring: dict[str, Entry]) -> None:
    """A key that is stored elsewhere anew is not shadowed by the older one."""
    set_openai(provider)
    done = set_openai(provider, "--where", "file")
    assert "The older key in the keyring is removed." in done.output
    assert ring == {}
    done = set_openai(provider)
    assert "keys/openai is removed" in done.output
    assert files.own_names() == []


def test_a_stored_key_goes_to_no_other_host(provider: Server, costmon_home: Path) -> None:
    """After base_url was edited the key stays here: nothing is sent, and the sentence says how to allow it."""
    set_openai(provider)
    file = costmon_home / "config.toml"
    with Server(FAKE) as other:
        file.write_text(file.read_text().replace(provider.url, other.url))
        done = keys("test")
        assert done.exit_code == 1
        assert f"is bound to {provider.url} and does not go to {other.url}" in joined(done)
        assert other.journal == []
        assert set_openai(other).exit_code == 0
        assert keys("test").exit_code == 0


def test_config_keeps_its_comments_and_its_section(provider: Server, costmon_home: Path) -> None:
    """A section that is there stays as it is, but for what the command was told."""
    costmon_home.mkdir()
    file = costmon_home / "config.toml"
    text = f'# mine\n[source.openai] # ours\nbase_url = "{provider.url}"\nevery = "30m" # slow\n\n# last\n[tui]\n'
    file.write_text(text)
    done = keys("set", "openai", key=FAKE.key)
    assert done.exit_code == 0, done.output
    assert file.read_text() == text
    assert "is unchanged; OpenAI is polled every 30 min" in done.output


def test_a_broken_config_is_told_before_the_key_is_asked_for(
    ring: dict[str, Entry], costmon_home: Path
) -> None:
    costmon_home.mkdir()
    (costmon_home / "config.toml").write_text("source = 3\n")
    done = keys("set", "openai", key=FAKE.key)
    assert done.exit_code == 2
    assert "config.toml, line 1: source must be a table" in done.output
    assert ring == {}


def test_a_section_that_names_another_place_is_not_shadowed(
    ring: dict[str, Entry], costmon_home: Path
) -> None:
    """The stored key would not be used: that is said instead of storing it."""
    costmon_home.mkdir()
    (costmon_home / "config.toml").write_text('[source.openai]\nkey = "env:MY_KEY"\n')
    done = keys("set", "openai", key=FAKE.key)
    assert done.exit_code == 2
    assert 'says key = "env:MY_KEY", so a stored key would not be used' in done.output
    assert ring == {}


def test_what_a_provider_must_be_told(ring: dict[str, Entry], costmon_home: Path) -> None:
    """Missing options are named with where to find them; given ones go into the section."""
    done = keys("set", "azure", key="x")
    assert done.exit_code == 2
    assert "--option tenant=…" in done.output
    options = [
        part for name in ("tenant", "client_id", "subscription") for part in ("--option", f"{name}=id-{name}")
    ]
    done = keys("set", "azure", "--no-verify", *options, key="secret")
    assert done.exit_code == 0, done.output
    (source,) = config.load(paths.config_file()).sources
    assert source.options == {name: f"id-{name}" for name in ("tenant", "client_id", "subscription")}
    assert ring["azure"].hosts == ("management.azure.com", "login.microsoftonline.com")
    assert 'did you mean "tenant"' in keys("set", "azure", "--option", "tenat=1", key="x").output


def test_a_second_account(provider: Server, ring: dict[str, Entry]) -> None:
    """A name of one's own with --kind."""
    done = keys("set", "work", "--kind", "openai", "--base-url", provider.url, key=FAKE.key)
    assert done.exit_code == 0, done.output
    (source,) = config.load(paths.config_file()).sources
    assert (source.name, source.kind) == ("work", "openai")
    assert "work" in ring


def test_list_shows_where_each_key_is(
    provider: Server, ring: dict[str, Entry], costmon_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Sources of the file first, then keys nobody polls with; never a part of a key; within 80 columns."""
    set_openai(provider)
    file = costmon_home / "config.toml"
    file.write_text(file.read_text() + '\n[source.xai]\nteam = "t"\nenabled = false\n')
    monkeypatch.setenv("DEEPSEEK_API_KEY", "canary-0123456789")
    ring["deepgram"] = Entry(Secret("canary-0123456789"), ("api.deepgram.com",))
    shown = keys("list").output
    lines = shown.splitlines()
    assert lines[0] == "Keyring: Secret Service"
    assert [line.split()[0] for line in lines[2:6]] == ["openai", "xai", "deepseek", "deepgram"]
    assert "DEEPSEEK_API_KEY" in shown
    assert "deepseek: not polled: there is no [source.deepseek]" in shown
    assert "canary" not in shown
    assert "456789" not in shown
    assert FAKE.key not in shown
    assert max(map(len, lines)) <= 80


def test_a_key_is_removed_and_where_it_still_is_is_said(
    provider: Server, ring: dict[str, Entry], monkeypatch: pytest.MonkeyPatch
) -> None:
    set_openai(provider)
    monkeypatch.setenv("OPENAI_ADMIN_KEY", "x")
    done = keys("rm", "openai")
    assert done.exit_code == 0
    assert "Removed the key of openai from the keyring." in done.output
    assert "It is still in OPENAI_ADMIN_KEY; remove it there." in done.output
    assert ring == {}
    monkeypatch.delenv("OPENAI_ADMIN_KEY")
    done = keys("rm", "openai")
    assert done.exit_code == 2
    assert "there is no key of that name" in done.output


def test_a_keyring_that_does_not_answer_may_still_have_it(
    provider: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file is removed; of the keyring nothing is claimed."""

    def silent(user: str) -> bool:
        raise CredentialError("the keyring has not answered for 5 s; unlock it and try again")

    set_openai(provider, "--where", "file")
    monkeypatch.setattr(keyring, "delete", silent)
    done = keys("rm", "openai")
    assert "Removed the key of openai from the file" in done.output
    assert "The keyring may still have one: the keyring has not answered" in done.output


def test_doctor_tells_of_keys(provider: Server) -> None:
    """What keeps them, and which source lacks its own."""
    set_openai(provider)
    said = CliRunner().invoke(main, ["doctor"]).output
    assert "the keyring (Secret Service) answers; 1 of 1 sources have what they need" in said
    keys("rm", "openai")
    said = CliRunner().invoke(main, ["doctor"]).output
    assert "WRONG  keys" in said
    assert "costmon keys set openai" in said


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("", '[source.x]\nteam = "t"\n'),
        ("[tui]\n", '[tui]\n\n[source.x]\nteam = "t"\n'),
        ("[source.x]\n# a\n\n# of b\n[tui]\n", '[source.x]\nteam = "t"\n# a\n\n# of b\n[tui]\n'),
        ('[source.x]\nteam = "o" # c\n', '[source.x]\nteam = "t" # c\n'),
        ('[source.x]\nevery = "1h"\n[tui]\n', '[source.x]\nevery = "1h"\nteam = "t"\n[tui]\n'),
        ('[source]\nx = {every = "1h"}\n', '[source]\nx = {every = "1h",team = "t"}\n'),
    ],
)
def test_the_section_is_written_where_a_person_would(before: str, after: str) -> None:
    assert with_source(before, "x", {"team": "t"}) == after
