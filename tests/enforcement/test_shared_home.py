"""Who may read what costmon makes: the owner alone, unless he shares the state folder with a group on purpose."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from costmon import paths
from costmon.errors import LedgerUnusable
from costmon.shim import switch
from costmon.shim.ledger import Ledger
from costmon.shim.locks import FileLock
from costmon.shim.recorder import Recorder
from tests.shim.battery import kit

ANY_UMASK = [0o000, 0o022, 0o077]


def use_everything(home: Path) -> None:
    """A call that crosses its budget, a switch file by hand, and the reader's trace."""
    recorder = Recorder(str(home))
    kit.add_budget(home, 10)
    kit.spend(recorder, 20)
    switch.write(recorder.folder, switch.Block("app=x", "stop", by="me"))
    assert (home / "ledger.db-wal").exists()
    recorder.ledger.close()


def modes(home: Path) -> tuple[set[int], set[int]]:
    """The modes of all folders, and of all files, under `home` and of itself."""
    folders, files = set(), set()
    for folder, _, names in os.walk(home):
        folders.add(stat.S_IMODE(os.stat(folder).st_mode))
        files |= {stat.S_IMODE(os.stat(os.path.join(folder, name)).st_mode) for name in names}
    return folders, files


@pytest.fixture
def umask(request: pytest.FixtureRequest) -> Iterator[None]:
    before = os.umask(request.param)
    yield
    os.umask(before)


@pytest.mark.parametrize("umask", ANY_UMASK, indirect=True)
@pytest.mark.parametrize("mode", [None, 0o700, 0o770, 0o755, 0o2750, 0o2777])
def test_files_are_the_owners_alone(tmp_path: Path, umask: None, mode: int | None) -> None:
    """Whatever the umask, and in any folder that is not shared by group and setgid bit alone."""
    home = tmp_path / "home"
    if mode is not None:
        home.mkdir()
        home.chmod(mode)
    use_everything(home)
    folders, files = modes(home / "switch")
    # A subfolder of a setgid folder inherits the bit; the permissions are the owner's.
    assert {found & 0o777 for found in folders} == {0o700}
    assert files == {0o600}
    _, files = modes(home)
    assert stat.S_IMODE(home.stat().st_mode) == (mode or 0o700)
    assert files == {0o600}


@pytest.mark.parametrize("umask", ANY_UMASK, indirect=True)
def test_a_shared_folder_shares_what_is_in_it(tmp_path: Path, umask: None) -> None:
    """2770 on the folder makes 0660 and 2770 of everything inside, the write-ahead log too."""
    home = tmp_path / "home"
    home.mkdir()
    home.chmod(0o2770)
    use_everything(home)
    assert modes(home) == ({0o2770}, {0o660})
    assert not [name for _, _, names in os.walk(home) for name in names if name.startswith(".new-")]


def test_many_processes_make_a_shared_home_at_once(tmp_path: Path) -> None:
    """Nobody meets a file or folder without the group's rights, and no reservation goes past the ledger."""
    home = tmp_path / "home"
    home.mkdir()
    home.chmod(0o2770)

    def first_call() -> bool:
        recorder = Recorder(str(home))
        for _ in range(100):  # the ledger may be busy being made
            held = recorder.admit(kit.priced(1))
            if held is not None and held.written:
                return True
        return False

    results = [kit.forked(first_call) for _ in range(8)]
    assert all(result() for result in results)
    assert modes(home) == ({0o2770}, {0o660})


def test_a_file_made_meanwhile_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of two that make the same file the second opens the first one's."""
    tmp_path.chmod(0o2770)
    path = tmp_path / "some.lock"
    real = os.link

    def late(source: str, target: str) -> None:
        path.write_text("first")
        real(source, target)

    monkeypatch.setattr(os, "link", late)
    descriptor = paths.open_private(str(path), os.O_RDWR | os.O_CREAT)
    assert os.read(descriptor, 9) == b"first"
    os.close(descriptor)
    path.unlink()
    with pytest.raises(FileExistsError):
        paths.open_private(str(path), os.O_RDWR | os.O_CREAT | os.O_EXCL)
    assert os.listdir(tmp_path) == ["some.lock"]


PLANTED = ["ledger.db", "ledger.db-wal", "ledger.db-shm", "ledger.lock", "checkpoint.lock"]


@pytest.mark.parametrize("name", PLANTED)
def test_a_link_planted_in_a_shared_home_is_not_followed(tmp_path: Path, name: str) -> None:
    """Someone of the group who links our files to anywhere gets nothing made there, and the operator one sentence."""
    home, target = tmp_path / "home", tmp_path / "made"
    home.mkdir()
    home.chmod(0o2770)
    (home / name).symlink_to(target)
    with pytest.raises(LedgerUnusable, match=f"{name} is a symbolic link"):
        Ledger(str(home)).read(lambda db: None)
    assert not target.exists()
    (home / name).unlink()  # the control
    ledger = Ledger(str(home))
    ledger.read(lambda db: None)
    ledger.close()


@pytest.mark.parametrize("mode", [0o700, 0o2770])
def test_our_own_files_are_opened_without_following_links(tmp_path: Path, mode: int) -> None:
    """A lock that is a link is an error, whatever it leads to."""
    tmp_path.chmod(mode)
    path = tmp_path / "some.lock"
    for target in (tmp_path / "made", Path(__file__)):
        path.symlink_to(target)
        with pytest.raises(OSError, match="symbolic"):
            FileLock(str(path))
        path.unlink()
    assert not (tmp_path / "made").exists()
    FileLock(str(path)).close()  # the control


def test_an_owner_may_link_his_ledger_or_his_home(tmp_path: Path) -> None:
    """In a private home a link to the ledger, and any home that is itself a link, go on working."""
    home, elsewhere = tmp_path / "home", tmp_path / "elsewhere"
    home.mkdir(mode=0o700)
    elsewhere.mkdir(mode=0o700)
    (elsewhere / "costs.db").touch()
    (home / "ledger.db").symlink_to(elsewhere / "costs.db")
    shared, link = tmp_path / "shared", tmp_path / "link"
    shared.mkdir()
    shared.chmod(0o2770)
    link.symlink_to(shared)
    for folder in (home, link):
        ledger = Ledger(str(folder))
        assert ledger.read(lambda db: db.execute("select count(*) from event").fetchone()) == (0,)
        ledger.close()
    assert (elsewhere / "costs.db").stat().st_size > 0
