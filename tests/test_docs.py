"""The documentation: its transcripts are what happens, and it names each switch, command and file that there is."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest
from harness import TIMEOUT, DevServer, clean_environment, free_port, python, wait_for
from installing import REPOSITORY

from devpatch import switches
from devpatch.__main__ import COMMANDS
from devpatch.lifecycle.endings import ExitStatus

pytestmark = pytest.mark.long
DOCS = REPOSITORY / "docs"
PAGES = sorted(DOCS.rglob("*.md"))
SCRIPTS = str(Path(sys.executable).parent)
TRANSCRIPT = re.compile(r"<!-- transcript folder=(\w+); (.+?) -->\n```console\n(.+?)```", re.DOTALL)
SHOWN_COMMAND = re.compile(r"<!-- command folder=(\w+) -->\n```console\n(.+?)```", re.DOTALL)
PYTHON_BLOCK = re.compile(r"```python\n(.+?)```", re.DOTALL)
NEEDS = {"django_project": "django", "flask_app": "flask", "oops": "gunicorn"}
TRANSCRIPTS = [
    pytest.param(page, *found, id=f"{page.stem}-{number}")
    for page in PAGES
    for number, found in enumerate(TRANSCRIPT.findall(page.read_text(encoding="utf-8")))
]

SHOWN_COMMANDS = [
    pytest.param(*found, id=f"{page.stem}-{number}")
    for page in PAGES
    for number, found in enumerate(SHOWN_COMMAND.findall(page.read_text(encoding="utf-8")))
]


class Terminal:
    """A transcript's first command, a server, and the actions beside it. The other commands run when it has ended."""

    def __init__(self, folder, logs, page):
        self.folder, self.logs, self.page = folder, logs, page
        self.port = free_port()
        self.links, self.seen = "", 0
        path = os.pathsep.join([SCRIPTS, os.environ["PATH"]])
        self.environ = clean_environment(PATH=path, PYTHONUNBUFFERED="1", PWD=str(folder))

    def start(self, command):
        command = command.replace("8000", str(self.port))
        if "manage.py" in command:
            command += f" 127.0.0.1:{self.port}"
        self.server = DevServer(
            ["sh", "-c", f"exec 2>&1; {command}"], self.folder, self.logs, self.port, self.environ
        )

    def act(self, actions):
        names = [action.partition(" ")[::2] for action in map(str.strip, actions.split(";"))]
        for argument in [argument for name, argument in names if name == "file"]:
            (code,) = PYTHON_BLOCK.findall(self.page)
            (self.folder / argument).write_text(code)
        self.server.start()
        self.server.wait_until_listening()
        for name, argument in names:
            getattr(self, f"do_{name}")(argument)
        try:
            self.server.process.wait(3)
        except subprocess.TimeoutExpired:
            self.server.kill()

    def do_file(self, _name):
        pass  # It was written before the start.

    def do_get(self, path):
        self.server.get(path)

    def do_links(self, path):
        page = self.server.get(path, headers=["Accept: text/html"]).body.decode()
        self.links = "".join(f"link: {link}\n" for link in re.findall(r"href='(\w+://file[^']+)'", page)[:1])

    def do_break(self, file):
        self.whole, self.seen = (self.folder / file).read_text(), len(self.output)
        (self.folder / file).write_text(f"{self.whole}    def (\n")

    def do_misspell(self, file_and_name):
        """Leave out the last letter of a name in a file."""
        file, name = file_and_name.split()
        self.whole, self.seen = (self.folder / file).read_text(), len(self.output)
        (self.folder / file).write_text(self.whole.replace(name, name[:-1]))

    def do_mend(self, file):
        self.seen = len(self.output)
        (self.folder / file).write_text(self.whole)

    def do_save(self, file):
        self.seen = len(self.output)
        with (self.folder / file).open("a") as source:
            source.write("# saved\n")

    def do_wait(self, text):
        """Wait until ``text`` is printed, after the latest change of a file."""
        wait_for(lambda: text in self.output[self.seen :], lambda: f"{text!r} in {self.output}")

    @property
    def output(self):
        return self.server.stdout + self.links

    def run(self, command):
        if command == "echo $?":
            return f"{self.server.process.returncode}\n"
        words = {
            "env": self.environ,
            "cwd": self.folder,
            "capture_output": True,
            "text": True,
            "timeout": TIMEOUT,
        }
        result = subprocess.run(["sh", "-c", command], **words)
        return result.stdout + result.stderr


def assert_shown(expected, output):
    """Check that the lines are in ``output``, in this order. "..." stands for lines, and "…" for a part of a line."""
    lines, position = output.splitlines(), 0
    for line in expected:
        if line == "...":
            continue
        pattern = re.compile(".*".join(map(re.escape, line.split("…"))))
        found = next((n for n in range(position, len(lines)) if pattern.fullmatch(lines[n].rstrip())), None)
        assert found is not None, f"not printed: {line}\nin:\n{output}"
        position = found + 1


