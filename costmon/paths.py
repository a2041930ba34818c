"""Where costmon keeps its files.

`COSTMON_HOME` puts state and config into one folder (tests, the demo, containers). Without it the state home is
`$XDG_STATE_HOME/costmon` and the config home `$XDG_CONFIG_HOME/costmon` on Linux (XDG Base Directory Specification
0.8), `~/Library/Application Support/costmon` on macOS, and `%LOCALAPPDATA%\\costmon` on Windows.

Files and folders are their owner's alone, except in a state home that its owner shares with a group (`is_shared`).

Plain strings and `os.path`: a wrapped app pays for every import of this module.
"""

from __future__ import annotations

import os
import sys

APP = "costmon"
LEDGER = "ledger.db"
ENGINE_LOCK = "engine.lock"
_PACKAGE = os.path.dirname(os.path.abspath(__file__))


def state_home() -> str:
    """The folder of the ledger, the switch and the locks; containers mount this one."""
    return os.environ.get("COSTMON_HOME") or os.path.join(_base("XDG_STATE_HOME", ".local/state"), APP)


def config_home() -> str:
    """The folder of config.toml, prices.toml and the user's themes."""
    return os.environ.get("COSTMON_HOME") or os.path.join(_base("XDG_CONFIG_HOME", ".config"), APP)


def tokenizer_dir() -> str:
    """The folder of the rank files `costmon tokenizer install` puts there, below `$XDG_DATA_HOME` on Linux."""
    home = os.environ.get("COSTMON_HOME") or os.path.join(_base("XDG_DATA_HOME", ".local/share"), APP)
    return os.path.join(home, "tokenizer")


def ledger_file(home: str | None = None) -> str:
    return os.path.join(home or state_home(), LEDGER)


def config_file() -> str:
    return os.path.join(config_home(), "config.toml")


def keys_dir() -> str:
    """The folder of the keys that are kept in files; containers never mount it."""
    return os.path.join(config_home(), "keys")


def user_prices_file() -> str:
    return os.path.join(config_home(), "prices.toml")


def switch_dir(home: str | None = None) -> str:
    """The kill switch's folder: `COSTMON_SWITCH` if set, else `switch/` in the state home."""
    return os.environ.get("COSTMON_SWITCH") or os.path.join(home or state_home(), "switch")


def bundled(name: str) -> str:
    """The `pricing` or `themes` folder: inside the package in a wheel, beside it in a checkout."""
    packaged = os.path.join(_PACKAGE, "_data", name)
    return packaged if os.path.isdir(packaged) else os.path.join(os.path.dirname(_PACKAGE), name)


def make_private(folder: str) -> str:
    """Create `folder` and its missing parents readable by their owner alone, or by the group of a shared parent; an
    existing one keeps its mode."""
    parent = os.path.dirname(os.path.abspath(folder))
    if not os.path.isdir(parent):
        make_private(parent)  # os.makedirs would leave the parents to the umask
    if is_shared(parent) and not os.path.isdir(folder):
        _make_shared(folder, parent)
        return folder
    try:
        os.mkdir(folder, 0o700)
    except FileExistsError:
        if not os.path.isdir(folder):
            raise
    return folder


def is_shared(folder: str) -> bool:
    """Whether `folder` is shared with its group: group-writable with the setgid bit (2770), and not writable by others.

    What is made in it is then for the group too, so that containers with different users can use one state home.
    """
    try:
        return os.stat(folder or ".").st_mode & 0o2022 == 0o2020
    except OSError:
        return False


def open_private(path: str, flags: int) -> int:
    """`os.open`, where a new file is for its owner alone (0600), or for the group as well (0660) in a shared folder.

    A symbolic link is never followed (OSError): in a shared folder anyone of the group can plant one to anywhere.
    """
    flags |= getattr(os, "O_NOFOLLOW", 0)
    folder = os.path.dirname(path)
    if os.path.lexists(path) or not is_shared(folder):
        return os.open(path, flags, 0o600)
    # Under another name first: the umask takes the group's right to write, and nobody may meet the file without it.
    temporary = os.path.join(folder, _new_name())
    descriptor = os.open(temporary, flags | os.O_EXCL, 0o600)
    try:
        os.fchmod(descriptor, 0o660)
        os.link(temporary, path)
    except BaseException as error:
        os.close(descriptor)
        if isinstance(error, FileExistsError) and not flags & os.O_EXCL:
            return os.open(path, flags, 0o600)
        raise
    finally:
        os.unlink(temporary)
    return descriptor


def _make_shared(folder: str, parent: str) -> None:
    """Like `open_private`, for a folder; one that somebody else makes meanwhile stays."""
    temporary = os.path.join(parent, _new_name())
    os.mkdir(temporary, 0o700)
    os.chmod(temporary, 0o2770)  # noqa: S103 - for the group, as its parent is
    try:
        os.rename(temporary, folder)
    except OSError:
        os.rmdir(temporary)
        if not os.path.isdir(folder):
            raise


def _new_name() -> str:
    return f".new-{os.getpid()}-{os.urandom(6).hex()}"


def _base(variable: str, below_home: str) -> str:
    if sys.platform == "win32":
        return os.environ.get("LOCALAPPDATA") or os.path.expanduser("~\\AppData\\Local")
    if sys.platform == "darwin":
        return os.path.expanduser("~/Library/Application Support")
    value = os.environ.get(variable, "")
    # The specification says a relative path must be ignored.
    return value if os.path.isabs(value) else os.path.join(os.path.expanduser("~"), below_home)
