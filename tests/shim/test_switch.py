"""The kill switch: a folder of plain files in which anything odd blocks and nothing waits."""

from __future__ import annotations

import errno
import json
import os
import socket
import stat
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from costmon.errors import SpendBlocked
from costmon.shim import switch
from costmon.shim.recorder import Recorder
from costmon.shim.switch import Block
from costmon.shim.timestamps import to_iso
from tests.shim.battery import kit

NOW = 1_795_167_000_000_000
HOUR = 3600 * 1_000_000
root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root to be two users")
GOOD = {"state": "blocked", "reason": "too much", "by": "yonas", "automatic": False}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "switch"
    path.mkdir(mode=0o700)
    return path


def check(folder: Path, *scopes: str, **how: bool) -> Block | None:
    return switch.check(str(folder), scopes or ("all", "nonessential", "app=trader"), NOW, **how)


def write(folder: Path, document: object, name: str = "all") -> None:
    (folder / name).write_text(document if isinstance(document, str) else json.dumps(document))


# --- what blocks ------------------------------------------------------------------------------------------------


def test_an_empty_folder_lets_everything_through(folder: Path) -> None:
    """Nothing set, nothing blocked."""
    assert check(folder) is None


def test_a_block_says_why_who_and_since(folder: Path) -> None:
    """The refused app can print who stopped it and why."""
    switch.write(str(folder), Block("app=trader", "lunch", by="yonas", since=NOW - HOUR))
    assert check(folder) == Block("app=trader", "lunch", by="yonas", since=NOW - HOUR)
    assert check(folder, "all", "app=chatbot") is None
    assert switch.lift(str(folder), "app=trader") is True
    assert switch.lift(str(folder), "app=trader") is False
    assert check(folder) is None


def test_touch_is_enough(folder: Path) -> None:
    """`touch all` from a shell blocks at once."""
    (folder / "all").touch()
    assert check(folder) is not None


def fifo(path: Path) -> None:
    os.mkfifo(path)


def listening(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))


def huge(path: Path) -> None:
    with open(path, "wb") as file:
        file.truncate(1 << 30)


def unreadable(path: Path) -> None:
    path.touch()
    path.chmod(0)


def text(content: str | bytes) -> Callable[[Path], None]:
    def make(path: Path) -> None:
        path.write_bytes(content if isinstance(content, bytes) else content.encode())

    return make


HOSTILE: dict[str, Callable[[Path], None]] = {
    "symlink": lambda path: path.symlink_to("/etc/passwd"),
    "symlink to an open document": lambda path: (
        path.parent.joinpath("x").write_text('{"state": "open"}'), path.symlink_to("x"), None)[-1],
    "dangling": lambda path: path.symlink_to("/nowhere/at/all"),
    "loop": lambda path: path.symlink_to(path.name),
    "fifo": fifo,
    "folder": lambda path: path.mkdir(),
    "socket": listening,
    "device": lambda path: path.symlink_to("/dev/zero"),
    "1 GB": huge,
    "0 bytes": text(""),
    "NUL": text("\0" * 100),
    "bad UTF-8": text(b'{"state": "\xff\xfe"}'),
    "garbage": text("hello"),
    "cut off": text('{"state": "blocked", "until'),
    "deep": text("[" * 60_000),
    "deep reason": text('{"state": "blocked", "reason": ' + "[" * 900 + "]" * 900 + "}"),
    "a list": text("[]"),
    "a number": text("0"),
    "a string": text('"open"'),
    "null": text("null"),
    "no state": text("{}"),
    "state open": text('{"state": "open"}'),
    "state allow": text('{"state": "allow", "automatic": true, "until": "2020-01-01T00:00:00Z"}'),
    "a future version": text('{"version": 99, "state": {"is": "open"}}'),
    "a huge number": text('{"state": "blocked", "since": ' + "9" * 5000 + "}"),
    "mode 0000": unreadable,
    "UTF-16": text('{"state": "open"}'.encode("utf-16")),
}  # fmt: skip


