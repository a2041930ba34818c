"""The system's keyring: which one counts, and how an entry is read, written and removed.

Only backends that keep what they are given behind the user's login count. A chain of backends stands for those of its
members that count. One that the user chose (PYTHON_KEYRING_BACKEND, keyringrc.cfg) and that does not count is refused, not
replaced. Plugins of other packages are never loaded.

Facts: keyring 25.7, SecretStorage 3.5. A stuck or locked service blocks without limit: every call goes through `patience`.
"""

from __future__ import annotations

import configparser
import logging
import os
import sys
from contextlib import AbstractContextManager, closing
from importlib import import_module
from typing import TYPE_CHECKING

from costmon.credentials.entry import Entry, parse_entry
from costmon.credentials.patience import OutOfReachError, Patience
from costmon.credentials.secret import Secret
from costmon.errors import CredentialError

if TYPE_CHECKING:
    from keyring.backend import KeyringBackend

SERVICE = "costmon"
_ADVICE = "unlock it and try again"
_TOGETHER_S = 4.0
_LINUX = "keyring.backends.SecretService.Keyring"
ALLOWED = {
    _LINUX: "Secret Service",
    "keyring.backends.libsecret.Keyring": "libsecret",
    "keyring.backends.kwallet.DBusKeyring": "KWallet",
    "keyring.backends.kwallet.DBusKeyringKWallet4": "KWallet 4",
    "keyring.backends.macOS.Keyring": "macOS Keychain",
    "keyring.backends.Windows.WinVaultKeyring": "Windows Credential Manager",
}
"""What counts, with the name people know it by."""
_CHAIN = "keyring.backends.chainer.ChainerBackend"


class NoKeyringError(CredentialError):
    """There is none on this machine, or none that counts: nothing is stored there, and nothing can be."""


_patience = Patience("the keyring", _ADVICE)


def together() -> AbstractContextManager[None]:
    """Inside, all questions together wait 4 s at most: for a list of sources, whose number must not be felt."""
    return _patience.together(_TOGETHER_S)


def name() -> str:
    """The name of the keyring that is used. Raises CredentialError: none counts, or it does not answer."""
    return _patience.call(_name)


def read(user: str, *, ask: bool = False) -> Entry | None:
    """The entry of a source, None if there is none; `ask`: the keyring may open a window to be unlocked.

    Raises CredentialError, as do all of these.
    """
    return _patience.call(lambda: _read(user, ask))


async def read_async(user: str) -> Entry | None:
    """The same for an event loop; it never opens a window."""
    return await _patience.call_async(lambda: _read(user, False))


def write(user: str, entry: Entry) -> None:
    """Store the entry of a source in place of an older one, and make sure that it is there."""
    _patience.call(lambda: _write(user, entry))


def delete(user: str) -> bool:
    """Remove the entry of a source; whether there was one."""
    return _patience.call(lambda: _delete(user))


# --- in the thread; errors are returned, so that none carries a frame with a key in it ---


def _name() -> str | CredentialError:
    chosen = _chosen()
    return chosen if isinstance(chosen, CredentialError) else ALLOWED[_path(chosen)]


def _read(user: str, ask: bool) -> Entry | CredentialError | None:
    chosen = _chosen()
    if isinstance(chosen, CredentialError):
        return chosen
    closed = _closed(chosen)
    if closed == "empty":
        return None
    if closed == "locked" and not ask:
        return _locked()
    try:
        text = chosen.get_password(SERVICE, user)
    except Exception as error:
        failed = type(error).__name__
    else:
        return None if text is None else _entry(Secret(text), user)
    return _failure(failed)


def _write(user: str, entry: Entry) -> CredentialError | None:
    chosen = _chosen()
    if isinstance(chosen, CredentialError):
        return chosen
    try:
        chosen.set_password(SERVICE, user, entry.document().reveal())
        text = chosen.get_password(SERVICE, user)
    except Exception as error:
        return _failure(type(error).__name__)
    found = None if text is None else _entry(Secret(text), user)
    if found != entry:
        return CredentialError(
            f"the keyring ({_path(chosen)}) did not keep the key; use --where file instead"
        )
    return None


