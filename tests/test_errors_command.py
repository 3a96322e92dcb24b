"""`devpatch errors`: the error log of real servers, as people read it."""

from __future__ import annotations

import json
import signal
import subprocess
import sys

import pytest
from breakages import save
from harness import TIMEOUT, clean_environment, python, wait_for
from projects import FLASK_RUN, flask_files
from servers import BY_ID
from test_failsafe import stop_with_ctrl_c, wait_until_broken


def errors(*arguments, **variables):
    return python("-m", "devpatch", "errors", *map(str, arguments), **variables)


@pytest.fixture
def log(serve, tmp_path):
    """The error log of a server with two failed requests, in this order."""
    path = tmp_path / "errors.jsonl"
    server = serve(BY_ID["wsgiref-threads"], DEVPATCH_ERROR_LOG=str(path))
    for page in ("/view/?password=secret", "/connection-error/"):
        server.get(page)
    wait_for(lambda: path.read_text().count("\n") == 2, lambda: path.read_text())
    return path


def test_the_newest_is_last_with_own_frames_and_source(log):
    result = errors(log)
    assert (result.returncode, result.stderr) == (0, "")
    first, second = result.stdout.split("\n\n")[:2]
    assert "GET http://127.0.0.1:" in first
    assert "/view/?password=*** 500 (wsgiref)" in first
    assert "\n  ValueError: boom in a view\n" in first
    assert "bare_site.py:" in first
    assert '\n      raise ValueError("boom in a view")' in first
    assert "wsgiref/handlers.py" not in first
    assert "ConnectionResetError: the database went away" in second


def test_as_json(log):
    lines = [json.loads(line) for line in errors("--json", log).stdout.splitlines()]
    assert [line["url"].rpartition("1:")[2].partition("/")[2] for line in lines] == [
        "view/?password=***",
        "connection-error/",
    ]
    (frame,) = lines[0]["frames"]
    assert (lines[0]["error"], frame["source"].strip()) == (
        "ValueError: boom in a view",
        'raise ValueError("boom in a view")',
    )


def test_colours(log):
    assert "\x1b[" not in errors(log).stdout
    assert "\x1b[31;1mValueError: boom in a view\x1b[0m" in errors(log, FORCE_COLOR="1").stdout


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["{}"], "1 line of {} can't be read and is left out"),
        (["{}", "[1]", "text"], "3 lines of {} can't be read and are left out"),
    ],
)
def test_lines_that_are_not_errors_are_left_out(log, lines, message):
    """One line says so, and the errors before and after them are shown."""
    first, second = log.read_text().splitlines()
    log.write_text("\n".join([first, *lines, second]))
    result = errors(log)
    assert (result.returncode, result.stderr) == (0, f"devpatch: {message.format(log)}\n")
    assert "ValueError: boom in a view" in result.stdout
    assert "ConnectionResetError: the database went away" in result.stdout


def test_a_file_of_another_kind(tmp_path):
    """One line, whatever the length of the file."""
    other = tmp_path / "app.py"
    other.write_text("import flask\n" * 100)
    for option in ([], ["--json"], ["--follow"]):
        result = errors(*option, other)
        assert (result.returncode, result.stdout) == (2, "")
        assert result.stderr == (
            f"devpatch: {other} is not an error log of devpatch; name the file of DEVPATCH_ERROR_LOG\n"
        )


def test_a_summary_log_and_an_error_log_are_not_the_same(serve, tmp_path):
    """Both are written by one server. Each command names the other one."""
    paths = {name: tmp_path / f"{name}.jsonl" for name in ("errors", "summary")}
    variables = {"DEVPATCH_ERROR_LOG": str(paths["errors"]), "DEVPATCH_SUMMARY_LOG": str(paths["summary"])}
    server = serve(BY_ID["wsgiref-threads"], DEVPATCH_SUMMARY="1", **variables)
    server.get("/view/")
    wait_for(lambda: all(path.exists() and path.read_text() for path in paths.values()), str(paths))
    assert errors(paths["errors"]).returncode == 0
    assert python("-m", "devpatch", "summary", str(paths["summary"])).returncode == 0
    for command, other, kind, named in (
        ("errors", "summary", "an error log", "a summary log"),
        ("summary", "errors", "a summary log", "an error log"),
    ):
        result = python("-m", "devpatch", command, str(paths[other]))
        assert (result.returncode, result.stdout) == (2, "")
        assert result.stderr == (
            f"devpatch: {paths[other]} is not {kind} of devpatch, but {named}; try: devpatch {other} {paths[other]}\n"
        )