def commands_of(block):
    """Return each command of a transcript, and the lines that follow it."""
    found = []
    for line in block.splitlines():
        if line.startswith("$ "):
            found.append((line[2:], []))
        else:
            found[-1][1].append(line)
    return found


@pytest.mark.parametrize(("page", "folder", "actions", "block"), TRANSCRIPTS)
def test_a_transcript_is_what_happens(tmp_path, page, folder, actions, block):
    pytest.importorskip(NEEDS.get(folder, "wsgiref"))
    copy = tmp_path / folder
    shutil.copytree(REPOSITORY / "examples" / folder, copy, ignore=shutil.ignore_patterns("__pycache__"))
    logs = tmp_path / "logs"
    logs.mkdir()
    terminal = Terminal(copy, logs, page.read_text(encoding="utf-8"))
    (command, expected), *others = commands_of(block)
    terminal.start(command)
    try:
        terminal.act(actions)
        assert_shown(expected, terminal.output.replace(str(terminal.port), "8000"))
    finally:
        terminal.server.kill()
    for other, lines in others:
        assert_shown(lines, terminal.run(other).replace(str(terminal.port), "8000"))


@pytest.mark.parametrize("switch", switches.SWITCHES, ids=lambda switch: switch.name)
def test_each_switch_has_a_page_with_a_transcript(switch):
    page = DOCS / "switches" / f"{switch.flag[2:]}.md"
    text = page.read_text(encoding="utf-8")
    assert text.startswith(f"# `{switch.name}`\n")
    assert any(switch.name in block for _folder, _actions, block in TRANSCRIPT.findall(text))


def reference():
    return (DOCS / "reference.md").read_text(encoding="utf-8")


def test_the_reference_has_the_tables():
    """The table of switches, the exit statuses and the fields of ErrorEvent are those of the code."""
    import dataclasses

    from test_switches import markdown

    from devpatch import ErrorEvent

    assert markdown() in reference()
    for status in ExitStatus:
        assert f"| {int(status)} |" in reference()
    for field in dataclasses.fields(ErrorEvent):
        assert f"| `{field.name}` |" in reference()
    schemas = [
        path.relative_to(REPOSITORY).as_posix() for path in (REPOSITORY / "devpatch").rglob("*.schema.json")
    ]
    assert schemas and all(schema in reference() for schema in schemas)


@pytest.mark.parametrize(("folder", "block"), SHOWN_COMMANDS)
def test_a_command_prints_what_is_shown(tmp_path, folder, block):
    """No server runs, so the whole output is shown, but for the doctor's notes about what else is installed."""
    pytest.importorskip(NEEDS[folder])
    shutil.copytree(REPOSITORY / "examples" / folder, tmp_path / folder)
    ((command, expected),) = commands_of(block)
    environ = clean_environment(PATH=os.pathsep.join([SCRIPTS, os.environ["PATH"]]))
    words = {"cwd": tmp_path / folder, "env": environ, "timeout": TIMEOUT, "stderr": subprocess.STDOUT}
    result = subprocess.run(["sh", "-c", command], **words, stdout=subprocess.PIPE, text=True)
    assert result.stdout.partition("\nnote: ")[0].splitlines() == expected


def test_the_commands_have_their_options():
    text = (DOCS / "commands.md").read_text(encoding="utf-8")
    for command in COMMANDS:
        assert f"## `devpatch {command}`" in text
        shown = python("-m", "devpatch", command, "--help", COLUMNS="200").stdout
        part = text.partition(f"## `devpatch {command}`")[2].partition("\n## ")[0]
        names = {switch.flag for switch in switches.SWITCHES}
        for option in set(re.findall(r"(?<![\w-])--[a-z]+(?:-[a-z]+)*", shown)) - names - {"--help"}:
            assert f"`{option}" in part, option


def test_the_preset_is_the_one_of_the_code():
    from devpatch.commands.run import PRESET

    text = (DOCS / "commands.md").read_text(encoding="utf-8")
    assert f"`{' '.join(switch.flag for switch in PRESET)}`" in text


def test_each_line_of_the_start_up_path_is_explained():
    text = (DOCS / "what-runs.md").read_text(encoding="utf-8")
    assert (REPOSITORY / "devpatch.pth").read_text().strip() in text


FRONT_PAGES = [REPOSITORY / "README.md", REPOSITORY / "examples" / "README.md"]


def test_the_front_page_is_short_and_its_links_exist():
    text = FRONT_PAGES[0].read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 120
    links = re.findall(r"\]\(([^)#]+)\)|(?:src|srcset)=\"([^\"]+)\"", text)
    assert links
    for link in ("".join(pair) for pair in links):
        assert (REPOSITORY / link).is_file(), link


