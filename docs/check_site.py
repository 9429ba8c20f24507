"""Look through the built site: links, anchors and pictures lead somewhere, nothing comes from afar.

    python docs/check_site.py site

Rules of this file:
- It reads what was built, not the Markdown: what a generator lets pass is found here.
- A link may lead to another host, an asset may not: the site must be whole without a network.
- The standard library alone, and no request: what other hosts hold is not checked.
"""

from __future__ import annotations

import pathlib
import re
import sys
from html.parser import HTMLParser
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote, urlsplit

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    Pages = Mapping[pathlib.Path, "Page"]

ASSETS: Final = {
    "audio": "src", "iframe": "src", "img": "src", "link": "href", "script": "src",
    "source": "src", "video": "src",
}  # fmt: skip
"""Elements that make a browser load something, and where they name it."""
_NO_ASSETS: Final = frozenset({"canonical", "next", "prev", "alternate"})
"""Kinds of `<link>` that load nothing."""
_CSS_URL: Final = re.compile(r"(?:url\(|@import\s)\s*['\"]?((?:https?:)?//[^'\")\s]+)")


class Page(HTMLParser):
    """One page: its anchors, its links and its assets, and fences that were not rendered."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.ids: set[str] = set()
        self.links: list[str] = []
        self.assets: list[str] = []
        self.fences = 0
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Collect what an element names."""
        found = {name: value or "" for name, value in attrs}
        self.ids.update(found[name] for name in ("id", "name") if name in found)
        if tag == "a" and "href" in found:
            self.links.append(found["href"])
        if tag in ASSETS and ASSETS[tag] in found and found.get("rel") not in _NO_ASSETS:
            self.assets.append(found[ASSETS[tag]])

    def handle_data(self, data: str) -> None:
        """Count fences that stand in the text as they were written."""
        self.fences += data.count("```")


def faults(site: pathlib.Path) -> Iterator[str]:
    """Find what is wrong with a built site, a line for each."""
    files = sorted(site.rglob("*.html"))
    pages = {file.resolve(): Page(file.read_text(encoding="utf-8")) for file in files}
    for file, page in pages.items():
        name = file.relative_to(site.resolve())
        for link in [*page.links, *page.assets]:
            wrong = _wrong(link, file, pages, site.resolve(), asset=link in page.assets)
            if wrong:
                yield f"{name}: {wrong}: {link}"
        if page.fences:
            yield f"{name}: a block of code was not rendered"
    for sheet in sorted(site.rglob("*.css")):
        for url in _CSS_URL.findall(sheet.read_text(encoding="utf-8")):
            yield f"{sheet.relative_to(site)}: loads from another host: {url}"


def _wrong(
    link: str,
    file: pathlib.Path,
    pages: dict[pathlib.Path, Page],
    site: pathlib.Path,
    *,
    asset: bool,
) -> str:
    """Say what is wrong with a link of a file, or nothing."""
    parts = urlsplit(link)
    if parts.netloc:
        return "loads from another host" if asset else ""
    if parts.scheme:
        return ""  # mailto, data
    target = file
    if parts.path:
        start = site if parts.path.startswith("/") else file.parent
        target = (start / unquote(parts.path).lstrip("/")).resolve()
    if not target.is_relative_to(site):
        return "leads out of the site"
    target = target / "index.html" if target.is_dir() else target
    if not target.is_file():
        return "leads nowhere"
    anchor = unquote(parts.fragment)
    if anchor and target in pages and anchor not in pages[target].ids:
        return "has no such anchor"
    return ""


def main(arguments: Sequence[str] | None = None) -> int:
    """Print what is wrong; return the exit status."""
    (folder,) = sys.argv[1:] if arguments is None else arguments
    site = pathlib.Path(folder)
    if not (site / "index.html").is_file():
        print(f"{site} holds no site: build it first, `zensical build --strict`.")
        return 2
    found = list(faults(site))
    print("\n".join(found) or f"{site}: every link, anchor and asset is there.")
    return int(bool(found))


if __name__ == "__main__":
    raise SystemExit(main())
