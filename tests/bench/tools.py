"""The other tools, each with the packages of its environment and how an app turns it on without a network.

Exporters are pointed at a closed loopback port or replaced by one that drops everything; what a tool does in the app's
own process is what is measured. Also a program of its own inside such an environment: see `peers.py`.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import NamedTuple

NOWHERE = "http://127.0.0.1:9"  # the discard port: connections are refused at once


class Tool(NamedTuple):
    """`how` says what was switched on, for the table; `durable` and `enforces` are what its documentation promises."""

    name: str
    packages: tuple[str, ...]
    start: Callable[[], None]
    how: str
    durable: str = "no"
    enforces: str = "no"


def _nothing() -> None:
    """The plain SDK."""


def _costmon() -> None:
    import costmon

    costmon.instrument(app="bench")


def _agentops() -> None:
    import agentops

    os.environ["AGENTOPS_API_KEY"] = "11111111-2222-4333-8444-555555555555"
    agentops.init(
        endpoint=NOWHERE,
        app_url=NOWHERE,
        exporter_endpoint=NOWHERE + "/v1/traces",
        auto_start_session=True,
        fail_safe=True,
        log_level="CRITICAL",
    )


def _langfuse() -> None:
    os.environ.update(
        LANGFUSE_PUBLIC_KEY="pk-lf-none", LANGFUSE_SECRET_KEY="sk-lf-none", LANGFUSE_HOST=NOWHERE
    )
    import langfuse.openai  # noqa: F401 - importing it is what turns it on


def _openlit() -> None:
    import openlit

    openlit.init(otlp_endpoint=NOWHERE, disable_metrics=True, capture_message_content=False)


def _openllmetry() -> None:
    from opentelemetry import trace
    from opentelemetry.instrumentation.openai import OpenAIInstrumentor
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult

    class Dropped(SpanExporter):
        def export(self, spans: object) -> SpanExportResult:  # type: ignore[override]
            return SpanExportResult.SUCCESS

    os.environ["TRACELOOP_TRACE_CONTENT"] = "false"
    provider = TracerProvider()
    provider.add_span_processor(BatchSpanProcessor(Dropped()))
    trace.set_tracer_provider(provider)
    OpenAIInstrumentor().instrument()


def _litellm() -> None:
    import litellm

    def costed(kwargs: dict[str, object], response: object, began: object, ended: object) -> None:
        _ = kwargs.get("response_cost")

    litellm.telemetry = False
    litellm.success_callback = [costed]


TOOLS = (
    Tool("nothing", ("openai",), _nothing, "the plain SDK twice: the noise of the measurement"),
    Tool("costmon", ("openai",), _costmon, "instrument(), two budgets", "yes", "yes"),
    Tool("agentops", ("openai", "agentops"), _agentops, "init(), exporter to a closed port"),
    Tool("langfuse", ("openai", "langfuse"), _langfuse, "langfuse.openai, host a closed port"),
    Tool("openlit", ("openai<3", "openlit"), _openlit, "init(), OTLP to a closed port, no content"),
    Tool(
        "OpenLLMetry",
        ("openai", "opentelemetry-instrumentation-openai", "opentelemetry-sdk"),
        _openllmetry,
        "batch processor, exporter that drops, no content",
    ),
    Tool(
        "litellm",
        ("openai", "litellm"),
        _litellm,
        "litellm.completion with a callback, against the SDK",
        enforces="in process",
    ),
)