def test_no_errors(tmp_path):
    (tmp_path / "errors.jsonl").touch()
    result = errors(tmp_path / "errors.jsonl")
    assert (result.returncode, result.stdout) == (0, f"no errors in {tmp_path / 'errors.jsonl'}\n")


def test_the_variable_names_the_file(log):
    assert errors(DEVPATCH_ERROR_LOG=str(log)).stdout == errors(log).stdout
    other = log.with_name("other.jsonl")
    assert "other.jsonl can't be read" in errors(other, DEVPATCH_ERROR_LOG=str(log)).stderr
    result = errors(DEVPATCH_ERROR_LOG=str(other))
    assert (result.returncode, result.stdout) == (2, "")
    assert "other.jsonl, which DEVPATCH_ERROR_LOG names, can't be read (No such file" in result.stderr


def test_no_file_is_named():
    result = errors()
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr == (
        "devpatch: name a file: devpatch errors FILE, or set DEVPATCH_ERROR_LOG; see `devpatch errors --help`\n"
    )


def test_a_missing_file(tmp_path):
    result = errors(tmp_path / "errors.jsonl")
    assert (result.returncode, result.stdout) == (2, "")
    assert "can't be read (No such file or directory); is it the file that" in result.stderr


@pytest.mark.long
def test_follow(serve, tmp_path):
    """
    1. Follow a file that does not exist yet. Errors are shown as they happen.
    2. The file is replaced by a shorter one. Its errors are shown too.
    3. Ctrl-C ends it, with status 0.
    """
    path, out = tmp_path / "errors.jsonl", tmp_path / "out"
    command = [sys.executable, "-m", "devpatch", "errors", "--follow", str(path)]
    with open(out, "w") as file:
        follower = subprocess.Popen(command, stdout=file, stderr=file, env=clean_environment())
    try:
        server = serve(BY_ID["wsgiref-threads"], DEVPATCH_ERROR_LOG=str(path))
        for number in (1, 2):
            server.get("/view/")
            wait_for(
                lambda number=number: out.read_text().count("ValueError: boom in a view") == number,
                out.read_text,
            )
        path.unlink()
        server.get("/view/")
        wait_for(lambda: out.read_text().count("ValueError: boom in a view") == 3, out.read_text)
        follower.send_signal(signal.SIGINT)
        assert follower.wait(TIMEOUT) == 0
        assert "Traceback" not in out.read_text()
    finally:
        follower.kill()
        follower.wait()


@pytest.mark.long
def test_causes(serve_project, tmp_path):
    pytest.importorskip("flask")
    tail = "@app.get('/from/')\ndef other():\n    raise KeyError('outer') from ValueError('inner')\n"
    log = tmp_path / "errors.jsonl"
    server = serve_project(flask_files(tail=tail), *FLASK_RUN, DEVPATCH_ERROR_LOG=str(log))
    server.get("/from/")
    wait_for(lambda: log.read_text().count("\n") == 1, log.read_text)
    shown = errors(log).stdout
    assert (
        shown.index("KeyError: 'outer'")
        < shown.index("raise KeyError('outer')")
        < shown.index("caused by ValueError: inner")
    )


@pytest.mark.long
def test_failed_loads(serve_project, tmp_path):
    pytest.importorskip("flask")
    log = tmp_path / "errors.jsonl"
    server = serve_project(
        flask_files(), *FLASK_RUN, "--debug", DEVPATCH_FAILSAFE="1", DEVPATCH_ERROR_LOG=str(log)
    )
    source = server.directory / "app.py"
    whole = source.read_text()
    save(source, f"{whole}\ndef (\n")
    wait_until_broken(server, "SyntaxError")
    save(source, f"import os; os._exit(9)\n{whole}")
    wait_until_broken(server, "exit status 9")
    wait_for(lambda: log.read_text().count("\n") == 2, log.read_text)
    first, second = errors(log).stdout.split("\n\n")[:2]
    assert "the code could not be loaded" in first
    assert "SyntaxError: invalid syntax" in first
    assert "app.py:" in first
    assert "\n      def (" in first
    assert "the server process ended with exit status 9" in second
    stop_with_ctrl_c(server)
