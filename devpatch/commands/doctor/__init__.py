"""``devpatch doctor [-- COMMAND]``: find out why a switch does not work. The verdict comes first, then the findings.

The command is started for a trial, and stopped before its server begins to serve. So the doctor sees what the project
itself does: its own ``runserver``, its settings, its Python.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ... import switches
from ...lifecycle.endings import ExitStatus
from .. import print_result, programs
from ..parser import Parser
from ..run import PRESET
from . import command as commands
from . import effects, interpreter, neighbours, project, variables
from .finding import Finding, Weight, note

# The last line of a traceback.
_EXCEPTION = re.compile(r"[\w.]+(?:Error|Exception|Warning|NotFound|NotReady)(?::|$)")


class Diagnosis:
    """What the doctor found out about one command."""

    def __init__(self, words: list[str], environ: Mapping[str, str], folder: Path) -> None:
        self.words = words
        self.environ = environ
        self.folder = folder
        self.findings = list(variables.check(environ))
        self.server: str | None = None
        self.working: list[str] = []  # the names of the features that work
        self._in_files = variables.in_files(environ, folder)
        settings = switches.read(environ)
        is_any_on = any(settings[switch] for switch in switches.FEATURES)
        self._is_any_on = is_any_on or bool(self._in_files) or commands.names_a_switch(words)

    @property
    def problems(self) -> list[Finding]:
        """The findings that prevent a switch from working."""
        return [finding for finding in self.findings if finding.weight is Weight.PROBLEM]

    @property
    def verdict(self) -> str:
        """One line that answers the question."""
        if self.problems:
            return f"not ready: {len(self.problems)} problem{'s' if len(self.problems) > 1 else ''}"
        if self.server is None:
            return "this Python is ready; no command was checked"
        if not self._is_any_on:
            return f"everything is ready with {self.server}, and no switch is on"
        return f"{', '.join(self.working) or 'devpatch'} will work here with {self.server}"

    def examine(self) -> None:
        """Look at the command's Python, then start the command."""
        if not self.words:
            self.findings.append(project.elsewhere(self.folder) or _no_project())
        self._check_program()
        if no_server := project.no_server(self.words):
            self.findings.append(no_server)
        report = None
        if self.words and not self.problems:
            report = self._start()
        self._judge(report)

    def _check_program(self) -> None:
        """Find out whether the command can be run, and by which Python."""
        if self.words and shutil.which(self.words[0]) is None:
            todo = programs.hint(self.words) or "check its name, or activate its virtual environment"
            self.findings.append(Finding(programs.why_not(self.words[0]), "the command can't be run", todo))
            return
        python = commands.interpreter_of(self.words) if self.words else commands.Interpreter(sys.executable)
        if python is None:
            return
        if self.words and commands.is_python(self.words[0]):
            missing = project.missing_script(self.words, self.folder)
            self.findings += [missing] if missing else []
        facts = commands.facts_of(python)
        self.findings += interpreter.check(python, facts)
        self.findings += neighbours.check(facts["distributions"] if facts else {}, self.environ)

    def _start(self) -> dict[str, Any] | None:
        """Start the command, and return its report, or None if there is none."""
        environ = {**self.environ, switches.VERBOSE.name: switches.ON}
        if not self._is_any_on:
            environ.update({switch.name: switches.ON for switch in PRESET})
        trial = commands.start(self.words, environ)
        if trial.report is None:
            missing = project.missing_manage_py(self.words, self.folder)
            self.findings.append(missing or self._no_server(trial))
        elif self._is_any_on:
            self._in_files += effects.set_by_program(self._in_files, trial.report)
        return trial.report

    def _judge(self, report: dict[str, Any] | None) -> None:
        """Add the findings that rest on the report, and those that do not keep the command from starting."""
        self.findings += variables.without_effect(self.environ, self.folder)
        late = [(found.switch, effects.late(found, report, self.words)) for found in self._in_files]
        self.findings += [finding for _switch, finding in late if finding]
        if report is not None:
            self.server = str(report["server"])
            self.findings += effects.obstacles(report, self.words, are_on=self._is_any_on)
            blocked = [switch for switch, finding in late if finding]
            self.working = effects.working(report, blocked, self.environ)

    def _no_server(self, trial: commands.Trial) -> Finding:
        how, todo = "ended", "check the command without devpatch; `devpatch status` lists the servers"
        if trial.timed_out:
            how, todo = "was still running after a minute", f"{todo}; is devpatch installed in its Python?"
        if _EXCEPTION.match(trial.output.rpartition("\n")[2]):
            todo = f"repair the error, and ask again; {switches.FAILSAFE.name}=1 holds a server until that is done"
        last = f"; it printed last:\n{trial.output}" if trial.output else ""
        return Finding(
            f"`{shlex.join(self.words)}` {how}, and no development server had started",
            f"devpatch acts only on development servers{last}",
            todo,
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
            lines.append(f"checked: {shlex.join(self.words)}")
        for finding in sorted(self.findings, key=lambda finding: finding.weight is Weight.NOTE):
            why = finding.why.replace("\n", "\n       ")
            lines += [
                "",
                f"{finding.weight.value}: {finding.what}",
                f"  why: {why}",
                f"  do:  {finding.todo}",
            ]
        return "\n".join(lines)


def _no_project() -> Finding:
    why = "there is no manage.py and no Flask application here, so only this Python was checked"
    return note("no project was found", why, "name your command: devpatch doctor -- COMMAND")


def main(arguments: list[str]) -> int:
    """Print the diagnosis. Return 0 if all switches that are on work, and 1 otherwise."""
    parser = Parser(
        "devpatch doctor",
        usage="devpatch doctor [--json] [-- COMMAND [ARGUMENT ...]]",
        description="Find out why a switch does not work. The command is started for a trial, and stopped before its "
        "server begins to serve. Without a command, the doctor tries the usual one of the Django or Flask project in "
        "this folder.",
    )
    parser.add_argument("--json", action="store_true", help="print it for programs")
    before, words = _split(arguments)
    options = parser.read(before)
    folder = Path.cwd()
    diagnosis = Diagnosis(words or project.guess(folder, os.environ), os.environ, folder)
    try:
        diagnosis.examine()
    except KeyboardInterrupt:
        return int(ExitStatus.INTERRUPTED)
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
