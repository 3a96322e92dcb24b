"""DEVPATCH_ERROR_LOG: each error becomes a line of JSON in a file, for programs that read errors.

``error_log.schema.json`` describes the lines. They contain no headers, bodies, cookies, local variables or values
of query strings.
"""

from __future__ import annotations

import os
import re
import threading
from datetime import datetime, timezone
from typing import Any

from ... import switches
from ...console import shown_path
from ...lifecycle import failures, loads, requests
from ...lifecycle.log_files import LogFile, path_of, why_not_writable
from ...lifecycle.starts import Start
from ...lifecycle.tracebacks import hide_own_frames
from ...patching import Capability, ledger
from .. import Feature

_MASK = "***"
_CREDENTIALS = re.compile(r"//[^/@]*@")
_VALUE = re.compile(r"=[^&;]*")


class ErrorLog(Feature):
    """See the module."""

    name = "error-log"
    switch = switches.ERROR_LOG
    needs = frozenset({Capability.START, Capability.ERRORS, Capability.RESPONSES})

    def __init__(self) -> None:
        self._file: LogFile | None = None

    def summary(self, start: Start, settings: switches.Settings) -> str:
        """See Feature.summary."""
        return f"error log to {shown_path(_path_in(settings))}"

    def announcement(self, start: Start, settings: switches.Settings) -> str:
        """See Feature.announcement."""
        return f"{self.name} is on for {start.server}: unhandled errors are appended to {_path_in(settings)}"

    def unusable(self, settings: switches.Settings) -> str | None:
        """See Feature.unusable."""
        return why_not_writable(self.switch.name, _path_in(settings))

    def activate(self, settings: switches.Settings) -> None:
        """See Feature.activate."""
        ledger.record(requests.listen(requests.Event.ANSWERED, self._report))
        ledger.record(requests.want_status())
        self._use(settings)

    def _use(self, settings: switches.Settings) -> LogFile:
        if self._file is None:
            path = _path_in(settings)
            loads.written.add(path)
            self._file = LogFile(path, self.name)
        return self._file

    def _report(self, request: requests.Request) -> None:
        if request.error is None or self._file is None:
            return
        self._file.append(
            {
                **self._common_fields("request", request.failed_at, request.framework),
                "method": request.method,
                "url": masked(request.url),
                "status": request.status,
                **_described(request.error),
            }
        )

    def load_failed(self, error: BaseException) -> None:
        """See Feature.load_failed."""
        self._use(switches.read(os.environ)).append({**self._load_fields(), **_described(error)})

    def worker_ended(self, end: loads.End) -> None:
        """See Feature.worker_ended."""
        ended = {"summary": end.summary, "status": end.status, "signal": end.signal}
        line = {**self._load_fields(), "exception": None, "causes": [], "ended": ended}
        self._use(switches.read(os.environ)).append(line)

    def _load_fields(self) -> dict[str, Any]:
        framework = next(iter(requests.frameworks), None)
        return {**self._common_fields("load", None, framework), "method": None, "url": None, "status": None}

    def _common_fields(self, kind: str, moment: float | None, framework: str | None) -> dict[str, Any]:
        now = datetime.now(timezone.utc) if moment is None else datetime.fromtimestamp(moment, timezone.utc)
        return {
            "time": now.isoformat(timespec="microseconds"),
            "kind": kind,
            "server": self.start.server if self.start else None,
            "framework": framework,
            "process": os.getpid(),
            "thread": threading.current_thread().name,
        }


def _described(error: BaseException) -> dict[str, Any]:
    """Return the fields of a line that describe ``error``. Never raises."""
    try:
        hide_own_frames(error)
        *causes, last = failures.chain(error, around=0)
    except Exception:  # Some exceptions can't be read.
        causes, last = [], failures.bare(error)
    for link in (last, *causes):
        _shorten(link)
    return {"exception": last, "causes": list(reversed(causes)), "ended": None}


def _shorten(link: dict[str, Any]) -> None:
    """Replace the source of each frame with the one line that the frame is at."""
    problems = [problem["place"] for problem in link["problems"] if problem["place"]]
    for place in (*link["frames"], *([link["syntax"]] if link["syntax"] else ()), *problems):
        place["source"] = next((text for number, text in place["source"] if number == place["line"]), None)
    for chain in link["parts"]:
        for part in chain:
            _shorten(part)


def masked(url: str) -> str:
    """Return ``url`` without the values of its query string, its user name and its password."""
    path, question, query = url.partition("?")
    path = _CREDENTIALS.sub(f"//{_MASK}@", path)
    return path + question + _VALUE.sub(f"={_MASK}", query.partition("#")[0])


def _path_in(settings: switches.Settings) -> str:
    return path_of(settings[switches.ERROR_LOG])
