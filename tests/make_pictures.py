"""Make the pictures of the README and of the error page: ``python tests/make_pictures.py``.

It needs Django, Playwright and a Chromium, which the environment variable CHROMIUM may name. It runs the Django example
with fail-safe, breaks a file, and repairs it. The terminal and the page are what was printed and shown then.
"""

from __future__ import annotations

import html
import os
import re
import shutil
import sys
import tempfile
from pathlib import Path

from harness import DevServer, clean_environment, free_port, wait_for
from playwright.sync_api import sync_playwright

REPOSITORY = Path(__file__).resolve().parent.parent
COMMAND = "DEVPATCH_FAILSAFE=1 python manage.py runserver"
# The lines of the terminal that the picture has. An ellipsis stands for the others.
SHOWN = re.compile(r'devpatch: |Starting dev|.*"GET / |SyntaxError|    votes|    +\^$')
FOLDER = re.compile(r"; waiting for a change in [^;]*; ")

PAGE = """
<!doctype html><meta charset="utf-8"><style>
body {{ margin: 0; padding: 14px; display: grid; grid-template-columns: 1fr 1fr; gap: 14px; width: 992px;
        background: {background}; font: 12px/1.5 "DejaVu Sans Mono", Menlo, Consolas, monospace; }}
div, img {{ border-radius: 8px; border: 1px solid {line}; height: 398px; box-sizing: border-box; width: 100%; }}
div {{ background: #16181d; color: #c9d1d9; padding: 12px 14px; white-space: pre-wrap; overflow: hidden; }}
img {{ object-fit: cover; object-position: top left; }}
b, i, u {{ font-weight: normal; font-style: normal; text-decoration: none; }}
b {{ color: #e3b341; }} i {{ color: #6e7681; }} u {{ color: #fff; }}
</style><div>{terminal}</div><img src="data:image/png;base64,{page}">
"""
SCHEMES = {
    "light": {"background": "#ffffff", "line": "#d0d7de"},
    "dark": {"background": "#0d1117", "line": "#30363d"},
}


def terminal(output: str) -> str:
    """Return the lines to show, as HTML."""
    lines, gap = [f"<i>$</i> <u>{COMMAND}</u>"], False
    for line in output.splitlines():
        if not SHOWN.match(line):
            if not gap:
                lines.append("<i>…</i>")
            gap = True
            continue
        gap = False
        text = html.escape(FOLDER.sub("; waiting for a change; ", line))
        lines.append(f"<b>{text}</b>" if line.startswith("devpatch") else text)
    return "\n".join(lines)


def main() -> None:
    """Run the example, and write a picture for each colour scheme."""
    folder = Path(tempfile.mkdtemp()) / "mysite"
    shutil.copytree(REPOSITORY / "examples" / "django_project", folder)
    views, port = folder / "polls" / "views.py", free_port()
    whole = views.read_text()
    environ = clean_environment(DEVPATCH_FAILSAFE="1", PYTHONUNBUFFERED="1", PWD=str(folder))
    command = ["sh", "-c", f"exec 2>&1; exec {sys.executable} manage.py runserver 127.0.0.1:{port}"]
    server = DevServer(command, folder, Path(tempfile.mkdtemp()), port, environ)
    server.start()
    try:
        wait_until_serving(server)
        server.get("/")
        views.write_text(
            whole.replace("votes = []", 'votes = [int(vote) for vote in request.GET.getlist("vote")')
        )
        wait_for(lambda: "waiting for a change" in server.stdout, lambda: server.stdout)
        pages = shoot(f"http://127.0.0.1:{port}/")
        views.write_text(whole)
        wait_until_serving(server, times=2)
        server.get("/")
        wait_for(lambda: server.stdout.count('" 200') == 2, lambda: server.stdout)
        output = server.stdout.replace(str(port), "8000")
    finally:
        server.kill()
    compose(terminal(output), pages)


def wait_until_serving(server: DevServer, times: int = 1) -> None:
    """Wait until Django has said ``times`` that it serves."""
    wait_for(lambda: server.stdout.count("Quit the server") == times, lambda: server.stdout)


def browser(playwright):
    """Start Chromium."""
    return playwright.chromium.launch(executable_path=os.environ.get("CHROMIUM"), args=["--no-sandbox"])


def shoot(url: str) -> dict[str, bytes]:
    """Write a picture of the error page for each scheme, and return a narrow one."""
    pictures = {}
    with sync_playwright() as playwright:
        chromium = browser(playwright)
        for scheme in SCHEMES:
            size = {"width": 660, "height": 545}
            page = chromium.new_page(viewport=size, color_scheme=scheme, device_scale_factor=2)
            page.goto(url)
            pictures[scheme] = page.screenshot()
            page.set_viewport_size({"width": 1000, "height": 560})
            page.screenshot(path=REPOSITORY / "docs" / f"error-page-{scheme}.png", scale="css")
        chromium.close()
    return pictures


def compose(text: str, pages: dict[str, bytes]) -> None:
    """Write the pictures, with the terminal beside the page."""
    import base64

    with sync_playwright() as playwright:
        chromium = browser(playwright)
        for scheme, colours in SCHEMES.items():
            page = chromium.new_page(viewport={"width": 1020, "height": 426}, device_scale_factor=1.5)
            picture = base64.b64encode(pages[scheme]).decode()
            page.set_content(PAGE.format(terminal=text, page=picture, **colours))
            page.screenshot(path=REPOSITORY / "docs" / f"front-{scheme}.png")
        chromium.close()


if __name__ == "__main__":
    main()
