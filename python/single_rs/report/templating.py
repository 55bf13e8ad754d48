"""Pages from Jinja2 templates: everything is escaped, an undefined name is an error, nothing comes from the network."""

from __future__ import annotations

import functools
from importlib import resources
from typing import TYPE_CHECKING
from urllib.parse import quote

from single_rs import __version__
from single_rs.report.views import Page

if TYPE_CHECKING:
    from jinja2 import Environment
    from markupsafe import Markup

__all__ = ["render_page"]


def render_page(page: Page) -> str:
    """Return a page as HTML."""
    return _environment().get_template("page.html").render(page=page, version=__version__) + "\n"


@functools.cache
def _environment() -> Environment:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("single_rs.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals["asset"] = _asset
    environment.filters["data_uri"] = _data_uri
    # Data for the scripts keep the order of their keys; NaN is no JSON.
    environment.policies["json.dumps_kwargs"] = {"separators": (",", ":"), "allow_nan": False}
    return environment


def _data_uri(text: str) -> str:
    """Return a CSV file as an address, so that it can be saved without a script."""
    return "data:text/csv;charset=utf-8," + quote(text, safe=",:/()|")


def _asset(name: str) -> Markup:
    """Return a style sheet or script that ships with the package."""
    from markupsafe import Markup

    return Markup((resources.files("single_rs.report") / "assets" / name).read_text(encoding="utf-8"))
