"""Pages from Jinja2 templates: everything is escaped, an undefined name is an error, nothing comes from the network."""

from __future__ import annotations

import base64
import functools
import zlib
from importlib import resources
from typing import TYPE_CHECKING

from single_rs import __version__
from single_rs.report.views import Page, Viewer

if TYPE_CHECKING:
    from jinja2 import Environment
    from markupsafe import Markup

__all__ = ["render_page", "render_view"]


def render_page(page: Page) -> str:
    """Return a page as HTML."""
    return _environment().get_template("page.html").render(page=page, version=__version__) + "\n"


def render_view(viewer: Viewer) -> str:
    """Return a page that holds one 3D view and nothing else."""
    return _environment().get_template("view.html").render(viewer=viewer) + "\n"


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
    environment.filters["packed"] = _packed
    # Data for the scripts keep the order of their keys; NaN is no JSON.
    environment.policies["json.dumps_kwargs"] = {"separators": (",", ":"), "allow_nan": False}
    return environment


def _packed(text: str) -> str:
    """Return a file as compressed base64, which the script of the page unpacks when it is asked for."""
    return base64.b64encode(zlib.compress(text.encode("utf-8"), 9)).decode("ascii")


def _asset(name: str) -> Markup:
    """Return a style sheet or script that ships with the package."""
    from markupsafe import Markup

    return Markup((resources.files("single_rs.report") / "assets" / name).read_text(encoding="utf-8"))
