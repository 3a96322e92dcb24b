"""Read what DEVPATCH_ON_ERROR and DEVPATCH_ERROR_LOG report, for the tests of both."""

from __future__ import annotations

import functools
import importlib.resources
import json
from datetime import datetime, timedelta, timezone
from pathlib import Path

from harness import wait_for

TESTS = str(Path(__file__).parent)


class Reports:
    """The files to which a server with ``variables`` reports its errors."""

    def __init__(self, folder, receivers="receivers:first,receivers:second"):
        self.log = folder / "errors.jsonl"
        self.received = folder / "received.jsonl"
        self.received.touch()
        self.variables = {
            "DEVPATCH_ERROR_LOG": str(self.log),
            "DEVPATCH_ON_ERROR": receivers,
            "RECEIVED": str(self.received),
            "PYTHONPATH": TESTS,
        }

    def lines(self):
        """Return the lines of the log. Each is checked."""
        return [valid(line) for line in self.log.read_text().splitlines()] if self.log.exists() else []

    def events(self):
        return [json.loads(line) for line in self.received.read_text().splitlines()]

    def wait(self, lines, events):
        wait_for(
            lambda: len(self.lines()) >= lines and len(self.events()) >= events,
            lambda: f"{lines} lines and {events} events; {self.lines()} {self.events()}",
        )
        assert (len(self.lines()), len(self.events())) == (lines, events)
        return self.lines(), self.events()


@functools.cache
def _validator(package, name):
    try:
        import jsonschema
    except ImportError:
        return None
    schema = importlib.resources.files(package) / name
    return jsonschema.Draft202012Validator(json.loads(schema.read_text()))


def parse(text, package, name):
    """Return the parsed line. Check it by the schema ``name`` of a package, if jsonschema is installed."""
    line = json.loads(text)
    if validator := _validator(package, name):
        validator.validate(line)
    return line


def valid(text):
    """Return the parsed line of an error log. Check its schema and its time."""
    line = parse(text, "devpatch.features.error_log", "error_log.schema.json")
    age = datetime.now(timezone.utc) - datetime.fromisoformat(line["time"])
    assert timedelta(0) <= age < timedelta(minutes=30)
    return line


def assert_refused(server, *words):
    assert server.exit_status() == 2, server.stderr
    server.assert_nothing_left()
    summary = ("devpatch: error log to ", "devpatch: errors to ")  # of a start before the load failed
    messages = [
        line for line in server.stderr.splitlines() if "devpatch: " in line and not line.startswith(summary)
    ]
    assert len(messages) == 1, server.stderr
    for word in words:
        assert word in messages[0]
    assert "Traceback" not in server.stderr
