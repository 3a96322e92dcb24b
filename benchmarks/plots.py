"""Draw the tables of docs/benchmarks.md: ``python benchmarks/plots.py``, with matplotlib.

The tables stay the only source of the figures. Run it again when one has changed; a test compares them.
"""

from __future__ import annotations

import re
import textwrap
from pathlib import Path

import matplotlib as mpl

mpl.use("svg")
from matplotlib import pyplot

DOCS = Path(__file__).resolve().parent.parent / "docs"
SCHEMES = {"light": ("#1f2328", "#d0d7de"), "dark": ("#e6edf3", "#444c56")}
COLOURS = ("#8c959f", "#bf8700", "#0969da", "#1a7f37")


def rows(heading: str) -> list[list[str]]:
    """Return the cells of the table below ``heading`` in docs/benchmarks.md, with its header first."""
    part = (
        (DOCS / "benchmarks.md")
        .read_text(encoding="utf-8")
        .partition(f"## {heading}\n")[2]
        .partition("\n## ")[0]
    )
    lines = [line for line in part.splitlines() if line.startswith("| ")]
    cells = [[cell.strip().replace("`", "") for cell in line.strip("|").split(" | ")] for line in lines]
    return [row for row in cells if not row[0].startswith("---")]


def measured_on(heading: str) -> str:
    """Return the line that tells date, machine and noise."""
    text = (DOCS / "benchmarks.md").read_text(encoding="utf-8").partition(f"## {heading}\n")[2]
    return re.search(r"^Measured: (.+)$", text, re.MULTILINE)[1]


def style(axes, scheme: str, heading: str | None) -> None:
    """Draw what surrounds the data. The line of ``heading`` that tells when it was measured is below the figure."""
    text, line = SCHEMES[scheme]
    axes.tick_params(colors=text, length=0)
    axes.xaxis.label.set_color(text)
    axes.title.set_color(text)
    axes.grid(axis="x", color=line, linewidth=0.6)
    axes.set_axisbelow(True)
    for spine in axes.spines.values():
        spine.set_visible(False)
    if heading:
        axes.figure.text(0.01, 0.01, measured_on(heading), color=text, fontsize=7.5)


def draw_time(axes, place: tuple[float, float], cell: str, colour: str, text: str) -> None:
    """Draw "median (worst)", in seconds: a bar to the median, a line to the worst, and the median as a number.

    ``place`` is the middle of the bar and its height.
    """
    y, height = place
    median, worst = map(float, re.fullmatch(r"([\d.]+) \(([\d.]+)\)", cell).groups())
    axes.barh(y, median, height, color=colour)
    axes.plot([median, worst], [y, y], color=colour, linewidth=1.2)
    axes.text(worst + 0.02, y, f"{median:.2f}", va="center", fontsize=8, color=text)


def draw_interval(axes, row: int, cell: str, text: str, decimals: int | None = None) -> None:
    """Draw "middle [low, high]": a point, a line, and the middle as a number behind them."""
    middle, low, high = map(float, re.match(r"([\d.]+) \[([\d.]+), ([\d.]+)\]", cell).groups())
    axes.plot([low, high], [row, row], color=COLOURS[2], linewidth=2)
    axes.plot([middle], [row], "o", color=COLOURS[2])
    number = f"{middle:g}" if decimals is None else f"{middle:.{decimals}f}"
    words = {"xytext": (7, 0), "textcoords": "offset points", "va": "center", "fontsize": 8, "color": text}
    axes.annotate(number, (high, row), **words)


def save(figure, name: str, scheme: str) -> None:
    """Write the picture without the date, so that the same figures give the same file."""
    figure.tight_layout(rect=(0, 0.05, 1, 1))
    metadata = {"Date": None, "Creator": None}
    figure.savefig(DOCS / f"{name}-{scheme}.svg", transparent=True, metadata=metadata)
    pyplot.close(figure)


