"""Providers without an endpoint: the operator is told what is missing, why, and what to do."""

from __future__ import annotations

import tomllib

import pytest

from costmon.config import load
from costmon.sources.providers import absent, access, registry

NAMES = [
    *("groq", "together", "google", "cohere", "perplexity", "replicate", "lambda", "huggingface", "cerebras"),
    *("mistral", "openai", "anthropic"),
]


@pytest.mark.parametrize("provider", [*NAMES, "huggingface_novita", "Together_AI", "gemini"])
def test_it_says_why_and_what_to_do(provider: str) -> None:
    said = absent.why(provider)
    assert said is not None
    assert "\n" not in said
    assert len(said) < 400
    assert "CSV or JSON, into a folder" in said
    assert f"[source.{provider.lower().replace('_', '_')}-bill]" in said


@pytest.mark.parametrize("provider", [*NAMES, "Together_AI", "a strange one"])
def test_the_lines_to_add_are_a_source_that_works(provider: str, tmp_path) -> None:  # type: ignore[no-untyped-def]
    lines = absent.stub(provider)
    if absent.why(provider) is None:
        assert lines is None
        return
    assert lines is not None
    (name,) = tomllib.loads(lines)["source"]
    assert f"[source.{name}]" in (absent.why(provider) or "")
    path = tmp_path / "config.toml"
    path.write_text(lines)
    (source,) = load(str(path)).sources
    kind, settings = access.settings_of(source)
    assert (kind.name, settings.provider) == ("file", provider.lower())


@pytest.mark.parametrize("provider", ["", "openrouter", "deepseek", "nobody", "x" * 500])
def test_of_others_it_says_nothing(provider: str) -> None:
    assert absent.why(provider) is None
    assert absent.stub(provider) is None


def test_who_has_a_source_is_told_so_only_where_the_key_is_hard_to_get() -> None:
    assert {name for name in registry.names() if absent.why(name)} == {"openai", "anthropic"}


def test_whoever_wants_a_key_for_it_is_told_what_helps_instead() -> None:
    """`costmon keys set google`, and a section of that name, end in the way that works."""
    from costmon.sources.providers import registry
    from costmon.sources.providers.protocol import SourceError

    with pytest.raises(SourceError) as caught:
        registry.kind("google")
    assert 'kind = "file" · provider = "google"' in str(caught.value)
    with pytest.raises(SourceError, match='did you mean "openai"'):
        registry.kind("openia")
