"""``devpatch doctor [-- COMMAND]``: say why a switch does not work here. The verdict comes first, then the findings.

The command is started, and ended just before its server would serve. So the doctor sees what this very project does:
its own ``runserver``, its settings, its Python.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ... import switches
from .. import print_result
from ..run import PRESET
from . import command as commands
from . import interpreter, neighbours, variables
from .finding import Finding, Weight, note


class Diagnosis:
    """What the doctor found out about one command."""

    def __init__(self, words: list[str], environ: Mapping[str, str], folder: Path) -> None:
        self.words = words
        self.environ = environ
        self.folder = folder
        self.findings = list(variables.check(environ, folder))
        self.server: str | None = None
        self.working: list[str] = []  # the names of the features that work
        settings = switches.read(environ)
        self.is_any_on = any(settings[switch] for switch in switches.FEATURES)

    @property
    def problems(self) -> list[Finding]:
        """The findings that prevent a switch from working."""
        return [finding for finding in self.findings if finding.weight is Weight.PROBLEM]

    @property
    def verdict(self) -> str:
        """One line that answers the question."""
        if self.problems:
            number = len(self.problems)
            return f"something does not work here: {number} problem{'s' if number > 1 else ''}"
        where = f" with {self.server}" if self.server else ""
        if not self.is_any_on:
            return f"everything is ready{where}, and no switch is on"
        return f"{', '.join(self.working) or 'devpatch'} will work here{where}"

    def examine(self) -> None:
        """Look at the command's Python, then start the command."""
        if not self.words:
            why = "there is no manage.py and no Flask application here, so only this Python was checked"
            todo = "name your command: devpatch doctor -- COMMAND"
            self.findings.append(note("no project was found", why, todo))
        python = commands.interpreter_of(self.words) if self.words else commands.Interpreter(sys.executable)
        if python is not None:
            facts = commands.facts_of(python)
            self.findings += interpreter.check(python, facts)
            self.findings += neighbours.check(facts["distributions"] if facts else {}, self.environ)
        if self.words and not self.problems:
            self._start()

    def _start(self) -> None:
        environ = dict(self.environ)
        if not self.is_any_on:
            environ.update({switch.name: switches.ON for switch in PRESET})
        trial = commands.start(self.words, environ)
        if trial.report is None:
            self.findings.append(self._no_server(trial))
            return
        self.server = trial.report["server"]
        for name, reason in trial.report["reasons"].items():
            if reason is None:
                self.working.append(name)
            elif self.is_any_on:
                self.findings.append(_obstacle(name, str(self.server), reason))
            else:
                why = f"{name} would have no effect on {self.server}"
                self.findings.append(note(reason, why, "keep it in mind, or start the server in another way"))

    def _no_server(self, trial: commands.Trial) -> Finding:
        how = "was still running after a minute" if trial.timed_out else "ended"
        last = f"; it printed last:\n{trial.output}" if trial.output else ""
        return Finding(
            f"`{' '.join(self.words)}` {how}, and no development server had started",
            f"devpatch acts only on development servers{last}",
            "check the command without devpatch; `devpatch status` lists the servers",
        )

    def as_data(self) -> dict[str, Any]:
        """Return the diagnosis as JSON data."""
        rows = [
            {"weight": f.weight.value, "what": f.what, "why": f.why, "todo": f.todo} for f in self.findings
        ]
        return {
            "works": not self.problems,
            "verdict": self.verdict,
            "command": self.words,
            "server": self.server,
            "working": self.working,
            "findings": rows,
        }

    def as_text(self) -> str:
        """Return the diagnosis for people, the problems first."""
        lines = [self.verdict]
        if self.words:
            lines.append(f"checked: {' '.join(self.words)}")
        for finding in sorted(self.findings, key=lambda finding: finding.weight is Weight.NOTE):
            why = finding.why.replace("\n", "\n       ")
            lines += [
                "",
                f"{finding.weight.value}: {finding.what}",
                f"  why: {why}",
                f"  do:  {finding.todo}",
            ]
        return "\n".join(lines)


def _obstacle(feature: str, server: str, reason: str) -> Finding:
    return Finding(
        f"{feature} has no effect on {server}", reason, "change that, or start the server in another way"
    )


def main(arguments: list[str]) -> int:
    """Print the diagnosis. Return 0 if all switches that are on work, and 1 otherwise."""
    parser = argparse.ArgumentParser(
        prog="devpatch doctor",
        usage="devpatch doctor [--json] [-- COMMAND [ARGUMENT ...]]",
        description="Say why a switch does not work here. The command is started, and ended before its server serves. "
        "Without a command, it is the usual one of the Django or Flask project in this folder.",
    )
    parser.add_argument("--json", action="store_true", help="print it for programs")
    before, words = _split(arguments)
    options = parser.parse_args(before)
    folder = Path.cwd()
    diagnosis = Diagnosis(words or commands.guess(folder, os.environ), os.environ, folder)
    diagnosis.examine()
    print_result(json.dumps(diagnosis.as_data(), indent=2) if options.json else diagnosis.as_text())
    return 1 if diagnosis.problems else 0


def _split(arguments: list[str]) -> tuple[list[str], list[str]]:
    """Return what is before and after "--", or before and from the first word that is no option."""
    for number, word in enumerate(arguments):
        if word == "--":
            return arguments[:number], arguments[number + 1 :]
        if not word.startswith("-"):
            return arguments[:number], arguments[number:]
    return arguments, []
