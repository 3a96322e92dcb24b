"""What devpatch costs at each start of Python in an environment that it is installed in.

There is one environment, in which the start-up file is rewritten before every measurement, so the
variants differ in nothing else. "bare" has the file's line as a comment; "bare, again" is the same
thing once more, and shows how far chance alone moves a number.
"""

from __future__ import annotations

import argparse
import platform
import random
import subprocess
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from measuring import REPOSITORY, Estimate, bootstrap, environment, fresh_venv, print_table, stay_on_one_cpu

START_UP_LINE = (REPOSITORY / "devpatch.pth").read_text()
COMMENT = f"# {START_UP_LINE}"


@dataclass(frozen=True)
class Variant:
    """A way to have devpatch installed; ``limit`` is what it may cost more than "bare", in µs."""

    name: str
    start_up_file: str
    variables: dict[str, str]
    limit: int | None = None


BARE = Variant("bare", COMMENT, {})
VARIANTS = (
    BARE,
    Variant("bare, again", COMMENT, {}),
    Variant("off", START_UP_LINE, {}, limit=150),
    Variant("on, no server", START_UP_LINE, {"DEVPATCH_FAILFAST": "1"}, limit=500),
)

# site.main() is what reads start-up files. With -S it does not run by itself, so it can be timed alone.
TIME_SITE = """
import site, time
begin = time.perf_counter_ns()
site.main()
print(time.perf_counter_ns() - begin)
"""
LIST_MODULES = "import sys; print(*sys.modules)"


class Environment:
    """A virtual environment that takes the shape of one variant after the other."""

    def __init__(self, folder: Path) -> None:
        self._python = str(fresh_venv(folder))
        (self._start_up_file,) = (folder / "venv").rglob("devpatch.pth")

    def whole_process(self, variant: Variant) -> float:
        """Return the µs from the start of ``python -c pass`` to its end."""
        variables = self._take_shape(variant)
        begin = time.perf_counter_ns()
        subprocess.Popen([self._python, "-c", "pass"], env=variables, close_fds=False).wait()
        return (time.perf_counter_ns() - begin) / 1000

    def site_alone(self, variant: Variant) -> float:
        """Return the µs that one new interpreter spends in ``site.main()``."""
        return int(self._output(variant, "-S", "-c", TIME_SITE)) / 1000

    def modules(self, variant: Variant) -> list[str]:
        """Return what is in ``sys.modules`` once Python has started."""
        return self._output(variant, "-c", LIST_MODULES).split()

    def _output(self, variant: Variant, *arguments: str) -> str:
        variables = self._take_shape(variant)
        command = [self._python, *arguments]
        return subprocess.run(command, env=variables, check=True, capture_output=True, text=True).stdout

    def _take_shape(self, variant: Variant) -> dict[str, str]:
        self._start_up_file.write_text(variant.start_up_file)
        return environment(variant.variables)


def interleaved(measure: Callable[[Variant], float], rounds: int) -> dict[str, list[float]]:
    """Measure each variant once per round, in random order: a change of the machine's pace hits them all."""
    for variant in VARIANTS:
        measure(variant)  # compiles what was not compiled yet, and fills the caches
    times: dict[str, list[float]] = {variant.name: [] for variant in VARIANTS}
    for _ in range(rounds):
        for variant in random.sample(VARIANTS, k=len(VARIANTS)):
            times[variant.name].append(measure(variant))
    return times


def more_than_bare(times: dict[str, list[float]], variant: Variant) -> Estimate:
    """Compare round by round, as the two runs of a round have the most in common."""
    return bootstrap([ours - bare for ours, bare in zip(times[variant.name], times[BARE.name], strict=True)])


def report(
    whole: dict[str, list[float]], alone: dict[str, list[float]], modules: dict[str, list[str]]
) -> None:
    """Print a row per variant. The verdict is on the whole process; ``site.main()`` has less noise."""
    rows = []
    for variant in VARIANTS:
        more = more_than_bare(whole, variant)
        rows.append(
            (
                variant.name,
                f"{bootstrap(whole[variant.name]).median:.0f}",
                "" if variant is BARE else more.show("+.0f"),
                "" if variant.limit is None else f"<= {variant.limit}",
                "" if variant.limit is None else more.verdict(at_most=variant.limit),
                "" if variant is BARE else more_than_bare(alone, variant).show("+.0f"),
                str(len(modules[variant.name])),
            )
        )
    print_table(
        (
            "µs",
            "python -c pass",
            "more than bare",
            "target",
            "verdict",
            "more in site.main() alone",
            "modules",
        ),
        rows,
    )
    for name, loaded in modules.items():
        if added := [module for module in loaded if module not in modules[BARE.name]]:
            print(f"{name} adds the modules {', '.join(added)}")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=400, help="how often each variant is measured")
    rounds = parser.parse_args().rounds
    with tempfile.TemporaryDirectory() as folder:
        place = Environment(Path(folder))
        stay_on_one_cpu()
        whole = interleaved(place.whole_process, rounds)
        alone = interleaved(place.site_alone, rounds)
        modules = {variant.name: place.modules(variant) for variant in VARIANTS}
    print(f"Python {platform.python_version()}: medians of {rounds} rounds [95% interval]")
    report(whole, alone, modules)


if __name__ == "__main__":
    main()
