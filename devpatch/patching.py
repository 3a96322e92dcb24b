"""Patches, and the ledger that records the outcome of each. This is the only file that imports wrapt.

A patch is looked up, checked, applied and recorded, together with the function that undoes it. A patch that does
not fit raises no exception in the user's program: it becomes a failed entry with a reason.

Limits: a module that ``importlib.reload`` executes again loses its patches. wrapt's import hooks run only once.
"""

from __future__ import annotations

import enum
import functools
import importlib
import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Any

from wrapt import register_post_import_hook, wrap_function_wrapper

Undo = Callable[[], object]


class Capability(enum.Enum):
    """What a patch enables devpatch to do in a server. A feature names the capabilities that it needs."""

    START = "know when the server starts"
    ERRORS = "see a request's unhandled error"
    PROMPTS = "know that a prompt has stopped the program"
    CHECKS = "see the messages of failed system checks"
    PLACES = "find the line of settings or of a template that an error is about"
    HANDLED = "see an exception that a handler turned into a response"
    RESPONSES = "know when a response was written"
    ENDING = "end the serving loop"
    THREADS = "choose how requests are handled"
    FIRST_START = "see how a command's first start ends"
    COSTS = "see what a request costs"
    EXC_INFO = "hand the exception to start_response"
    FILE_CHANGES = "wake the reloader"
    WORKERS = "start the reloader's workers, and know why they end"


# Patches for these are made only for a feature that needs them, because the patched code runs very often.
ON_DEMAND = frozenset({Capability.COSTS})


class Outcome(enum.Enum):
    """The state of a patch."""

    PENDING = "pending"  # its module has not been imported yet
    APPLIED = "applied"
    FAILED = "failed"
    RESTORED = "restored"


class Unpatchable(Exception):
    """The target is not what the patch expects. The message says why."""


@dataclass(frozen=True, eq=False)
class Patch:
    """A change to one attribute of one module.

    ``target`` is the module's name. ``path`` is "name" or "Class.name" in it. ``provides`` is the capability that
    devpatch loses if the change can't be made.
    """

    target: str
    path: str
    provides: Capability

    @property
    def title(self) -> str:
        """The name of the patched attribute, for messages."""
        return f"{self.target}.{self.path}"

    def look_up(self, module: ModuleType) -> tuple[Any, str, Any]:
        """Return the attribute's parent, name and value. Raises Unpatchable."""
        *parents, name = self.path.split(".")
        try:
            parent: Any = functools.reduce(getattr, parents, module)
            return parent, name, getattr(parent, name)
        except AttributeError as error:
            raise Unpatchable(f"{self.title} is not there ({error})") from None

    def check(self, module: ModuleType) -> None:
        """Check the target without changing it. Raises Unpatchable."""
        self._check(self.look_up(module)[2])

    def apply(self, module: ModuleType) -> Undo:
        """Check the target and make the change. Return a function that undoes it. Raises Unpatchable."""
        parent, name, value = self.look_up(module)
        self._check(value)
        return self._change(parent, name, value)

    def _check(self, value: Any) -> None:
        """Check the attribute's current value. Raises Unpatchable."""

    def _change(self, parent: Any, name: str, value: Any) -> Undo:
        """Change the attribute. Return a function that undoes it. This kind of patch changes nothing."""
        return lambda: None


def _check_call(patch: Any, value: Any, arguments: Sequence[str] = ()) -> None:
    """Check that ``value`` takes ``arguments``, or else those of the patch. Raises Unpatchable."""
    if not callable(value):
        raise Unpatchable(f"{patch.title} can't be called")
    signature: Any = ""
    try:
        signature = inspect.signature(value)
        signature.bind(*(arguments or patch.arguments))
    except (TypeError, ValueError) as error:
        raise Unpatchable(f"{patch.title}{signature} takes other arguments ({error})") from None


@dataclass(frozen=True, eq=False)
class Lacks(Patch):
    """A capability that a server can't have, and why. It changes nothing."""

    reason: str

    def _check(self, value: Any) -> None:
        raise Unpatchable(self.reason)


Wrapper = Callable[[Callable[..., Any], Any, tuple[Any, ...], dict[str, Any]], Any]
Make = Callable[[Callable[..., Any]], Callable[..., Any]]


@dataclass(frozen=True, eq=False)
class Expect(Patch):
    """Require a function or method without changing it: devpatch calls it, or changes it on a subclass or an object.

    ``arguments`` are the positional arguments that it must accept, including ``self``.
    """

    arguments: tuple[str, ...]

    _check = _check_call


@dataclass(frozen=True, eq=False)
class Wrap(Patch):
    """Call ``wrapper(wrapped, instance, args, kwargs)`` instead of a function. ``arguments`` are as for ``Expect``."""

    wrapper: Wrapper
    arguments: tuple[str, ...] = ()

    _check = _check_call

    def _change(self, parent: Any, name: str, value: Any) -> Undo:
        if getattr(value, "_self_wrapper", None) is self.wrapper:
            return lambda: None  # It is wrapped already.
        undo = _undo_of(parent, name)
        wrap_function_wrapper(parent, name, self.wrapper)
        return undo


@dataclass(frozen=True, eq=False)
class Decorate(Patch):
    """Replace a method with the function that ``make`` returns for it.

    The method must accept the arguments that the new function requires, or else ``arguments``, as for ``Expect``.
    This is meant for methods that run for every request: wrapt's wrapper can do more, but creates three objects per
    call.
    """

    make: Make
    arguments: tuple[str, ...] = ()

    def _check(self, value: Any) -> None:
        if arguments := self.arguments or _required(self.make(value)):
            _check_call(self, value, arguments)

    def _change(self, parent: Any, name: str, value: Any) -> Undo:
        return _decorate(parent, name, self.make)