@pytest.mark.parametrize("kind", HOSTILE)
def test_anything_odd_blocks_and_nothing_hangs(folder: Path, kind: str) -> None:
    """Whatever lies where a switch file should be stops the app, at once, and is not touched."""
    HOSTILE[kind](folder / "all")
    before = os.lstat(folder / "all")
    began = time.perf_counter()
    block = check(folder)
    took = time.perf_counter() - began
    assert block is not None
    assert block.until is None
    assert took <= 0.05
    assert os.lstat(folder / "all").st_ino == before.st_ino
    assert block in switch.blocks(str(folder))
    assert switch.lift(str(folder), "all")
    assert check(folder) is None


@root
def test_a_device_node_blocks(folder: Path) -> None:
    """A device in place of the file is not read."""
    os.mknod(folder / "all", stat.S_IFCHR | 0o600, os.makedev(1, 5))
    assert check(folder) is not None


@root
@pytest.mark.parametrize("uid", [65534, 12345])
def test_a_foreign_file_blocks(folder: Path, uid: int) -> None:
    """Another user's 'lapsed' document does not lift anything."""
    write(folder, {**GOOD, "automatic": True, "until": to_iso(NOW - HOUR)})
    os.chown(folder / "all", uid, uid)
    block = check(folder)
    assert block is not None
    assert "another user" in block.reason


@root
def test_in_a_container_root_may_block_for_a_users_folder(folder: Path) -> None:
    """The owner test compares with the folder's owner or root, not with who reads."""
    write(folder, GOOD)
    os.chown(folder, 65534, 65534)
    found = check(folder)
    assert found is not None
    assert found.intact
    os.chown(folder / "all", 65534, 65534)
    found = check(folder)
    assert found is not None
    assert found.intact


@root
def test_a_file_the_reader_may_not_read_blocks(folder: Path) -> None:
    """Mode 0000 stops an ordinary user's app too."""
    write(folder, GOOD)
    (folder / "all").chmod(0)
    folder.chmod(0o755)
    for parent in folder.parents:
        if parent != Path("/"):
            os.chmod(parent, os.stat(parent).st_mode | 0o055)

    def reader() -> tuple[bool, bool]:
        os.setgid(65534)
        os.setuid(65534)
        with pytest.raises(PermissionError):
            (folder / "all").read_bytes()  # the fault is there
        mine = switch.check(str(folder), ["all"], NOW)
        folder_closed = switch.check(str(folder.parent / "closed"), ["all"], NOW)
        return mine is not None and not mine.intact, folder_closed is not None

    closed = folder.parent / "closed"
    closed.mkdir(mode=0)
    assert kit.forked(reader)() == (True, True)


def test_a_file_where_the_folder_should_be_blocks(tmp_path: Path) -> None:
    """A switch folder replaced by a file does not free everyone."""
    path = tmp_path / "switch"
    path.touch()
    assert check(path) is not None


