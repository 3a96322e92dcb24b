"""django.core.exceptions, django.template: the exceptions whose cause stands in settings, or in a template."""

from __future__ import annotations

from collections.abc import Callable

from ..lifecycle import places
from ..patching import Capability, Register


def _locator(kind: type) -> Callable[[BaseException], tuple[str, int] | None]:
    def locate(error: BaseException) -> tuple[str, int] | None:
        # Django adds it if the template engine's option "debug" is on, as it is with DEBUG.
        details = getattr(error, "template_debug", None) if isinstance(error, kind) else None
        return (str(details["name"]), int(details["line"])) if details else None

    return locate


# The code fails before a start is reported, so these are registered when a server's module is imported.
ENTRY_PATCHES = (
    Register(
        "django.core.exceptions",
        "ImproperlyConfigured",
        Capability.PLACES,
        lambda kind: kind,
        places.misconfigurations,
    ),
    Register(
        "django.conf",
        "ENVIRONMENT_VARIABLE",
        Capability.PLACES,
        lambda name: name,
        places.variables,
    ),
    Register(
        "django.template.exceptions", "TemplateSyntaxError", Capability.PLACES, _locator, places.locators
    ),
)
