"""OpenTelemetry for the projects of the tests: each span becomes a line of the file SITE_SPANS."""

import json
import os


def trace(*instrumentors):
    """Instrument what ``instrumentors`` name, such as "django.DjangoInstrumentor"."""
    import importlib

    from opentelemetry import trace
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import ConsoleSpanExporter, SimpleSpanProcessor

    def line(span):
        # Each connection has another port.
        attributes = {key: str(value) for key, value in span.attributes.items() if key != "net.peer.port"}
        return json.dumps([span.name, span.kind.name, span.status.status_code.name, attributes]) + "\n"

    spans = open(os.environ["SITE_SPANS"], "a")  # noqa: SIM115
    exporter = ConsoleSpanExporter(out=spans, formatter=line)
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    trace.set_tracer_provider(provider)
    for instrumentor in instrumentors:
        module, _, name = instrumentor.rpartition(".")
        getattr(importlib.import_module(f"opentelemetry.instrumentation.{module}"), name)().instrument()
