"""The parser of the commands' options. An error is one line. It names the option that was probably meant."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any, NoReturn

from .. import switches
from ..console import ERROR, say
from ..lifecycle.endings import ExitStatus


class Parser(argparse.ArgumentParser):
    """See the module."""

    def __init__(self, prog: str, **more: Any) -> None:
        """The arguments are those of ``argparse.ArgumentParser``."""
        self._options: list[str] = []
        super().__init__(prog=prog, **more)

    def add_argument(self, *names: Any, **more: Any) -> argparse.Action:
        """See ``argparse.ArgumentParser.add_argument``."""
        action = super().add_argument(*names, **more)
        self._options += action.option_strings
        return action

    def read(self, words: Sequence[str]) -> argparse.Namespace:
        """Return what ``words`` set. A mistake in them ends the process with ``ExitStatus.REFUSED``."""
        options, rest = self.parse_known_args(words)
        if rest:
            self._refuse_word(rest[0])
        return options

    def _refuse_word(self, word: str) -> NoReturn:
        if not word.startswith("-"):
            self.error(f"there is no place for {word!r}")
        name = word.partition("=")[0]
        if name in {switch.flag for switch in switches.SWITCHES}:
            self._end(f"{name} is an option of `devpatch run`, and not of `{self.prog}`")
        meant = closest_option(name, self._options)
        if meant is None:
            self.error(f"no option {name}")
        self._end(f"no option {name}; did you mean {meant}?")

    def error(self, message: str) -> NoReturn:
        """Print ``message`` as one line, and end the process with ``ExitStatus.REFUSED``."""
        self._end(f"{message}; see `{self.prog} --help`")

    def _end(self, message: str) -> NoReturn:
        say(message, ERROR)
        raise SystemExit(int(ExitStatus.REFUSED))


def closest_option(word: str, options: Sequence[str]) -> str | None:
    """Return the option that is most similar to ``word``, which may also be the name of a variable, or None."""
    names = {option.lstrip("-"): option for option in options}
    plain = word.lstrip("-").upper().replace("-", "_").removeprefix(switches.PREFIX)
    found = switches.closest(plain.lower().replace("_", "-"), names)
    return None if found is None else names[found]