@pytest.mark.parametrize(
    "since", ["9999-12-31T23:59:59-12:00", "0001-01-01T00:00:00+12:00", "x" * 1000, 7, None]
)
def test_an_impossible_date_does_not_reach_the_app(
    costmon_home: Path, since: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A document with a date beyond the calendar blocks as SpendBlocked, not with an OverflowError."""
    folder = costmon_home / "switch"
    folder.mkdir(parents=True)
    write(folder, {**GOOD, "since": since, "until": since, "automatic": True})
    with pytest.raises(SpendBlocked) as blocked:
        Recorder(str(costmon_home)).admit(kit.priced(1))
    assert blocked.value.rule == "switch"


def test_a_reason_cannot_draw_on_the_terminal(folder: Path) -> None:
    """Escape codes and surrogates in a switch file do not reach whoever prints the refusal."""
    write(
        folder,
        '{"state": "blocked", "reason": "\\u001b[2J\\u202eon\\ud800", "by": "\\u009b31m", "period": "\\n"}',
    )
    found = check(folder)
    assert found is not None
    assert (found.reason, found.by, found.period) == ("[2Jon", "31m", "")
    found.reason.encode()


# --- what lapses ------------------------------------------------------------------------------------------------


def automatic(until: int, scope: str = "all", **more: bool) -> Block:
    return Block(
        scope, "spent", by="budget total", since=NOW - HOUR, until=until, period="day", automatic=True, **more
    )


@pytest.mark.parametrize(("until", "blocked"), [(NOW + 1, True), (NOW, False), (NOW - 1, False)])
def test_an_automatic_block_lapses_with_its_period(folder: Path, until: int, blocked: bool) -> None:
    """On the first microsecond of the new day the call passes and the file is gone; no monitor is needed."""
    switch.write(str(folder), automatic(until))
    assert (check(folder) is not None) is blocked
    assert (folder / "all").exists() is blocked
    assert [entry.name for entry in folder.iterdir()] == (["all"] if blocked else [])


def test_a_manual_block_never_lapses(folder: Path) -> None:
    """What a person set stays until a person lifts it, whatever date stands in it."""
    switch.write(str(folder), Block("all", "stop", by="me", until=NOW - HOUR))
    assert check(folder) is not None
    write(folder, {**GOOD, "until": "2001-01-01T00:00:00Z", "automatic": "true"})
    assert check(folder) is not None
    assert (folder / "all").exists()


def test_an_automatic_block_without_an_end_stays(folder: Path) -> None:
    """A damaged end date blocks for good rather than not at all."""
    write(folder, {**GOOD, "automatic": True, "until": "tomorrow"})
    assert check(folder) is not None


def test_a_lapsed_block_does_not_hide_another(folder: Path) -> None:
    """Yesterday's block on everything is removed, and the block on this app still holds."""
    switch.write(str(folder), automatic(NOW - 1))
    switch.write(str(folder), Block("app=trader", "stop"))
    found = check(folder)
    assert found is not None
    assert found.scope == "app=trader"
    assert not (folder / "all").exists()


@pytest.mark.parametrize("links", ["hard links", "none"])
@pytest.mark.parametrize("newer", ["manual", "empty", "symlink", "folder", "period"])
def test_a_block_set_while_a_lapsed_one_is_removed_holds(
    folder: Path, newer: str, links: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`costmon kill` in the very moment an old block is swept away is not swept away with it, on any file system."""
    if links == "none":

        def refuse(*_: object, **__: object) -> None:
            raise OSError(errno.EPERM, "no hard links here")

        monkeypatch.setattr(os, "link", refuse)
    path = folder / "all"
    if newer == "folder":
        path.mkdir()
    elif newer == "symlink":
        path.symlink_to("/nowhere")
    elif newer == "empty":
        path.touch()
    elif newer == "manual":
        switch.write(str(folder), Block("all", "stop"))
    else:
        switch.write(str(folder), automatic(NOW + HOUR))
    switch.remove_lapsed(str(folder), "all", NOW)
    assert check(folder) is not None


def test_a_read_only_folder_is_obeyed(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a lapsed file cannot be removed the call passes all the same."""
    switch.write(str(folder), automatic(NOW - 1))

    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.EROFS, "read-only")

    monkeypatch.setattr(os, "rename", refuse)
    assert check(folder) is None
    assert (folder / "all").exists()


# --- who is exempt ----------------------------------------------------------------------------------------------


def test_essential_apps_pass_where_they_may(folder: Path) -> None:
    """At 95 % the chatbot goes on; at 100 %, or when a person says stop, it does not."""
    switch.write(str(folder), Block("nonessential", "95 %"))
    switch.write(str(folder), automatic(NOW + HOUR, "app=trader", exempts_essential=True))
    assert check(folder) is not None
    assert check(folder, essential=True) is None
    (folder / "nonessential").unlink()
    assert check(folder) is not None
    assert check(folder, essential=True) is None
    switch.write(str(folder), Block("app=trader", "stop"))
    assert check(folder, essential=True) is not None
    switch.write(str(folder), Block("all", "stop"))
    assert check(folder, "all", essential=True) is not None


def test_the_default_folder_may_be_missing_a_named_one_may_not(
    costmon_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A mount that did not come up stops the app; a machine without a switch does not."""
    assert check(costmon_home / "switch") is None
    missing = tmp_path / "mount"
    assert check(missing, explicit=True) is not None
    kit.spend(Recorder(str(costmon_home)), 1)
    monkeypatch.setenv("COSTMON_SWITCH", str(missing))
    for _ in range(2):  # looking must not create it
        with pytest.raises(SpendBlocked, match="is missing"):
            kit.spend(Recorder(str(costmon_home)), 1)
    assert not missing.exists()
    missing.mkdir()
    switch._touched.clear()  # a minute later
    kit.spend(Recorder(str(costmon_home)), 1)
    assert (missing / "readers").is_dir()


# --- names ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("scope", "name"),
    [
        ("all", "all"),
        ("provider=openai", "provider=openai"),
        ("model=gpt-4.1_mini", "model=gpt-4.1_mini"),
        ("app=Trader", "app=%54rader"),
        ("app=../../etc/passwd", "app=..%2F..%2Fetc%2Fpasswd"),
        ("route=/v1/chat?x=1", "route=%2Fv1%2Fchat%3Fx%3D1"),
        ("app=a b\n\0", "app=a%20b%0A%00"),
        ("app=가", "app=%EA%B0%80"),
        ("app=~x", "app=%7Ex"),
        ("app=\ud800", "app=%ED%A0%80"),
        ("app=-rf", "app=-rf"),
    ],
)
def test_a_scope_has_one_plain_name(folder: Path, scope: str, name: str) -> None:
    """Any app name becomes a file name that any shell can spell, inside the folder."""
    assert switch.scope_file(scope) == name
    switch.write(str(folder), Block(scope, "x"))
    assert [entry.name for entry in folder.iterdir()] == [name]
    assert check(folder, scope) is not None


@given(st.text(st.characters(), min_size=1, max_size=300))
def test_names_stay_short_plain_and_apart(value: str) -> None:
    """No app name escapes the folder, is too long for it, or shares another's switch."""
    name = switch.scope_file(f"app={value}")
    assert len(name) <= 128
    assert "/" not in name
    assert name not in (".", "..")
    assert name.isascii()
    assert switch.scope_file(f"app={value}!") != name


@pytest.mark.parametrize("scope", ["", "app", "app=", "=x", "user=x", "ALL", "all ", "../all", "app/x"])
def test_what_is_no_scope_is_refused(scope: str) -> None:
    """A misspelt scope is an error with the right spellings in it, not a block of nothing."""
    with pytest.raises(ValueError, match="is not a scope"):
        switch.scope_file(scope)


def test_a_long_scope_is_listed_and_lifted_like_any_other(folder: Path) -> None:
    """A block on a model with a hashed name shows on the screen."""
    scope = "model=" + "m" * 500
    switch.write(str(folder), Block(scope, "x", automatic=True, until=NOW + HOUR))
    assert check(folder, scope) is not None
    assert [block.scope for block in switch.blocks(str(folder))] == [scope]
    assert switch.lift(str(folder), scope)


def test_a_listing_skips_what_is_no_scope(folder: Path) -> None:
    """Stray files, the readers' traces and forged hashes do not show as blocks."""
    switch.touch_reader(str(folder), "trader")
    for name in (
        "README",
        ".new-1-aa",
        "user=x",
        "app=",
        "app=Trader",
        "app=%zz",
        "app=%2e",
        "app=~" + "0" * 64,
    ):
        (folder / name).write_text(json.dumps({**GOOD, "scope": "app=forged"}))
    os.mkfifo(folder / "app=~fifo")
    (folder / b"app=\xff".decode(errors="surrogateescape")).touch()
    assert switch.blocks(str(folder)) == []


# --- writing ----------------------------------------------------------------------------------------------------


def test_files_are_private_under_any_umask(tmp_path: Path) -> None:
    """Under umask 000 nobody else can lift or plant a block, nor rename the folder."""
    folder = tmp_path / "a" / "b" / "switch"

    def make() -> None:
        os.umask(0)
        switch.write(str(folder), Block("all", "x"))
        switch.touch_reader(str(folder), "app")

    kit.forked(make)()
    found = {
        path.relative_to(tmp_path).as_posix(): stat.S_IMODE(path.lstat().st_mode)
        for path in tmp_path.rglob("*")
    }
    assert found == {
        "a": 0o700, "a/b": 0o700, "a/b/switch": 0o700, "a/b/switch/all": 0o600, "a/b/switch/readers": 0o700,
        "a/b/switch/readers/app": 0o600,
    }  # fmt: skip


def test_a_full_disk_leaves_the_old_block_whole(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A block that cannot be written is an error, not half a file, and no litter stays."""
    switch.write(str(folder), Block("all", "first"))
    real = os.write
    monkeypatch.setattr(os, "write", lambda descriptor, data: real(descriptor, data[:10]))
    with pytest.raises(OSError, match="space"):
        switch.write(str(folder), Block("all", "second"))
    monkeypatch.undo()
    found = check(folder)
    assert found is not None
    assert found.reason == "first"
    assert os.listdir(folder) == ["all"]


def test_a_block_replaces_whatever_is_there(folder: Path) -> None:
    """`costmon kill` works over a symlink (whose target it leaves alone), a FIFO and an empty folder."""
    target = folder.parent / "target"
    target.write_text("precious")
    for make in (lambda p: p.symlink_to(target), fifo, lambda p: p.mkdir()):
        make(folder / "all")
        switch.write(str(folder), Block("all", "stop"))
        found = check(folder)
        assert found is not None
        assert found.reason == "stop"
        (folder / "all").unlink()
    assert target.read_text() == "precious"


@settings(max_examples=50)
@given(
    reason=st.text(st.characters(), max_size=600),
    since=st.integers(0, 253_402_300_799_999_999),
    exempts=st.booleans(),
    auto=st.booleans(),
)
def test_what_is_written_is_what_is_read(
    tmp_path_factory: pytest.TempPathFactory, reason: str, since: int, exempts: bool, auto: bool
) -> None:
    """A block reads back as it was set."""
    folder = str(tmp_path_factory.mktemp("s"))
    block = Block(
        "all", reason, since=since, until=since if auto else None, automatic=auto, exempts_essential=exempts
    )
    switch.write(folder, block)
    found = switch.read(folder, "all")
    assert found is not None
    assert found._replace(reason="") == block._replace(reason="")


# --- readers ----------------------------------------------------------------------------------------------------


def test_readers_leave_a_trace_once_a_minute(folder: Path) -> None:
    """The screen can say which app looked at the switch, and when."""
    before = kit.now_us()
    for app in ("trader", "chat bot/1", "trader"):
        switch.touch_reader(str(folder), app)
    found = dict(switch.readers(str(folder)))
    assert set(found) == {"trader", "chat bot/1"}
    assert all(before - 10_000 <= at <= kit.now_us() for at in found.values())
    os.utime(folder / "readers" / "trader", (1, 1))
    switch.touch_reader(str(folder), "trader")
    assert dict(switch.readers(str(folder)))["trader"] == 1_000_000


@pytest.mark.parametrize("kind", ["fifo", "symlink", "folder", "dangling", "socket"])
def test_a_hostile_trace_cannot_stop_the_app(folder: Path, kind: str, tmp_path: Path) -> None:
    """A FIFO planted as a reader's trace does not hang every call of that app."""
    (folder / "readers").mkdir()
    canary = tmp_path / "canary"
    canary.touch()
    os.utime(canary, (1, 1))
    path = folder / "readers" / "trader"
    {"fifo": fifo, "symlink": lambda p: p.symlink_to(canary), "folder": lambda p: p.mkdir(),
     "dangling": lambda p: p.symlink_to(tmp_path / "made"), "socket": listening}[kind](path)  # fmt: skip
    began = time.perf_counter()
    switch.touch_reader(str(folder), "trader")
    assert time.perf_counter() - began < 0.5
    assert canary.stat().st_mtime == 1
    assert not (tmp_path / "made").exists()


@pytest.mark.parametrize("app", ["..", ".", "../../x", "/etc/passwd", "\0", "a" * 5000, "-"])
def test_an_app_name_stays_among_the_readers(folder: Path, app: str) -> None:
    """No app name writes outside the readers' folder."""
    switch.touch_reader(str(folder), app)
    assert os.listdir(folder) == ["readers"]
    assert len(os.listdir(folder.parent)) == 1


def test_many_app_names_do_not_fill_the_memory(folder: Path) -> None:
    """A host that labels every customer as an app of its own does not leak."""
    for number in range(2500):
        switch.touch_reader(str(folder), f"customer-{number}")
    assert len(switch._touched) <= 1000


# --- cost -------------------------------------------------------------------------------------------------------


def test_a_check_costs_next_to_nothing(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Looking at the switch on every call is not felt."""
    switch.write(str(folder), Block("app=other", "x"))
    scopes = switch.scopes_of("openai", "gpt-4o-mini", "trader", "/chat", "job")
    took = []
    for _ in range(2000):
        began = time.perf_counter()
        assert switch.check(str(folder), scopes, NOW) is None
        took.append(time.perf_counter() - began)
    median = sorted(took)[1000] * 1e6
    with capsys.disabled():
        print(f"\nswitch check, 7 scopes: median {median:.1f} µs")
    assert median <= 200