@dataclass(frozen=True, eq=False)
class Replace(Patch):
    """Replace a module's attribute with what ``make`` returns for it."""

    make: Callable[[Any], Any]
    needs: tuple[str, ...] = ()  # attributes that the current value must have

    def _check(self, value: Any) -> None:
        for name in self.needs:
            if not hasattr(value, name):
                raise Unpatchable(f"{self.title}.{name} is not there")

    def _change(self, parent: Any, name: str, value: Any) -> Undo:
        setattr(parent, name, self.make(value))
        return lambda: setattr(parent, name, value)


@dataclass(frozen=True, eq=False)
class Connect(Patch):
    """Connect a receiver to a signal of Django or blinker. Unlike a wrapper, it leaves no frame in a traceback."""

    receiver: Callable[..., object]

    def _check(self, value: Any) -> None:
        if not (hasattr(value, "connect") and hasattr(value, "disconnect")):
            raise Unpatchable(f"{self.title} is not a signal")

    def _change(self, parent: Any, name: str, value: Any) -> Undo:
        value.connect(self.receiver, weak=False)
        return lambda: value.disconnect(self.receiver)


@dataclass(frozen=True, eq=False)
class Register(Patch):
    """Add what ``make`` returns for a module's attribute to the list ``into``, such as ``requests.exemptions``."""

    make: Callable[[Any], Any]
    into: list[Any]

    def _change(self, parent: Any, name: str, value: Any) -> Undo:
        entry = self.make(value)
        self.into.append(entry)
        return lambda: self.into.remove(entry)


def _decorate(parent: Any, name: str, make: Make) -> Undo:
    function = getattr(parent, name)
    undo = _undo_of(parent, name)
    setattr(parent, name, functools.wraps(function)(make(function)))
    return undo


def _required(function: Callable[..., Any]) -> tuple[str, ...]:
    """Return the names of the positional arguments of ``function`` that have no default."""
    parameters = inspect.signature(function).parameters.values()
    return tuple(p.name for p in parameters if p.kind is p.POSITIONAL_OR_KEYWORD and p.default is p.empty)


def _undo_of(parent: Any, name: str) -> Undo:
    """Return a function that restores the attribute's current value."""
    own = vars(parent).get(name)
    if own is None:  # It is inherited.
        return lambda: delattr(parent, name)
    return lambda: setattr(parent, name, own)


def module_proxy(module: ModuleType, **replaced: Any) -> ModuleType:
    """Return a copy of ``module`` with some attributes replaced."""
    # A real module, because CPython looks up attributes faster in modules than in any other kind of object.
    proxy = ModuleType(module.__name__)
    vars(proxy).update(vars(module))
    vars(proxy).update(replaced, __getattr__=functools.partial(getattr, module))  # later attributes (PEP 562)
    return proxy


class Ledger:
    """Records the outcome of every patch, and how to undo it."""

    def __init__(self) -> None:
        self.outcomes: dict[Patch, Outcome] = {}
        self.reasons: dict[Patch, str] = {}
        self.on_failure: Callable[[Patch, str], None] | None = None
        self._undos: list[tuple[Patch | None, Undo]] = []
        self.decorated: set[type] = set()  # by decorate_methods

    def apply_when_imported(self, patch: Patch) -> None:
        """Apply ``patch`` as soon as its module has been executed, or now if it was. A second call does nothing."""
        if patch in self.outcomes and self.outcomes[patch] is not Outcome.RESTORED:
            return
        self.outcomes[patch] = Outcome.PENDING
        register_post_import_hook(lambda module: self.apply(patch, module), patch.target)

    def apply(self, patch: Patch, module: ModuleType) -> None:
        """Apply ``patch`` now and record the outcome. Never raises: an exception would break the user's import."""
        try:
            undo = patch.apply(module)
        except Unpatchable as error:
            self._fail(patch, str(error))
        except Exception as error:
            self._fail(patch, f"{patch.title} could not be patched ({type(error).__name__}: {error})")
        else:
            self.outcomes[patch] = Outcome.APPLIED
            self._undos.append((patch, undo))

    def decorate_methods(self, kind: type, makes: Mapping[str, Make]) -> None:
        """Do what ``Decorate`` does with the methods of ``kind`` named in ``makes``. A second call does nothing.

        This is meant for classes that are not known before their first object is created. Setting the methods on
        the object would work too, but it would slow down the look-up of all its other methods.
        """
        if kind in self.decorated:
            return
        self.decorated.add(kind)
        self.record(lambda: self.decorated.discard(kind))
        for name, make in makes.items():
            self.record(_decorate(kind, name, make))

    def record(self, undo: Undo) -> None:
        """Record how to undo a change that is not a patch, such as a change to one server object."""
        self._undos.append((None, undo))

    def _fail(self, patch: Patch, reason: str) -> None:
        self.outcomes[patch] = Outcome.FAILED
        self.reasons[patch] = reason
        if self.on_failure is not None:
            self.on_failure(patch, reason)

    def restore(self) -> None:
        """Undo everything, the latest change first. A patch whose undo fails stays applied, with a reason."""
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
    """Return why ``patch`` does not fit the installed version of its target, or None if it fits.

    Imports the target. A failed import is a reason too.
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