def reloads(scheme: str) -> None:
    """Draw the seconds from the save to the new answer: a bar to the median, and a line to the worst."""
    heading = "`DEVPATCH_FASTRELOAD`"
    (_, *ways, _), *servers = rows(heading)
    text, _line = SCHEMES[scheme]
    figure, axes = pyplot.subplots(figsize=(8.4, 4.2))
    for number, colour in enumerate(COLOURS):
        for row, server in enumerate(servers):
            draw_time(axes, (row + (number - 1.5) * 0.2, 0.17), server[number + 1], colour, text)
    names = [re.sub(r" with |, ", "\nwith ", server[0], count=1) for server in servers]
    axes.set_yticks(range(len(servers)), names)
    axes.invert_yaxis()
    axes.set_xlabel("seconds from the save to the new answer: bar to the median, line to the worst")
    bars = [container[0] for container in axes.containers[:: len(servers)]]
    axes.legend(bars, ways, frameon=False, labelcolor=text, ncols=4, loc="lower left", bbox_to_anchor=(0, 1))
    style(axes, scheme, heading)
    save(figure, "benchmark-reload", scheme)


def costs(scheme: str) -> None:
    """Draw the requests per second with a switch on against off, with 95 % intervals."""
    heading = "Requests per second"
    servers = rows(heading)[1:]
    text, _line = SCHEMES[scheme]
    figure, axes = pyplot.subplots(figsize=(8.4, 3.6))
    for row, (_server, _switch, measured, _limit) in enumerate(servers):
        draw_interval(axes, row, measured, text, decimals=3)
    axes.axvline(1, color=text, linewidth=0.8)
    axes.set_yticks(range(len(servers)), [f"{server}: {switch}" for server, switch, *_ in servers])
    axes.set_ylim(len(servers) - 0.5, -0.6)
    axes.set_xlim(0.89, 1.04)
    axes.set_xlabel("requests per second, on against off (1 = as without devpatch), 95 % interval")
    style(axes, scheme, heading)
    save(figure, "benchmark-costs", scheme)


def threads(scheme: str) -> None:
    """Draw how many times faster the server is with the switch, with 95 % intervals, on a logarithmic scale."""
    heading = "`DEVPATCH_THREADED`"
    text, _line = SCHEMES[scheme]
    figure, axes = pyplot.subplots(figsize=(8.4, 3.6))
    names = []
    for row, (what, stock, threaded, measured) in enumerate(rows(heading)[1:]):
        draw_interval(axes, row, measured, text)
        names.append(f"{textwrap.fill(what, 50)}\n{stock} → {threaded}")
    axes.set_xscale("log")
    axes.set_xlim(0.8, 400)
    axes.set_xticks([1, 10, 100], ["1", "10", "100"])
    axes.minorticks_off()
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(len(names) - 0.5, -0.6)
    axes.set_xlabel("times faster than stock, 95 % interval")
    style(axes, scheme, heading)
    save(figure, "benchmark-threads", scheme)


def failsafe(scheme: str) -> None:
    """Draw a reload without and with fail-safe: the whole of it, and the restart alone."""
    heading = "`DEVPATCH_FAILSAFE`"
    servers = rows(heading)[1:]
    text, _line = SCHEMES[scheme]
    figure, both = pyplot.subplots(1, 2, sharey=True, figsize=(8.4, 3.4))
    for axes, title, columns in ((both[0], "whole reload", (1, 2)), (both[1], "restart alone", (3, 4))):
        for row, server in enumerate(servers):
            for number, column in enumerate(columns):
                place = (row + (number - 0.5) * 0.36, 0.3)
                draw_time(axes, place, server[column], COLOURS[number], text)
        axes.set_xlim(0, 1.9)
        axes.set_title(title, fontsize=9)
        axes.set_xlabel("seconds: bar to the median, line to the worst", fontsize=8)
        style(axes, scheme, heading if axes is both[0] else None)
    both[0].set_yticks(range(len(servers)), [server[0] for server in servers])
    both[0].invert_yaxis()
    bars = [container[0] for container in both[0].containers[:2]]
    figure.legend(bars, ("stock", "fail-safe"), frameon=False, labelcolor=text, ncols=2, loc="upper left")
    save(figure, "benchmark-failsafe", scheme)


if __name__ == "__main__":
    mpl.rcParams.update({"svg.fonttype": "none", "svg.hashsalt": "devpatch", "font.size": 9})
    for name in SCHEMES:
        costs(name)
        threads(name)
        failsafe(name)
        reloads(name)
