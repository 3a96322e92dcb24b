"""Links that open a file in the user's editor."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import quote

from .... import switches


@dataclass(frozen=True)
class Editor:
    """The pattern of the links, or None, and pairs of folders: as the server sees them, and as the editor does."""

    pattern: str | None = None
    folders: tuple[tuple[str, str], ...] = ()

    @classmethod
    def of(cls, settings: switches.Settings) -> Editor:
        """Return the editor that DEVPATCH_EDITOR and DEVPATCH_EDITOR_PATHS name."""
        pattern, folders = settings[switches.EDITOR], settings[switches.EDITOR_PATHS]
        return cls(str(pattern) if pattern else None, folders if isinstance(folders, tuple) else ())

    def url(self, file: str, line: int) -> str | None:
        """Return the URL that opens ``file`` at ``line`` (from 1), or None without an editor or a real file."""
        if self.pattern is None or file.startswith("<"):
            return None
        for here, there in self.folders:
            if file == here or file.startswith(f"{here.rstrip('/')}/"):
                file = there.rstrip("/") + file[len(here.rstrip("/")) :]
                break
        path = quote(file.replace("\\", "/"))
        url = self.pattern.replace("/{path}", f"/{path.lstrip('/')}").replace("{path}", path)
        return url.replace("{line}", str(max(line, 1)))
