"""Shared by the benchmarks: the environment, confidence intervals, verdicts and the printed table."""

from __future__ import annotations

import math
import os
import random
import shutil
import statistics
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent
RESAMPLES = 2000


@dataclass(frozen=True)
class Estimate:
    """A median with its 95% interval."""

    median: float
    low: float
    high: float

    def show(self, form: str) -> str:
        """Return all three numbers in the given format, such as ``+.1f``."""
        return f"{self.median:{form}} [{self.low:{form}}, {self.high:{form}}]"

    def verdict(self, *, at_least: float = -math.inf, at_most: float = math.inf) -> str:
        """Return whether the target was met, and whether the difference is within the noise."""
        met = [at_least <= number <= at_most for number in (self.median, self.low, self.high)]
        return ("met" if met[0] else "missed") + ("" if len(set(met)) == 1 else ", within the noise")


def bootstrap(values: Sequence[float]) -> Estimate:
    """Return the median of ``values`` with a bootstrap interval: the distribution of the noise is unknown."""
    generator = random.Random(0)
    medians = sorted(statistics.median(generator.choices(values, k=len(values))) for _ in range(RESAMPLES))
    return Estimate(statistics.median(values), medians[RESAMPLES // 40], medians[-1 - RESAMPLES // 40])


def print_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print the rows in aligned columns."""
    table = [header, *rows]
    widths = [max(len(row[column]) for row in table) for column in range(len(header))]
    for row in table:
        first, *others = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        print("  ".join((first, *others)).rstrip())
    print(flush=True)


def environment(variables: Mapping[str, str]) -> dict[str, str]:
    """Return the environment without variables that configure Python or a server, plus ``variables``."""
    removed = ("DEVPATCH_", "PYTHON", "DJANGO_", "FLASK_", "WERKZEUG_", "RUN_MAIN", "COV")
    return {**{name: text for name, text in os.environ.items() if not name.startswith(removed)}, **variables}


def stay_on_one_cpu() -> None:
    """Keep this process and its children on one CPU, if the system supports it.

    They run alternately anyway. On two CPUs most of the time, and nearly all of the noise, would come from
    waking up the other CPU.
    """
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})


def fresh_venv(folder: Path, *distributions: str, base: str = sys.executable) -> Path:
    """Create a virtual environment of ``base`` with devpatch and ``distributions``. Return its interpreter.

    devpatch is built from a copy, because a build leaves files in the source folder.
    """
    print("creating a fresh environment ...", file=sys.stderr, flush=True)
    source, venv = folder / "source", folder / "venv"
    unwanted = shutil.ignore_patterns(
        ".*", "build", "dist", "*.egg-info", "__pycache__", "tests", "benchmarks"
    )
    shutil.copytree(REPOSITORY, source, ignore=unwanted)
    subprocess.run([base, "-m", "venv", venv], check=True)
    python = venv / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    subprocess.run([python, "-m", "pip", "install", "--quiet", source, *distributions], check=True)
    return python
