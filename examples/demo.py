"""Show fail-fast and fail-safe on the example Django project, in the order in which things happen.

`python3 run.py demo` installs what this needs, and runs it. It works on a copy of the project, on a free port.
"""

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path

PROJECT = Path(__file__).resolve().parent / "django_project"
LIMIT = 60.0  # seconds to wait for each step
NEXT = """
What to try next, in a project of yours:
    pip install devpatch
    DEVPATCH_FAILSAFE=1 python manage.py runserver    or: devpatch run --failsafe -- python manage.py runserver
    python -m devpatch                                which switches there are, and what they can do there
    devpatch doctor                                   why something does not work there
"""


class DemoFailed(Exception):
    """Something went another way than the demo tells. The message says what."""


class Server:
    """The example's server. Its output is printed as it comes."""

    def __init__(self, folder, port, **variables):
        address = f"127.0.0.1:{port}"
        self.port, self.url = port, f"http://{address}"
        command = ["python", "manage.py", "runserver", address]
        print("\n$", *(f"{name}={value}" for name, value in variables.items()), *command, flush=True)
        self.lines = []
        self.is_answer_shown = threading.Event()
        self.is_answer_shown.set()
        self.process = subprocess.Popen(
            [sys.executable, *command[1:]],
            cwd=folder,
            env={**os.environ, **variables, "DJANGO_RUNSERVER_HIDE_WARNING": "true", "PYTHONUNBUFFERED": "1"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
        )
        self.reader = threading.Thread(target=self.read)
        self.reader.start()

    def read(self):
        for line in self.process.stdout:
            if '"GET ' in line:
                # The server prints this line after its response. It may come before the response is shown here.
                self.is_answer_shown.wait(LIMIT)
            print(f"    {line}", end="", flush=True)
            self.lines.append(line)

    def wait_for(self, is_done, what):
        """Wait until ``is_done`` is true. Raises DemoFailed if the server ends before, or if it takes too long."""
        wait_until(lambda: self.process.poll() is not None or is_done())
        if self.process.poll() is not None:
            self.reader.join(LIMIT)
            raise DemoFailed(f"the server ended with exit status {self.process.returncode} before {what}")
        if not is_done():
            raise DemoFailed(f"{LIMIT:.0f} s were not enough until {what}")

    def wait_for_line(self, text, after=0):
        """Wait for a line with ``text`` that comes after the first ``after`` lines."""
        self.wait_for(lambda: any(text in line for line in self.lines[after:]), f"it printed {text!r}")

    def wait_until_listening(self):
        def listens():
            with socket.socket() as probe:
                return probe.connect_ex(("127.0.0.1", self.port)) == 0

        self.wait_for(listens, "its port was open")

    def answer(self, path):
        """Return the status of a response and its text. The status is None if there was no answer."""
        request = urllib.request.Request(self.url + path, headers={"Accept": "text/plain"})
        try:
            with urllib.request.urlopen(request, timeout=LIMIT) as response:
                return response.status, response.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()
        except OSError as error:
            return None, str(error)

    def show(self, path, expected):
        """Request a page and print what comes back. Raises DemoFailed if its status is not ``expected``."""
        before = self.number_of(path)
        self.is_answer_shown.clear()
        print(f"\n> GET {path}", flush=True)
        status, text = self.answer(path)
        lines = text.strip().splitlines() or ["nothing"]
        title = next((line for line in lines if "Error" in line), lines[0])
        print(f"< {status}: {title[:100]}", flush=True)
        self.is_answer_shown.set()
        if status != expected:
            raise DemoFailed(f"the answer has the status {status} instead of {expected}")
        wait_until(lambda: self.number_of(path) > before)

    def number_of(self, path):
        return sum(f'"GET {path} HTTP' in line for line in list(self.lines))

    def end(self):
        if self.process.poll() is None:
            self.process.terminate()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
        self.reader.join(10)


def wait_until(is_done):
    """Wait until ``is_done`` is true, at most ``LIMIT`` seconds."""
    deadline = time.monotonic() + LIMIT
    while not is_done() and time.monotonic() < deadline:
        time.sleep(0.05)


def fail_fast(folder, port):
    print("Fail-fast: the server ends, with an exit status, at the first error that nothing handled.")
    server = Server(folder, port, DEVPATCH_FAILFAST="1")
    try:
        server.wait_until_listening()
        server.show("/results/", 500)
        status = server.process.wait(LIMIT)
        server.reader.join(LIMIT)
    finally:
        server.end()
    if status != 1:
        raise DemoFailed(f"the server ended with exit status {status} instead of 1")
    print(f"\n$ echo $?\n{status}\n\nWithout devpatch, it would still run, and your tests would not know.")


def fail_safe(folder, port):
    print(
        "\nFail-safe: broken code does not end the server. It shows the error, and waits for the next change."
    )
    server = Server(folder, port, DEVPATCH_FAILSAFE="1")
    views = folder / "polls" / "views.py"
    whole = views.read_text()
    try:
        server.wait_for_line("Quit the server")
        server.show("/", 200)
        print("\n# polls/views.py is saved with a mistake: def (\n", flush=True)
        before = len(server.lines)
        views.write_text(f"{whole}\n\ndef (\n")
        server.wait_for_line("waiting for a change", before)
        server.show("/", 500)
        print("\n# polls/views.py is repaired\n", flush=True)
        before = len(server.lines)
        views.write_text(whole)
        server.wait_for_line("starting again", before)
        server.show("/", 200)
    finally:
        server.end()


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def main():
    ports = [int(sys.argv[1])] * 2 if len(sys.argv) > 1 else [free_port(), free_port()]
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary).resolve() / "django_project"
        shutil.copytree(PROJECT, folder)
        try:
            fail_fast(folder, ports[0])
            fail_safe(folder, ports[1])
        except DemoFailed as failure:
            print(f"\nthe demo failed: {failure}", file=sys.stderr)
            return 1
    print(NEXT)
    return 0


if __name__ == "__main__":
    sys.exit(main())
