"""The start of a server: check it, make the patches and announce the features, or refuse the start.

This module names no integration and no feature. The assembly passes its tables.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence

from . import switches
from .console import ERROR, WARNING, say
from .features import NO_RELOADER, Feature
from .lifecycle import examination, sessions, starts
from .lifecycle.endings import ExitStatus, ending
from .lifecycle.sessions import Role
from .patching import ON_DEMAND, Capability, Lacks, Outcome, Patch, ledger
from .refusals import is_in_ci, refuse, replace_entry

Patches = Callable[[str], Sequence[Patch]]  # by the name of a server


class Activation:
    """Handles the starts of servers in this process, and remembers what it has done and printed."""

    def __init__(
        self,
        serving_patches: Patches,
        patches_for: Patches,
        features: Callable[[], Sequence[Feature]],
        how_to_reload: Callable[[str], str],
    ) -> None:
        """Take the assembly's tables.

        ``serving_patches`` returns the patches to make when a server starts. ``patches_for`` returns all patches
        that matter to a server. ``features`` returns all features. ``how_to_reload`` returns what to do for a server
        that runs without a reloader.
        """
        self._serving_patches = serving_patches
        self._patches_for = patches_for
        self._features = features
        self._how_to_reload = how_to_reload
        self._active: list[Feature] = []
        self._said: set[str] = set()
        self._announced: set[str] = set()
        self._declined: set[str] = set()

    def listen(self, launch_folder: str | None) -> None:
        """Register for the starts of servers. ``launch_folder`` is the working directory at the start of Python."""
        starts.launch_folder = launch_folder
        starts.listen(self._start, self._loaded, ledger.record)
        ledger.on_failure = self._on_patch_failure

    def _start(self, start: starts.Start) -> None:
        """Check, patch and announce before a server starts. What an earlier start has done is not repeated.

        Raises SystemExit with ``ExitStatus.REFUSED`` for a bad value or a server that a feature can't guard,
        and nothing else.
        """
        settings = switches.read(os.environ)
        if settings.disabled:
            examination.report(start.server, {})  # The program itself has set the variable.
            return
        refuse(settings.problems)
        if settings.unknown and is_in_ci(os.environ):
            refuse([f"{_about_unknown(name)} (an error, because CI is set)" for name in settings.unknown])
        wanted = [feature for feature in self._features() if settings[feature.switch]]
        if examination.is_wanted():
            self._report(wanted, start, settings)
        try:
            active = self._activate(wanted, start, settings)
        except Exception as error:
            reason = f"{type(error).__name__}: {error}"
            refuse([feature.refusal(start.server, reason) for feature in wanted if feature.refuses])
            self._say_once(f"no switch has an effect on {start.server}: {reason}")
            return
        if not _parent_has_spoken(start):
            self._announce(active, start, settings)
        if start.role is Role.SUPERVISOR:
            sessions.mark_worker()

    def _patch_requests(self, wanted: list[Feature], start: starts.Start) -> None:
        if any(feature.watches_requests for feature in wanted):
            not_needed = ON_DEMAND.difference(*(feature.needs for feature in wanted))
            for patch in self._serving_patches(start.server):
                if patch.provides not in not_needed:
                    ledger.apply_when_imported(patch)

    def _activate(
        self, wanted: list[Feature], start: starts.Start, settings: switches.Settings
    ) -> list[Feature]:
        """Make the patches and activate the features that can work on this start. Return these features."""
        self._patch_requests(wanted, start)
        refuse([problem for feature in wanted if (problem := feature.unusable(settings))])
        active = []
        declined: dict[str, list[Feature]] = {}  # by the reason
        for feature in wanted:
            if feature.name in self._declined:
                continue  # A command starts before its server. Its start printed why.
            static = start.obstacle or self._lack(feature, start.server)
            reason = static or self._why_not(feature, start, settings)
            if reason and feature.refuses:
                refuse([feature.refusal(start.server, reason)])
            elif reason:
                self._declined.add(feature.name)
                if not (static and _parent_has_spoken(start)):
                    declined.setdefault(reason, []).append(feature)
            else:
                feature.start = feature.start or start  # A command starts before its server.
                active.append(feature)
                if feature not in self._active:
                    self._active.append(feature)
                    feature.activate(settings)
        for reason, features in declined.items():
            self._say_once(_refusal(features, start.server, reason))
        return active

    def _report(self, wanted: list[Feature], start: starts.Start, settings: switches.Settings) -> None:
        reasons = self._examine(wanted, start, settings)
        refusing = [feature.name for feature in wanted if feature.refuses]
        examination.report(start.server, reasons, reloads=start.role is not Role.PLAIN, refusing=refusing)

    def _examine(
        self, wanted: list[Feature], start: starts.Start, settings: switches.Settings
    ) -> dict[str, str | None]:
        """Return why each wanted feature can't work on this start, or None."""
        try:
            self._patch_requests(wanted, start)
            return {
                feature.name: feature.unusable(settings)
                or start.obstacle
                or self._lack(feature, start.server)
                or self._why_not(feature, start, settings)
                or feature.load_problem(settings)
                for feature in wanted
            }
        except Exception as error:
            return dict.fromkeys((feature.name for feature in wanted), f"{type(error).__name__}: {error}")

    def _why_not(self, feature: Feature, start: starts.Start, settings: switches.Settings) -> str | None:
        """Return why ``feature`` can't work on this start, or None."""
        reason = self._missing(feature, start.server) or feature.objection(start, settings)
        if reason == NO_RELOADER:
            return f"{reason}; {self._how_to_reload(start.server)}"
        if reason is None and Capability.ERRORS in feature.needs:
            return start.proof()
        return reason

    def _lack(self, feature: Feature, server: str) -> str | None:
        """Return why ``server`` can't have a capability that ``feature`` needs, or None."""
        lacks = (patch for patch in self._patches_for(server) if isinstance(patch, Lacks))
        return next((patch.reason for patch in lacks if patch.provides in feature.needs), None)

    def _missing(self, feature: Feature, server: str) -> str | None:
        """Return why a patch that ``feature`` needs on ``server`` failed, or None if none has failed so far."""
        for patch in self._patches_for(server):
            if patch.provides in feature.needs and ledger.outcomes.get(patch) is Outcome.FAILED:
                return ledger.reasons[patch]
        return None

    def _announce(self, active: list[Feature], start: starts.Start, settings: switches.Settings) -> None:
        for name in settings.unknown:
            self._say_once(_about_unknown(name))
        for hint in settings.hints:
            self._say_once(hint)
        # The start of the command may have announced some of them.
        new = [feature for feature in active if feature.name not in self._announced]
        self._announced.update(feature.name for feature in new)
        if settings[switches.VERBOSE]:
            for feature in new:
                say(feature.announcement(start, settings))
        elif new:
            say(", ".join(feature.summary(start, settings) for feature in new))
        for feature in active:
            if advice := feature.advice(start, settings):
                self._say_once(advice)

    def _say_once(self, message: str) -> None:
        if message not in self._said:
            self._said.add(message)
            say(message, WARNING)

    def _loaded(self) -> bool:
        """Notify the features that the application is loaded. Return whether to watch its server."""
        for feature in self._active:
            if feature.start is None or feature.start.role is Role.SUPERVISOR:
                continue
            try:
                feature.loaded()
            except Exception as error:
                if sessions.worker.is_supervised:
                    raise
                refuse([str(error)])
        return any(feature.watches_requests for feature in self._active)

    def _on_patch_failure(self, patch: Patch, reason: str) -> None:
        """Act on a failed patch, unless a later start will report it."""
        if patch.provides is Capability.START:
            # Without this patch, no start is reported. So the function itself has to refuse.
            replace_entry(patch.target, patch.path, reason)
            return
        for feature in self._features():
            is_concerned = patch.provides in feature.needs and not feature.watches_requests
            if is_concerned and feature.name not in self._declined:
                # The feature needs no development server, so there may be no start that prints the reason.
                self._declined.add(feature.name)
                self._say_once(feature.refusal(patch.target, reason))
        if not starts.is_any_watched():
            return  # The next start finds the reason in the ledger.
        for feature in self._active:
            if patch.provides in feature.needs and feature.refuses:
                _stop(f"{feature.name} can't guard this application any more, so the server stops: {reason}")


def _parent_has_spoken(start: starts.Start) -> bool:
    """Whether the reloader's parent has printed the lines of this start. A worker would repeat them at each reload.

    A parent that was not patched has not: the variables were set after its start.
    """
    return start.role is Role.WORKER and (sessions.worker.is_supervised or sessions.has_patched_parent)


def _stop(message: str) -> None:
    ending.request(ExitStatus.REFUSED, lambda: say(message, ERROR))
    ending.release()


def _refusal(features: list[Feature], server: str, reason: str) -> str:
    """Return one line for all features that have no effect for the same reason."""
    if len(features) == 1:
        return features[0].refusal(server, reason)
    *first, last = (feature.name for feature in features)
    return f"{', '.join(first)} and {last} have no effect on {server}: {reason}"


def _about_unknown(name: str) -> str:
    known = switches.nearest(name)
    hint = f"did you mean {known}?" if known else "`python -m devpatch` lists the switches"
    name = name if name.isprintable() else repr(name)
    return f"{name} is not a switch of devpatch; {hint}"
