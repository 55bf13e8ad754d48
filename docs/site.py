"""Build the site of the documentation in target/site: python docs/site.py

Needs `pip install ".[docs]"`, and no network. Pages are those of docs/; the reference of commands, settings and Python,
and the tutorials, are made here from the program and from the notebooks with their kept outputs. Every link between
pages is checked; the exit code is 1 when one leads nowhere, or when a page is missing in the navigation.
"""

from __future__ import annotations

import base64
import contextlib
import html
import io
import json
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import single_rs
from single_rs.cli import main as single_rs_command

ROOT = Path(__file__).parents[1]
PAGES, SITE = ROOT / "target" / "site-pages", ROOT / "target" / "site"
NOT_PAGES = ("notebooks", "__pycache__")


def build() -> list[str]:
    """Build the site; return what is wrong with it, a line each."""
    shutil.rmtree(PAGES, ignore_errors=True)
    shutil.rmtree(SITE, ignore_errors=True)
    shutil.copytree(ROOT / "docs", PAGES, ignore=shutil.ignore_patterns(*NOT_PAGES, "*.py"))
    (PAGES / "tutorials").mkdir()
    for notebook in sorted((ROOT / "docs" / "notebooks").glob("*.ipynb")):
        tutorial(notebook)
    reference = PAGES / "reference"
    reference.mkdir()
    (reference / "commands.md").write_text(commands(), encoding="utf-8")
    (reference / "settings.md").write_text(settings(), encoding="utf-8")
    (reference / "python.md").write_text(python(), encoding="utf-8")
    for page in PAGES.rglob("*.md"):
        page.write_text(outward(page.read_text(encoding="utf-8")), encoding="utf-8")
    wrong = [f"{p} is not in the navigation of zensical.toml" for p in sorted(_pages() - set(_named()))]
    subprocess.run([str(Path(sys.executable).parent / "zensical"), "build", "--clean"], cwd=ROOT, check=True)
    return wrong + broken_links()


def tutorial(notebook: Path) -> None:
    """Turn a notebook with its outputs into a page, its pictures and its 3D views."""
    folder = PAGES / "tutorials"
    parts = []
    for number, cell in enumerate(json.loads(notebook.read_text(encoding="utf-8"))["cells"]):
        text = "".join(cell["source"])
        if cell["cell_type"] == "markdown":
            parts.append(text)
            continue
        parts.append(f"```python\n{text}\n```")
        for k, output in enumerate(cell["outputs"]):
            data = output.get("data", {})
            if "<iframe" in (page := "".join(data.get("text/html", ""))):
                parts.append(_framed(page, folder / f"{notebook.stem}_{number}_{k}.html"))
            elif "image/png" in data:
                name = f"{notebook.stem}_{number}_{k}.png"
                (folder / name).write_bytes(base64.b64decode("".join(data["image/png"])))
                parts.append(f"![Output of the cell above]({name})")
            elif "text" in output or "text/plain" in data:
                parts.append("```text\n" + "".join(output.get("text") or data["text/plain"]).rstrip() + "\n```")
    (folder / f"{notebook.stem}.md").write_text("\n\n".join(parts) + "\n", encoding="utf-8")


def _framed(output: str, page: Path) -> str:
    """Write the page that an output holds in a frame into a file of its own; return the frame that shows the file."""
    held = re.search(r' srcdoc="([^"]*)"', output)
    if held is None:
        return output
    page.write_text(html.unescape(held[1]), encoding="utf-8")
    return output.replace(held[0], f' src="{page.name}" loading="lazy"')


def commands() -> str:
    """Return the help of every command as a page."""
    top = _help([])
    names = re.findall(r"^│ ([a-z][a-z-]+) ", top, re.MULTILINE)
    parts = ["# Commands", f"```text\n{top}\n```"]
    parts += [f"## {name}\n\n```text\n{_help([name])}\n```" for name in names]
    return "\n\n".join(parts) + "\n"


def settings() -> str:
    """Return all settings, as the command prints them."""
    printed = [_printed(["config"]), _printed(["config", "--simulate"])]
    return (
        "# Settings\n\nAll settings: defaults, units, meaning and bounds, as `single-rs config` prints them.\n"
        "A value that is commented out is found from the data.\n\n"
        f"```toml\n{printed[0]}```\n\n## Of the simulator\n\n```toml\n{printed[1]}```\n"
    )


def python() -> str:
    """Return the page of the public names, which mkdocstrings fills from their docstrings."""
    parts = [
        "# Python\n\nThe names at the root of the package, `import single_rs as sr`, in the order of the pipeline."
    ]
    for module, names in single_rs._PUBLIC.items():
        parts += [f"## {module}", *(f"::: single_rs.{module}.{name}" for name in names)]
    return "\n\n".join(parts) + "\n"


def outward(text: str) -> str:
    """Turn links to files that are not pages into the names of those files."""
    return re.sub(r"\[([^\]]+)\]\(\.\./[^)]+\)", r"\1", text)


def _help(words: list[str]) -> str:
    return _printed([*words, "--help"])


def _printed(words: list[str]) -> str:
    """Return what a command prints."""
    target = io.StringIO()
    with contextlib.redirect_stdout(target):
        single_rs_command(words)
    return target.getvalue().rstrip() + "\n"


def _pages() -> set[str]:
    return {p.relative_to(PAGES).as_posix() for p in PAGES.rglob("*.md")}


def _named() -> Iterator[str]:
    """Yield the pages of the navigation."""

    def walk(entry: Any) -> Iterator[str]:
        if isinstance(entry, str):
            yield entry
        elif isinstance(entry, dict):
            for value in entry.values():
                yield from walk(value)
        else:
            for part in entry:
                yield from walk(part)

    yield from walk(tomllib.loads((ROOT / "zensical.toml").read_text(encoding="utf-8"))["project"]["nav"])


class _Links(HTMLParser):
    """Targets of links and pictures, and anchors, of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.targets: list[str] = []
        self.anchors: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Collect."""
        named = dict(attrs)
        self.targets += [v for k in ("href", "src") if (v := named.get(k))]
        self.anchors |= {v for k in ("id", "name") if (v := named.get(k))}


def broken_links() -> list[str]:
    """Return the links of the built site that lead nowhere, within it."""
    read: dict[Path, _Links] = {}
    for page in sorted(SITE.rglob("*.html")):
        read[page] = _Links()
        read[page].feed(page.read_text(encoding="utf-8"))
    wrong = []
    for page, links in read.items():
        for target in links.targets:
            parts = urlsplit(target)
            if parts.scheme or parts.netloc or page.name == "404.html":
                continue
            place = (page.parent / unquote(parts.path)).resolve() if parts.path else page
            place = place / "index.html" if place.is_dir() else place
            known = place.exists() and (not parts.fragment or unquote(parts.fragment) in _anchors(read.get(place)))
            if not known:
                wrong.append(f"{page.relative_to(SITE)}: {target} leads nowhere")
    return wrong


def _anchors(links: _Links | None) -> set[str]:
    return set() if links is None else links.anchors | {"__tabbed", "__skip"}


if __name__ == "__main__":
    problems = build()
    print(
        "\n".join(problems) if problems else f"{len(_pages())} pages, all links lead somewhere: {SITE / 'index.html'}"
    )
    sys.exit(bool(problems))
