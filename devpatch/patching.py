"""Patches, and the ledger of what became of each: the only file that imports wrapt.

A patch is looked up, checked, applied and recorded; its undo is recorded when it is applied. Nothing
here raises into the host: a patch that does not fit is a failed entry with a reason.

Limits: a module that is reloaded loses its patches, as wrapt's import hooks do not cope with that.
"""

from __future__ import annotations

import enum
import functools
import importlib
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import ModuleType
from typing import Any

from wrapt import register_post_import_hook, wrap_function_wrapper

Undo = Callable[[], object]


class Capability(enum.Enum):
    """What a patch lets devpatch do in a server; features name the ones that they need."""

    START = "know when the server starts"
    ERRORS = "see a request's unhandled error"
    RESPONSES = "know when a response is out"
    ENDING = "end the serving loop"
    THREADS = "choose how requests are handled"
    FIRST_START = "see how a command line ends"
    EXC_INFO = "hand the exception to start_response"
    WORKERS = "start the reloader's workers, and know why they end"


class Outcome(enum.Enum):
    """What became of a patch."""

    PENDING = "pending"  # its module was not imported yet
    APPLIED = "applied"
    FAILED = "failed"
    RESTORED = "restored"


class Unpatchable(Exception):
    """The target is not as the patch expects it; the message says in what."""


@dataclass(frozen=True, eq=False)
class Patch:
    """A change to one attribute of one module: ``path`` is "name" or "Class.name".

    ``provides`` is what is lost when it can't be made.
    """

    target: str
    path: str
    provides: Capability

    @property
    def title(self) -> str:
        """The patched name, as messages show it."""
        return f"{self.target}.{self.path}"

    def look_up(self, module: ModuleType) -> tuple[Any, str, Any]:
        """Return the parent, the attribute's name and its value. Raises Unpatchable."""
        parent: Any = module
        *parents, name = self.path.split(".")
        try:
            for step in parents:
                parent = getattr(parent, step)
            return parent, name, getattr(parent, name)
        except AttributeError as error:
            raise Unpatchable(f"{self.title} is not there ({error})") from None

    def check(self, module: ModuleType) -> None:
        """Look without touching. Raises Unpatchable."""
        self.look_up(module)

    def apply(self, module: ModuleType) -> Undo:
        """Make the change; return what undoes it. Raises Unpatchable."""
        raise NotImplementedError


Wrapper = Callable[[Callable[..., Any], Any, tuple[Any, ...], dict[str, Any]], Any]


Make = Callable[[Callable[..., Any]], Callable[..., Any]]


@dataclass(frozen=True, eq=False)
class Wrap(Patch):
    """Call ``wrapper(wrapped, instance, args, kwargs)`` instead of a function or method.

    ``arguments`` are the positional arguments, ``self`` included, with which it must be callable.
    """

    wrapper: Wrapper
    arguments: tuple[str, ...] = ()

    def check(self, module: ModuleType) -> None:
        """See Patch.check."""
        _check_call(self, self.look_up(module)[2], self.arguments)

    def apply(self, module: ModuleType) -> Undo:
        """See Patch.apply."""
        parent, name, function = self.look_up(module)
        if getattr(function, "_self_wrapper", None) is self.wrapper:
            return lambda: None  # Wrapped already: not a second time.
        self.check(module)
        undo = _way_back(parent, name)
        wrap_function_wrapper(module, self.path, self.wrapper)
        return undo


@dataclass(frozen=True, eq=False)
class Surround(Patch):
    """Put the function that ``make`` builds around a method in its place; ``arguments`` as for ``Wrap``.

    For what each request calls: wrapt's wrapper, which can do more, makes three objects for each call.
    """

    make: Make
    arguments: tuple[str, ...] = ()

    def check(self, module: ModuleType) -> None:
        """See Patch.check."""
        _check_call(self, self.look_up(module)[2], self.arguments)

    def apply(self, module: ModuleType) -> Undo:
        """See Patch.apply."""
        self.check(module)
        parent, name, _function = self.look_up(module)
        return _surround(parent, name, self.make)


@dataclass(frozen=True, eq=False)
class Expect(Patch):
    """Change nothing: the method has to be there, for it is changed in the classes that come along.

    ``arguments`` are as for ``Wrap``.
    """

    arguments: tuple[str, ...]

    def check(self, module: ModuleType) -> None:
        """See Patch.check."""
        _check_call(self, self.look_up(module)[2], self.arguments)

    def apply(self, module: ModuleType) -> Undo:
        """See Patch.apply."""
        self.check(module)
        return lambda: None


@dataclass(frozen=True, eq=False)
class Overlay(Patch):
    """Let a module see another object under a name of its: ``make`` gets what stood there."""

    make: Callable[[Any], Any]
    needs: tuple[str, ...] = ()  # attributes that what stands there must have

    def check(self, module: ModuleType) -> None:
        """See Patch.check."""
        value = self.look_up(module)[2]
        for name in self.needs:
            if not hasattr(value, name):
                raise Unpatchable(f"{self.title}.{name} is not there")

    def apply(self, module: ModuleType) -> Undo:
        """See Patch.apply."""
        self.check(module)
        parent, name, value = self.look_up(module)
        setattr(parent, name, self.make(value))
        return lambda: setattr(parent, name, value)