def _delete(user: str) -> bool | CredentialError:
    chosen = _chosen()
    if isinstance(chosen, CredentialError):
        return chosen
    if _closed(chosen) == "empty":
        return False
    try:
        if chosen.get_password(SERVICE, user) is None:
            return False
        chosen.delete_password(SERVICE, user)
    except Exception as error:
        return _failure(type(error).__name__)
    return True


def _entry(document: Secret, user: str) -> Entry | CredentialError:
    try:
        return parse_entry(document, f"the keyring's entry for {user}")
    except CredentialError as error:
        return CredentialError(str(error))


def _chosen() -> KeyringBackend | CredentialError:
    """The user's own choice if it counts, else the best that is there."""
    try:
        return _choice()
    except TimeoutError:
        return OutOfReachError(
            "the keyring is out of reach: the session bus does not answer; log in anew and try again"
        )


def _choice() -> KeyringBackend | CredentialError:
    # Without a handler the library's remarks would land on the screen.
    logging.getLogger("keyring").addHandler(logging.NullHandler())
    wanted = _wanted()
    if wanted in ("", _CHAIN):
        return _best() or NoKeyringError("there is no keyring on this machine")
    if wanted not in ALLOWED:
        return NoKeyringError(
            f"the keyring chosen by PYTHON_KEYRING_BACKEND or keyringrc.cfg ({wanted}) is none that costmon trusts "
            "with a key"
        )
    return _made(wanted) or NoKeyringError(
        f"the keyring chosen by PYTHON_KEYRING_BACKEND or keyringrc.cfg ({wanted}) is not on this machine"
    )


def _wanted() -> str:
    """The path of the backend that the user chose for all programs, '' if none; nothing is loaded to find out."""
    from keyring.util import platform_

    named = os.environ.get("PYTHON_KEYRING_BACKEND", "")
    if not named:
        choice = configparser.RawConfigParser()
        try:
            choice.read(os.path.join(platform_.config_root(), "keyringrc.cfg"), encoding="utf-8")
            named = choice.get("backend", "default-keyring", fallback="")
        except (configparser.Error, UnicodeDecodeError):
            return ""
    return "".join(filter(str.isprintable, named.strip()))[:100]


def _best() -> KeyringBackend | None:
    made = [found for found in map(_made, ALLOWED) if found is not None]
    return max(made, key=lambda backend: float(backend.priority), default=None)


def _made(path: str) -> KeyringBackend | None:
    """The backend at `path`, None where it is not for this machine. Raises TimeoutError: a bus that does not answer."""
    module, _, attribute = path.rpartition(".")
    try:
        kind = getattr(import_module(module), attribute)
        float(kind.priority)  # this is where a backend says that it cannot be used here
        found: KeyringBackend = kind()
    except TimeoutError:
        raise
    except Exception:
        return None
    return found


def _path(backend: KeyringBackend) -> str:
    return f"{type(backend).__module__}.{type(backend).__qualname__}"


def _closed(backend: KeyringBackend) -> str:
    """'empty' or 'locked' for a Secret Service that would open a window to be read, else ''."""
    if sys.platform != "linux" or _path(backend) != _LINUX:
        return ""
    import secretstorage

    try:
        with closing(secretstorage.dbus_init()) as bus:
            return "locked" if secretstorage.Collection(bus).is_locked() else ""
    except secretstorage.ItemNotFoundException:
        return "empty"  # keyring would make one, and ask for its password
    except secretstorage.SecretStorageException:
        return ""  # the call itself says it better


def _failure(name: str) -> OutOfReachError:
    if name == "KeyringLocked":
        return _locked()
    if name == "InitError":
        return OutOfReachError(f"the keyring could not be opened; {_ADVICE}")
    return OutOfReachError(f"the keyring failed ({name}); {_ADVICE}")


def _locked() -> OutOfReachError:
    return OutOfReachError(f"the keyring is locked; {_ADVICE}")
