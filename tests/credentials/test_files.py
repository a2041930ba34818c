"""Keys in files: only the owner's eyes, nothing half-written, no links followed."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from costmon import paths
from costmon.credentials import Entry, Secret, files
from costmon.errors import CredentialError

ENTRY = Entry(Secret("sk-canary-1"), ("api.openai.com",))


def test_a_key_is_kept_and_removed(costmon_home: Path) -> None:
    """The folder is 0700 and the file 0600 whatever the umask; a second key replaces the first; nothing else is left."""
    before = os.umask(0)
    try:
        path = Path(files.write_own("openai", Entry(Secret("sk-older"), ("b",))))
        files.write_own("openai", ENTRY)
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert os.listdir(path.parent) == ["openai"]
    assert files.read_own("openai") == ENTRY
    assert files.own_names() == ["openai"]
    assert files.delete_own("openai")
    assert not files.delete_own("openai")
    assert files.read_own("openai") is None


def test_a_shared_home_does_not_share_its_keys(costmon_home: Path) -> None:
    """In a state home that a group may write, the keys' folder is still the owner's alone."""
    costmon_home.mkdir()
    costmon_home.chmod(0o2770)
    path = Path(files.write_own("openai", ENTRY))
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) & 0o777 == 0o700


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o622, 0o700 | 0o011])
def test_a_file_others_can_read_is_refused(costmon_home: Path, mode: int) -> None:
    """The sentence says how to mend it, and mending it helps."""
    path = files.write_own("openai", ENTRY)
    os.chmod(path, mode)
    with pytest.raises(CredentialError) as caught:
        files.read_own("openai")
    assert f"chmod 600 {path}" in str(caught.value)
    os.chmod(path, 0o600)
    assert files.read_own("openai") == ENTRY


def test_a_folder_others_can_open_is_refused(costmon_home: Path) -> None:
    """For reading and for writing."""
    files.write_own("openai", ENTRY)
    os.chmod(paths.keys_dir(), 0o755)
    for attempt in (lambda: files.read_own("openai"), lambda: files.write_own("openai", ENTRY)):
        with pytest.raises(CredentialError, match="chmod 700"):
            attempt()


def test_a_link_is_not_followed(costmon_home: Path, tmp_path: Path) -> None:
    """Neither a file of ours nor one the user names, and a FIFO hangs nothing."""
    real = Path(files.write_own("openai", ENTRY))
    (real.parent / "other").symlink_to(real)
    with pytest.raises(CredentialError, match="symbolic link"):
        files.read_own("other")
    with pytest.raises(CredentialError, match="symbolic link"):
        files.read_named(str(real.parent / "other"))
    os.mkfifo(tmp_path / "pipe", 0o600)
    with pytest.raises(CredentialError, match="not a regular file"):
        files.read_named(str(tmp_path / "pipe"))


def test_a_write_does_not_follow_a_link(costmon_home: Path, tmp_path: Path) -> None:
    """A link in a key's place is replaced; what it led to stays as it was."""
    files.write_own("openai", ENTRY)
    target = tmp_path / "target"
    target.write_text("mine")
    link = Path(paths.keys_dir()) / "xai"
    link.symlink_to(target)
    files.write_own("xai", ENTRY)
    assert not link.is_symlink()
    assert target.read_text() == "mine"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_a_file_of_somebody_else_is_refused(costmon_home: Path) -> None:
    """Its owner could read it, or put another key there."""
    path = files.write_own("openai", ENTRY)
    os.chown(path, 12345, -1)
    with pytest.raises(CredentialError, match="somebody else"):
        files.read_own("openai")


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "empty"), (b"a\nb\n", "several lines"), (b"\xff\xfe", "no text"), (b"x" * 40_000, "32,768"),
        (b"{}", "another version"), (b'{"v":1', "not JSON"), (b'{"v":1,"hosts":"a","secret":"b"}', "missing"),
    ],
)  # fmt: skip
def test_what_is_no_key_is_one_sentence(tmp_path: Path, content: bytes, says: str) -> None:
    """It names the file."""
    path = tmp_path / "key"
    path.write_bytes(content)
    path.chmod(0o600)
    with pytest.raises(CredentialError, match=says) as caught:
        files.read_named(str(path))
    assert str(caught.value).startswith(f"{path} ")


def test_a_file_of_the_users_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A bare key in one line, or an entry of ours; `~` is the home; one that is missing is named."""
    monkeypatch.setenv("HOME", str(tmp_path))
    path = tmp_path / "key"
    path.write_text("sk-bare\n")
    path.chmod(0o600)
    assert files.read_named("~/key") == Secret("sk-bare")
    path.write_text(ENTRY.document().reveal())
    assert files.read_named(str(path)) == ENTRY
    with pytest.raises(CredentialError, match="does not exist"):
        files.read_named("/nowhere/key")


def test_a_name_is_no_path(costmon_home: Path) -> None:
    """What could lead out of the folder is no name of a source."""
    for name in ("../config.toml", "a/b", ".x", "", "A", "x" * 61):
        with pytest.raises(CredentialError):
            files.delete_own(name)


def test_a_full_disk_keeps_the_old_key(costmon_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One sentence, the older key still there, and no rest of the new one."""
    path = Path(files.write_own("openai", ENTRY))
    fired = []

    def full(_: int) -> None:
        fired.append(1)
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(CredentialError, match="No space left"):
            files.write_own("openai", Entry(Secret("sk-new"), ()))
    assert fired
    assert os.listdir(path.parent) == ["openai"]
    assert files.read_own("openai") == ENTRY
