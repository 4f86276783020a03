"""The build fails on a link inside the site that leads nowhere, and on anything that is loaded from another host."""

import pathlib
import urllib.parse

from bs4 import BeautifulSoup
from sphinx.application import Sphinx
from sphinx.errors import ExtensionError


def broken(site: pathlib.Path) -> list[str]:
    """Every ``page: link`` whose file or anchor is not there, or whose source lies on another host."""
    soups = {
        path: BeautifulSoup(path.read_text(encoding="utf-8"), "html.parser") for path in sorted(site.rglob("*.html"))
    }
    anchors = {
        path: {tag[name] for name in ("id", "name") for tag in soup.find_all(attrs={name: True})}
        for path, soup in soups.items()
    }
    found = []
    for path, soup in soups.items():
        for tag in soup.find_all(["a", "link", "img", "script", "iframe", "source"]):
            target = tag.get("href") or tag.get("src") or ""
            url = urllib.parse.urlsplit(target)
            if url.scheme or url.netloc:
                if tag.name != "a" and url.scheme != "data":
                    found.append(f"{path.relative_to(site)}: loads {target}")
                continue
            there = (path.parent / urllib.parse.unquote(url.path)).resolve() if url.path else path
            there = there / "index.html" if there.is_dir() else there
            fragment = urllib.parse.unquote(url.fragment)
            if not there.exists() or (fragment and there in anchors and fragment not in anchors[there]):
                found.append(f"{path.relative_to(site)}: {target}")
    return sorted(set(found))


def check(app: Sphinx, error: Exception | None) -> None:
    """Fail on the first few."""
    if error is None and app.builder.name == "html":
        found = broken(pathlib.Path(app.outdir))
        if found:
            raise ExtensionError(f"{len(found)} broken links: {'; '.join(found[:10])}")


def setup(app: Sphinx) -> dict[str, bool]:
    """Connect, after all else has been written."""
    app.connect("build-finished", check, priority=900)
    return {"parallel_read_safe": True}