@dataclass(frozen=True, eq=False)
class Connect(Patch):
    """Connect a receiver to a signal, Django's or blinker's; no frame of ours stands on the stack afterwards."""

    receiver: Callable[..., object]

    def check(self, module: ModuleType) -> None:
        """See Patch.check."""
        signal = self.look_up(module)[2]
        if not (hasattr(signal, "connect") and hasattr(signal, "disconnect")):
            raise Unpatchable(f"{self.title} is no signal")

    def apply(self, module: ModuleType) -> Undo:
        """See Patch.apply."""
        self.check(module)
        signal = self.look_up(module)[2]
        signal.connect(self.receiver, weak=False)
        return lambda: signal.disconnect(self.receiver)


@dataclass(frozen=True, eq=False)
class Enlist(Patch):
    """Add what ``make`` builds of a module's attribute to one of devpatch's own lists, such as the dismissals."""

    make: Callable[[Any], Any]
    into: list[Any]

    def apply(self, module: ModuleType) -> Undo:
        """See Patch.apply."""
        entry = self.make(self.look_up(module)[2])
        self.into.append(entry)
        return lambda: self.into.remove(entry)


def _check_call(patch: Patch, function: Any, arguments: tuple[str, ...]) -> None:
    if not callable(function):
        raise Unpatchable(f"{patch.title} can't be called")
    try:
        inspect.signature(function).bind(*arguments)
    except (TypeError, ValueError) as error:
        raise Unpatchable(f"{patch.title}{_signature(function)} takes other arguments ({error})") from None


def _surround(parent: Any, name: str, make: Make) -> Undo:
    function = getattr(parent, name)
    undo = _way_back(parent, name)
    setattr(parent, name, functools.wraps(function)(make(function)))
    return undo


def _way_back(parent: Any, name: str) -> Undo:
    own = vars(parent).get(name)
    if own is None:  # It is inherited.
        return lambda: delattr(parent, name)
    return lambda: setattr(parent, name, own)


def _signature(function: Any) -> str:
    try:
        return str(inspect.signature(function))
    except (TypeError, ValueError):
        return ""


def overlaid(module: ModuleType, **replaced: Any) -> ModuleType:
    """Return a module that shows the attributes of ``module``, some of them replaced."""
    # A real module, for CPython finds the attributes of those, and of nothing like them, the fast way.
    overlay = ModuleType(module.__name__)
    vars(overlay).update(vars(module))
    vars(overlay).update(replaced, __getattr__=functools.partial(getattr, module))  # PEP 562
    return overlay


class Ledger:
    """Every patch with its outcome, and the way back."""

    def __init__(self) -> None:
        self.outcomes: dict[Patch, Outcome] = {}
        self.reasons: dict[Patch, str] = {}
        self.on_failure: Callable[[Patch, str], None] | None = None
        self._undos: list[tuple[Patch | None, Undo]] = []
        self.surrounded: set[type] = set()  # by surround_methods; who is called often asks here first

    def await_module(self, patch: Patch) -> None:
        """Apply ``patch`` as soon as its module has been executed, which may be now."""
        if patch in self.outcomes and self.outcomes[patch] is not Outcome.RESTORED:
            return
        self.outcomes[patch] = Outcome.PENDING
        register_post_import_hook(lambda module: self.apply(patch, module), patch.target)

    def apply(self, patch: Patch, module: ModuleType) -> None:
        """Apply ``patch`` now and record the outcome. Never raises: a hook that does fails the user's import."""
        try:
            undo = patch.apply(module)
        except Unpatchable as error:
            self._fail(patch, str(error))
        except Exception as error:
            self._fail(patch, f"{patch.title} could not be patched ({type(error).__name__}: {error})")
        else:
            self.outcomes[patch] = Outcome.APPLIED
            self._undos.append((patch, undo))

    def surround_methods(self, kind: type, makes: Mapping[str, Make]) -> None:
        """Do as ``Surround`` does with these methods of ``kind``; a second time do nothing.

        For classes that are known only when an object of theirs comes along. Attributes of the object
        would do as well, but make CPython look up all its other methods the slow way.
        """
        if kind in self.surrounded:
            return
        self.surrounded.add(kind)
        self.record(lambda: self.surrounded.discard(kind))
        for name, make in makes.items():
            self.record(_surround(kind, name, make))

    def record(self, undo: Undo) -> None:
        """Keep the undo of a change to an object, such as one server."""
        self._undos.append((None, undo))

    def _fail(self, patch: Patch, reason: str) -> None:
        self.outcomes[patch] = Outcome.FAILED
        self.reasons[patch] = reason
        if self.on_failure is not None:
            self.on_failure(patch, reason)

    def restore(self) -> None:
        """Undo everything, the latest first. What can't be undone is left and the rest still is."""
        while self._undos:
            patch, undo = self._undos.pop()
            try:
                undo()
            except Exception as error:
                if patch is not None:
                    self.reasons[patch] = f"{type(error).__name__}: {error}"
            else:
                if patch is not None:
                    self.outcomes[patch] = Outcome.RESTORED


def dry_run(patch: Patch) -> str | None:
    """Return why ``patch`` would not fit the installed version of its target; None if it fits.

    Imports the target. A target that can't be imported is a reason as well.
    """
    try:
        patch.check(importlib.import_module(patch.target))
    except Unpatchable as error:
        return str(error)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # A broken framework may raise anything, SystemExit too.
        return f"{patch.target} can't be imported ({type(error).__name__}: {error})"
    return None


ledger = Ledger()
