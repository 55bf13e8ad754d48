"""Matplotlib figures as inline SVG that follows the page's light or dark theme.

Figures draw lines and text only in the colours of `single_rs.plots.style`; here each of them becomes a CSS variable, so
that one drawing serves both themes. Text stays text: it is selectable, searchable and takes the font of the page.
"""

from __future__ import annotations

import base64
import html
import io
import re
from typing import TYPE_CHECKING

import matplotlib as mpl
import numpy as np

from single_rs.plots import style

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["PIXELS_PER_INCH", "figure_svg"]

PIXELS_PER_INCH = 120  # of the page: 8 pt type of the figures becomes 13 px
# Of pictures within a drawing; 1.25 per pixel of the page, which is what the maps resolve, at half the bytes of print.
PICTURE_DPI = 150

_VARIABLES = {
    style.INK: "var(--fig-ink)",
    style.MUTED: "var(--fig-muted)",
    style.GRID: "var(--fig-grid)",
    style.BLUE: "var(--fig-blue)",
    style.ORANGE: "var(--fig-orange)",
    style.GREEN: "var(--fig-green)",
    style.PURPLE: "var(--fig-purple)",
    style.SKY: "var(--fig-sky)",
}


_PICTURE = re.compile(r"data:image/png;base64,([A-Za-z0-9+/=\s]+)")
_QUALITY = 88  # of the JPEG


def _smaller(found: re.Match[str]) -> str:
    """Return a picture as JPEG, or with a palette where parts are transparent, when that is shorter."""
    from PIL import Image

    target = io.BytesIO()
    with Image.open(io.BytesIO(base64.b64decode(found[1]))) as picture:
        opaque = "A" not in picture.getbands() or int(np.asarray(picture.getchannel("A")).min()) == 255
        if opaque:
            picture.convert("RGB").save(target, "JPEG", quality=_QUALITY)
        else:
            picture.quantize(256, method=Image.Quantize.FASTOCTREE).save(target, "PNG", optimize=True)
    shorter = base64.b64encode(target.getvalue()).decode("ascii")
    kind = "jpeg" if opaque else "png"
    return f"data:image/{kind};base64,{shorter}" if len(shorter) < len(found[1]) else found[0]


def figure_svg(figure: Figure, name: str, alt: str) -> str:
    """Draw a figure as an inline ``<svg>`` element.

    Parameters
    ----------
    figure
        Any figure made by `single_rs.plots`.
    name
        Unique on the page: prefixes all ids of the drawing, which would otherwise collide between figures.
    alt
        Description for readers who cannot see the figure.
    """
    target = io.StringIO()
    # A fixed salt makes the ids, and so the page, the same for the same run.
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": name}):
        figure.savefig(
            target,
            format="svg",
            dpi=PICTURE_DPI,
            metadata={"Date": None, "Creator": None, "Format": None, "Type": None},
        )
    drawing = target.getvalue()
    drawing = drawing[drawing.index("<svg") :]
    drawing = re.sub(r"<metadata>.*?</metadata>", "", drawing, flags=re.DOTALL)
    drawing = re.sub(r"<!--.*?-->\s*", "", drawing, flags=re.DOTALL)
    drawing = _PICTURE.sub(_smaller, drawing)
    drawing = re.sub(r'\bid="', f'id="{name}-', drawing)
    drawing = re.sub(r"url\(#", f"url(#{name}-", drawing)
    drawing = re.sub(r'xlink:href="#', f'xlink:href="#{name}-', drawing)
    drawing = re.sub("|".join(_VARIABLES), lambda found: _VARIABLES[found.group()], drawing)
    box = re.search(r'viewBox="([^"]*)"', drawing)
    # One scale for all figures, so that type has one size on the whole page; narrow screens shrink them.
    width = round(figure.get_figwidth() * PIXELS_PER_INCH)
    opening = (
        f'<svg viewBox="{box.group(1) if box else "0 0 100 100"}" style="max-width:{width}px" role="img" '
        f'aria-label="{html.escape(alt)}">'
    )
    return opening + drawing[drawing.index(">") + 1 :].strip()
