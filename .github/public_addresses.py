"""Write the addresses of the public repository into the metadata: ``python .github/public_addresses.py URL TAG``.

The release workflow runs it before the build. A package index shows the README without the repository beside it, so
its links and pictures become absolute, with TAG. The files in the repository name no address: a fork has another one.
"""

import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
MARK = "license_files ="


def project_urls(url, tag):
    """Return the lines of setup.cfg."""
    pages = {
        "Source": url,
        "Documentation": f"{url}/blob/{tag}/docs/index.md",
        "Changelog": f"{url}/blob/{tag}/CHANGELOG.md",
        "Issues": f"{url}/issues",
        "Security": f"{url}/security",
    }
    return "project_urls =\n" + "".join(f"    {name} = {page}\n" for name, page in pages.items())


def absolute(readme, url, tag):
    """Return the README with absolute addresses."""
    readme = re.sub(r"\]\((?![a-z]+:|#)([^)]+)\)", rf"]({url}/blob/{tag}/\1)", readme)
    return re.sub(r'(src|srcset)="(?![a-z]+:)([^"]+)"', rf'\1="{url}/raw/{tag}/\2"', readme)


def main(url, tag):
    """Change setup.cfg and README.md."""
    for name, change in (
        ("setup.cfg", lambda text: text.replace(MARK, project_urls(url, tag) + MARK, 1)),
        ("README.md", lambda text: absolute(text, url, tag)),
    ):
        path = ROOT / name
        path.write_text(change(path.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