@pytest.mark.parametrize("page", [*PAGES, *FRONT_PAGES], ids=lambda page: page.stem)
def test_the_commands_of_the_shell_blocks_exist(page):
    """Each `devpatch …` command line is one that `devpatch` accepts."""
    text = page.read_text(encoding="utf-8")
    blocks = "\n".join(re.findall(r"```(?:sh|console)\n(.+?)```", text, re.DOTALL))
    for line in re.findall(r"^(?:\$ )?((?:[A-Z_]+=\S* )*devpatch .*)$", blocks, re.MULTILINE):
        words = [word for word in shlex.split(line.partition("  #")[0]) if "=" not in word or word[0] == "-"]
        assert len(words) == 1 or words[1] in COMMANDS or words[1].startswith("--"), line


def benchmark_sections():
    """Return the text of each section of the benchmarks that has a table."""
    text = (DOCS / "benchmarks.md").read_text(encoding="utf-8")
    return [part for part in text.split("\n## ") if "\n| --- |" in part]


# The figures that each plot shows. Of fail-safe's table it shows the first four columns.
PLOTTED = {
    "costs": r"\| ([\d.]+) \[",
    "threads": r"\| ([\d.]+) \[",
    "failsafe": r"^\|[^|]+\| " + r" \| ".join([r"([\d.]+) \([\d.]+\)"] * 4),
    "reload": r"\| ([\d.]+) \(",
}


@pytest.mark.parametrize("name", PLOTTED)
def test_the_plots_show_the_figures_of_the_tables(name):
    """`python benchmarks/plots.py` draws them again. The date, the machine and the noise stand below."""
    (part,) = [part for part in benchmark_sections() if f"benchmark-{name}-light.svg" in part]
    found = re.findall(PLOTTED[name], part, re.MULTILINE)
    figures = [figure for row in found for figure in ([row] if isinstance(row, str) else row)]
    (measured,) = re.findall(r"^Measured: (.+)$", part, re.MULTILINE)
    assert figures
    for scheme in ("light", "dark"):
        plot = (DOCS / f"benchmark-{name}-{scheme}.svg").read_text(encoding="utf-8")
        shown = re.findall(r">([^<>]+)<", plot)
        missing = [
            text for text in {*figures, measured} if shown.count(text) < [*figures, measured].count(text)
        ]
        assert missing == [], "run python benchmarks/plots.py"


def test_each_table_of_the_benchmarks_has_its_date_machine_and_noise():
    sections = benchmark_sections()
    assert len(sections) > 5
    for part in [*sections, (DOCS / "switches" / "fastreload.md").read_text(encoding="utf-8")]:
        (measured,) = re.findall(r"^Measured: (.+)$", part, re.MULTILINE)
        assert re.match(r"20\d\d-\d\d-\d\d, Linux, .*two shared cores\. (Medians|One round)", measured)


def test_the_page_of_fast_reload_has_the_figures_of_the_benchmarks():
    pages = [
        (DOCS / name).read_text(encoding="utf-8") for name in ("switches/fastreload.md", "benchmarks.md")
    ]
    rows, benchmarks = ([line for line in page.splitlines() if ") | 0." in line] for page in pages)
    assert len(rows) == 3
    assert all(any(line.startswith(row) for line in benchmarks) for row in rows)


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """Build the site. A warning is an error."""
    pytest.importorskip("material")
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", folder]
    environ = clean_environment(NO_MKDOCS_2_WARNING="1", DISABLE_MKDOCS_2_WARNING="true")
    result = subprocess.run(command, cwd=REPOSITORY, env=environ, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout + result.stderr
    return folder


class Anchors(HTMLParser):
    """The links, pictures and scripts of a page, and the targets in it."""

    def __init__(self, text):
        super().__init__()
        self.links, self.targets = set(), {"", "__top"}
        self.feed(text)

    def handle_starttag(self, _tag, attrs):
        attributes = dict(attrs)
        self.links |= {attributes[name] for name in ("href", "src") if attributes.get(name)}
        self.targets |= {attributes[name] for name in ("id", "name") if attributes.get(name)}


def test_each_link_of_the_site_has_a_target(site):
    """Each page, picture, script and anchor that a built page names is in the site."""
    pages = {page: Anchors(page.read_text(encoding="utf-8")) for page in site.rglob("*.html")}
    assert site / "switches" / "failsafe" / "index.html" in pages
    checked = 0
    for page, found in pages.items():
        for link in found.links:
            path, _, anchor = link.partition("#")
            # The page for addresses that do not exist has links from the root.
            if re.match(r"[a-z]+:|//|/", path) or page.name == "404.html":
                continue
            target = (page.parent / path).resolve() if path else page
            target = target / "index.html" if target.is_dir() else target
            assert target.is_file(), f"{page}: {link}"
            if target in pages:
                assert anchor in pages[target].targets, f"{page}: {link}"
            checked += 1
    assert checked > 500


def test_the_site_asks_no_other_host(site):
    """Its pages load no font, script or picture from elsewhere."""
    for page in site.rglob("*.html"):
        loaded = re.findall(r"(?:src|rel=\"?stylesheet\"? href)=\"?(https?:[^\" >]+)", page.read_text())
        assert loaded == [], page
