"""From `[source.NAME]` to settings and key: what is wrong is one sentence that names the setting, before any request."""

from __future__ import annotations

import pytest

from costmon.config.values import Source
from costmon.credentials import Entry, Secret, files
from costmon.sources.providers import access, registry
from costmon.sources.providers.protocol import SourceError

OPENAI = Source("openai", "openai")


@pytest.fixture(autouse=True)
def _no_keyring(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHON_KEYRING_BACKEND", "keyring.backends.fail.Keyring")
    for name in registry.names():
        for variable in registry.kind(name).env:
            monkeypatch.delenv(variable, raising=False)


def test_a_section_that_says_nothing_is_the_kinds_own() -> None:
    kind, settings = access.settings_of(OPENAI)
    assert (kind.name, settings.provider, settings.base_url) == (
        "openai",
        "openai",
        "https://api.openai.com/v1",
    )


@pytest.mark.parametrize(
    ("source", "says"),
    [
        (Source("x", "opnai"), '[source.x]: there is no source of kind "opnai"; did you mean "openai"?'),
        (
            Source("openai", "openai", options={"evry": "5m"}),
            '[source.openai] evry is not a setting; did you mean "every"?',
        ),
        (
            Source("openai", "openai", every_us=5_000_000),
            "[source.openai] every must be 1 min or more for OpenAI",
        ),
        (
            Source("azure", "azure", options={"tenant": "a", "client_id": "b"}),
            '[source.azure] needs subscription = "…" (',
        ),
        (Source("litellm", "litellm"), '[source.litellm] needs base_url = "https://…" ('),
        (Source("bills", "file", options={"folder": "/x"}), '[source.bills] needs provider = "…"'),
        (
            Source("openai", "openai", base_url="http://gw.example/v1"),
            "[source.openai] base_url must start with https://",
        ),
        (
            Source("openai", "openai", base_url="https://u:p@gw.example"),
            "[source.openai] base_url holds a user name",
        ),
        (
            Source("openai", "openai", base_url="https://169.254.169.254/"),
            "[source.openai] base_url leads to a link-local",
        ),
    ],
)
def test_a_wrong_setting_is_named(source: Source, says: str) -> None:
    """With what to write instead."""
    with pytest.raises(SourceError) as caught:
        access.settings_of(source)
    assert str(caught.value).startswith(says)
    assert caught.value.state == "config"


def test_every_kind_of_ours_has_settings_and_hosts() -> None:
    """Given what it must be given, each kind yields settings, and a key that would go to its own hosts only."""
    for name in registry.names():
        kind = registry.kind(name)
        needed = {option.name: "1" for option in kind.options if option.default is None}
        url = "" if kind.base_url or not kind.key else "https://gw.example"
        found, settings = access.settings_of(
            Source(name, name, provider=kind.provider or "openai", base_url=url, options=needed)
        )
        wanted = access.wanted(found, settings)
        assert set(settings.options) == {option.name for option in kind.options}
        assert bool(wanted.hosts) == bool(kind.base_url or url)
        assert set(wanted.hosts) <= {*wanted.home_hosts, access.host_of(url) if url else ""}


def test_options_that_were_left_out_have_their_defaults() -> None:
    _, settings = access.settings_of(OPENAI)
    assert settings.options == {}
    _, anthropic = access.settings_of(Source("anthropic", "anthropic"))
    assert anthropic.options["api_version"]


async def test_an_ordinary_key_is_refused_before_any_request() -> None:
    """The sentence says what it is, what is needed and where that is made; nothing of the key."""
    kind, settings = access.settings_of(OPENAI)
    files.write_own("openai", Entry(Secret("sk-proj-canary77"), ("api.openai.com",)))
    with pytest.raises(SourceError) as caught:
        await access.key_of(kind, settings, OPENAI)
    assert str(caught.value).startswith(
        "this is a project key, which may call models but not read costs; OpenAI needs"
    )
    assert "canary77" not in str(caught.value)
    assert caught.value.state == "key"


async def test_the_key_is_found_and_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    """A usual variable serves the kind's own host; another base_url needs the key to be set or named for it."""
    kind, settings = access.settings_of(OPENAI)
    with pytest.raises(SourceError, match="there is no key of openai") as caught:
        await access.key_of(kind, settings, OPENAI)
    assert caught.value.retry_after is None
    monkeypatch.setenv("OPENAI_ADMIN_KEY", "sk-admin-1")
    assert await access.key_of(kind, settings, OPENAI) == Secret("sk-admin-1")
    gateway = Source("openai", "openai", base_url="https://gw.example/v1")
    kind, settings = access.settings_of(gateway)
    with pytest.raises(SourceError, match=r"bound to api\.openai\.com and does not go to gw\.example"):
        await access.key_of(kind, settings, gateway)
    named = Source("openai", "openai", base_url="https://gw.example/v1", key="env:OPENAI_ADMIN_KEY")
    assert await access.key_of(*access.settings_of(named), named) == Secret("sk-admin-1")


async def test_a_proxy_of_ones_own_may_have_the_usual_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    """On this machine, for a kind that is such a proxy; not elsewhere, and not for a provider's admin key."""
    monkeypatch.setenv("LITELLM_API_KEY", "sk-1")
    monkeypatch.setenv("OPENAI_ADMIN_KEY", "sk-admin-1")
    proxy = Source("litellm", "litellm", base_url="http://localhost:4001")
    assert await access.key_of(*access.settings_of(proxy), proxy) == Secret("sk-1")
    for source in (
        Source("litellm", "litellm", base_url="https://proxy.example"),
        Source("openai", "openai", base_url="http://localhost:4001"),
    ):
        with pytest.raises(SourceError, match="is bound to"):
            await access.key_of(*access.settings_of(source), source)


async def test_a_kind_without_a_key_needs_none() -> None:
    source = Source("bills", "file", provider="openai", options={"folder": "/x"})
    assert await access.key_of(*access.settings_of(source), source) is None


@pytest.mark.parametrize(
    ("url", "host"),
    [
        ("https://api.openai.com/v1", "api.openai.com"), ("https://API.openai.com:443", "api.openai.com"),
        ("https://gw.example:8443/x", "gw.example:8443"), ("http://127.0.0.1:4000", "http://127.0.0.1:4000"),
        ("login.microsoftonline.com", "login.microsoftonline.com"), ("https://[::1]:80", "[::1]:80"),
    ],
)  # fmt: skip
def test_what_a_key_is_bound_to(url: str, host: str) -> None:
    """One spelling for one server."""
    assert access.host_of(url) == host
