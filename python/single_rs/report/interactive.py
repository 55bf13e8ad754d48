"""The interactive parts of a report as HTML: the 3D view and the movie of the tumbling particle.

Data stand beside the elements as JSON; the scripts of the page bring them to life. "<" is written as an escape, so
that no content can end its script element early.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from single_rs.report.tables import text

if TYPE_CHECKING:
    from single_rs.report.files import ParticleFiles

__all__ = ["MOVIE_FRAMES", "player", "viewer"]

MOVIE_FRAMES = 200  # of all particles together: 12 kB each, so that the movies stay below 3 MB
_ATOM_SHOWS = (("all", "all atoms"), ("core", "core"), ("surface", "surface"))
_FORMS = (("atoms", "atoms"), ("density", "density"), ("both", "atoms in density"))
_PANELS = {
    "raw": "Frame as recorded",
    "denoised": "Denoised for display",
    "projected": "Map projected at the pose",
    "atoms": "Atoms at the pose",
}


def _json(data: dict[str, Any]) -> str:
    """Return data as a script element."""
    content = json.dumps(data, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c")
    return f'<script type="application/json">{content}</script>'


def _select(name: str, label: str, options: Iterable[tuple[Any, str]]) -> str:
    """Return a labelled choice."""
    listed = "".join(f'<option value="{value}">{text(said)}</option>' for value, said in options)
    return f'<label>{label} <select class="{name}">{listed}</select></label>'


def viewer(particle: ParticleFiles, data: dict[str, Any]) -> str:
    """Return the 3D view with its controls.

    Parameters
    ----------
    particle
        Files of the particle.
    data
        From `single_rs.report.view3d.view_data`.
    """
    density, atoms = data["density"], len(data["positions"])
    controls = []
    if atoms and density:
        controls.append(_select("form", "Draw", _FORMS))
    if atoms:
        controls.append(_select("colour", "Colour", ((k, c["name"]) for k, c in enumerate(data["colourings"]))))
        controls.append(_select("show", "Show", _ATOM_SHOWS if data["surface"] else _ATOM_SHOWS[:1]))
    if density:
        low, level = round(100 * density["floor"]) + 1, round(100 * density["level"])
        hidden = " hidden" if atoms else ""
        controls.append(
            f'<label{hidden}>Level <input class="level" type="range" min="{low}" max="95" value="{level}" step="1">'
            "</label>"
        )
    controls.append('<label>Cut <input class="cut" type="range" min="0" max="95" value="0" step="1"></label>')
    views = "".join(
        f'<button type="button" data-view="{k}" aria-label="Look along {v["name"]}">{v["name"]}</button>'
        for k, v in enumerate(data["views"])
    )
    shown = f"{atoms} atoms" if atoms else "the density"
    return (
        f'<div class="card viewer" id="view-{particle.number}" role="group" '
        f'aria-label="3D view of particle {particle.number}">'
        f'<div class="controls">{"".join(controls)}<span class="views">{views}</span></div>'
        f'<div class="scene" role="img" aria-label="{shown}; drag to turn, scroll to zoom">'
        "<p>The 3D view needs JavaScript and WebGL.</p></div>"
        f'<div class="legend" aria-live="polite"></div>{_json(data)}</div>'
    )


def player(particle: ParticleFiles, data: dict[str, Any]) -> str:
    """Return the movie of the tumbling particle with its controls.

    Parameters
    ----------
    particle
        Files of the particle.
    data
        From `single_rs.report.tumbling.tumbling_data`.
    """
    has_atoms = particle.atoms is not None and len(particle.atoms.positions) > 0
    panels = [*data["panels"], *(["atoms"] if has_atoms else [])]
    # Twice the pixels of the pictures keeps them sharp; atoms are drawn, so they take as many as the screen shows.
    pictures = "".join(
        f'<figure><canvas width="{560 if name == "atoms" else 2 * data["side"]}" '
        f'height="{560 if name == "atoms" else 2 * data["side"]}" class="{name}" role="img" '
        f'aria-label="{_PANELS[name]}"></canvas><figcaption>{_PANELS[name]}</figcaption></figure>'
        for name in panels
    )
    last = len(data["frames"]) - 1
    count = len(data["frames"])
    caption = (
        f"{count} consecutive frames, seen along the beam. Denoised for display: the mean of neighbours in time in "
        "which no atom has moved far, and one filter for all frames. The atoms have the colours chosen above."
    )
    return (
        f'<div class="card player" id="tumbling-{particle.number}" data-view="view-{particle.number}" role="group" '
        f'aria-label="Movie of particle {particle.number}"><h3>The particle as it tumbles</h3>'
        f'<div class="pictures n{len(panels)}">{pictures}</div>'
        '<div class="transport"><button type="button" class="play" aria-pressed="false">Play</button>'
        f'<input class="at" type="range" min="0" max="{last}" value="0" step="1" aria-label="Frame of the movie">'
        f'<output class="said"></output></div><p class="note">{caption}</p>{_json(data)}</div>'
    )
