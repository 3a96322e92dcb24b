"""Imports go in one direction. The code keeps the contract of pyproject.toml, and a violation is found."""

from __future__ import annotations

import shutil
import subprocess
import sysconfig
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
LINT_IMPORTS = Path(sysconfig.get_path("scripts"), "lint-imports")

pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(not LINT_IMPORTS.exists(), reason="import-linter is not installed"),
]


@pytest.fixture
def tree(tmp_path):
    """A copy of the package and of pyproject.toml, which has the contract."""
    shutil.copytree(ROOT / "devpatch", tmp_path / "devpatch", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


def lint(tree):
    command = [LINT_IMPORTS, "--no-cache"]
    return subprocess.run(command, cwd=tree, capture_output=True, text=True)


def test_the_package_keeps_the_contract(tree):
    result = lint(tree)
    assert result.returncode == 0, result.stdout


@pytest.mark.parametrize(
    "file,line",
    [
        ("integrations/flask_cli.py", "from ..features import failfast"),
        ("integrations/flask_cli.py", "from . import django_db"),
        ("features/failfast.py", "from .threaded import pool"),
        ("features/failfast.py", "from ..integrations import flask_cli"),
        ("lifecycle/requests.py", "from ..features import failfast"),
        ("lifecycle/requests.py", "from .. import assembly"),
        ("patching.py", "from .lifecycle import requests"),
    ],
)
def test_an_import_in_the_wrong_direction_is_found(tree, file, line):
    """Also an import inside a function."""
    with open(tree / "devpatch" / file, "a") as source:
        source.write(f"\n\ndef wrong_direction():\n    {line}\n")
    result = lint(tree)
    assert result.returncode == 1, result.stdout
    assert "BROKEN" in result.stdout


def test_a_new_module_needs_a_layer(tree):
    (tree / "devpatch" / "helpers.py").touch()
    result = lint(tree)
    assert result.returncode == 1, result.stdout
    assert "helpers" in result.stdout
