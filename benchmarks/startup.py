"""What devpatch costs at each start of Python, with every combination of switches.

There is one environment. The start-up file is rewritten before every measurement, so the variants differ
in nothing else. In "bare" the line of the file is a comment. "bare, again" is the same variant a second
time. It shows the noise.
"""

from __future__ import annotations

import argparse
import itertools
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from measuring import REPOSITORY, Estimate, bootstrap, environment, fresh_venv, print_table, stay_on_one_cpu

START_UP_LINE = (REPOSITORY / "devpatch.pth").read_text()
COMMENT = f"# {START_UP_LINE}"


# How many µs more than "bare" a variant may take.
LIMIT_OF_PROCESS, LIMIT_OF_SITE = 1500, 500
LIMIT_OFF = 150  # if no variable is set
SWITCHES = {
    "FAILFAST": "1",
    "THREADED": "1",
    "FAILSAFE": "1",
    "EXC_INFO": "1",
    "ON_ERROR": "package.module:callable",
    "ERROR_LOG": "errors.jsonl",
}


@dataclass(frozen=True)
class Variant:
    """A content of the start-up file and the variables that are set."""

    name: str
    start_up_file: str
    variables: dict[str, str]


def combinations() -> list[Variant]:
    """Return one variant for each combination of switches."""
    return [
        Variant(" ".join(names), START_UP_LINE, {f"DEVPATCH_{name}": SWITCHES[name] for name in names})
        for size in range(1, len(SWITCHES) + 1)
        for names in itertools.combinations(SWITCHES, size)
    ]


BARE = Variant("bare", COMMENT, {})
VARIANTS = (
    BARE,
    Variant("bare, again", COMMENT, {}),
    Variant("off", START_UP_LINE, {}),
    *combinations(),
)

# site.main() reads the start-up files. With -S Python does not call it, so it can be measured separately.
TIME_SITE = """
import site, time
start = time.perf_counter_ns()
site.main()
print(time.perf_counter_ns() - start)
"""
LIST_MODULES = "import sys; print(*sys.modules)"


class Environment:
    """A virtual environment that is set up for one variant at a time."""

    def __init__(self, folder: Path, base: str) -> None:
        self._python = str(fresh_venv(folder, base=base))
        (self._start_up_file,) = (folder / "venv").rglob("devpatch.pth")

    def whole_process(self, variant: Variant) -> float:
        """Return the µs from the start of ``python -c pass`` to its end."""
        variables = self._set_up(variant)
        start = time.perf_counter_ns()
        subprocess.Popen([self._python, "-c", "pass"], env=variables, close_fds=False).wait()
        return (time.perf_counter_ns() - start) / 1000

    def site_alone(self, variant: Variant) -> float:
        """Return the µs that a new interpreter spends in ``site.main()``."""
        return int(self._output(variant, "-S", "-c", TIME_SITE)) / 1000

    def version(self) -> str:
        """Return the version of the interpreter."""
        return self._output(BARE, "-c", "import platform; print(platform.python_version())").strip()

    def modules(self, variant: Variant) -> list[str]:
        """Return the names in ``sys.modules`` after Python has started."""
        return self._output(variant, "-c", LIST_MODULES).split()

    def _output(self, variant: Variant, *arguments: str) -> str:
        variables = self._set_up(variant)
        command = [self._python, *arguments]
        return subprocess.run(command, env=variables, check=True, capture_output=True, text=True).stdout

    def _set_up(self, variant: Variant) -> dict[str, str]:
        self._start_up_file.write_text(variant.start_up_file)
        return environment(variant.variables)


def interleaved(measure: Callable[[Variant], float], rounds: int) -> dict[str, list[float]]:
    """Measure each variant once per round, in random order. A slow phase of the machine affects them all."""
    for variant in VARIANTS:
        measure(variant)  # a warm-up: it compiles modules and fills caches
    times: dict[str, list[float]] = {variant.name: [] for variant in VARIANTS}
    for _ in range(rounds):
        for variant in random.sample(VARIANTS, k=len(VARIANTS)):
            times[variant.name].append(measure(variant))
    return times


def more_than_bare(times: dict[str, list[float]], variant: Variant) -> Estimate:
    """Compare round by round, because the conditions within a round are the most similar."""
    return bootstrap([own - bare for own, bare in zip(times[variant.name], times[BARE.name], strict=True)])


def report(
    whole: dict[str, list[float]], alone: dict[str, list[float]], modules: dict[str, list[str]]
) -> None:
    """Print one row for each variant, then the worst combination of switches."""
    rows = []
    for variant in VARIANTS:
        process, site = more_than_bare(whole, variant), more_than_bare(alone, variant)
        limits = (LIMIT_OFF, LIMIT_OFF) if variant.name == "off" else (LIMIT_OF_PROCESS, LIMIT_OF_SITE)
        added = set(modules[variant.name]) - set(modules[BARE.name])
        rows.append(
            (
                variant.name,
                f"{bootstrap(whole[variant.name]).median:.0f}",
                process.show("+.0f"),
                process.verdict(at_most=limits[0]),
                site.show("+.0f"),
                site.verdict(at_most=limits[1]),
                " ".join(sorted(added)) or "none",
            )
        )
    header = (
        "µs",
        "python -c pass",
        "more than bare",
        f"<= {LIMIT_OF_PROCESS}",
        "more in site.main()",
        f"<= {LIMIT_OF_SITE}",
        "extra modules",
    )
    print_table(header, rows)
    for name, times in (("python -c pass", whole), ("site.main()", alone)):
        worst = max(combinations(), key=lambda variant: more_than_bare(times, variant).median)
        print(f"the worst in {name}: {more_than_bare(times, worst).show('+.0f')} µs, {worst.name}")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=100, help="number of measurements for each variant")
    parser.add_argument("--python", default=sys.executable, help="the interpreter to measure with")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        venv = Environment(Path(folder), options.python)
        stay_on_one_cpu()
        whole = interleaved(venv.whole_process, options.rounds)
        alone = interleaved(venv.site_alone, options.rounds)
        modules = {variant.name: venv.modules(variant) for variant in VARIANTS}
        version = venv.version()
    print(f"Python {version}: medians of {options.rounds} rounds [95% interval]")
    report(whole, alone, modules)


if __name__ == "__main__":
    main()
