"""Prompts and debuggers: pdb and others (cmd), code.interact, IPython, ipdb, pydevd (PyCharm, debugpy in VS Code).

They are patched in workers, when the first module of a server is imported: code may stop while it is loaded.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..lifecycle import prompts
from ..patching import Capability, Decorate


def _watch_prompt(prompt: Callable[..., Any]) -> Callable[..., Any]:
    def watched(*args: Any, **kwargs: Any) -> Any:
        return prompts.run(prompt, *args, **kwargs)

    return watched


# Each of these functions returns when the program goes on. None of them looks at its callers.
_PROMPTS = (
    ("cmd", "Cmd.cmdloop"),
    ("code", "InteractiveConsole.interact"),
    ("IPython.terminal.interactiveshell", "TerminalInteractiveShell.interact"),
    ("IPython.terminal.debugger", "TerminalPdb.cmdloop"),
    ("pydevd", "PyDB.do_wait_suspend"),
)
WORKER_PATCHES = tuple(Decorate(module, path, Capability.PROMPTS, _watch_prompt) for module, path in _PROMPTS)
