"""The command ``single-rs plan``: what precision to expect of an experiment."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from single_rs.cli.app import app, settings_flags
from single_rs.cli.options import Threads, use_threads
from single_rs.cli.tools import TOOLS

Frames = Annotated[int, Parameter(help="Single frames of the particle.")]


@app.command(group=TOOLS)
def plan(
    *,
    element: Annotated[str, Parameter(help="Chemical symbol.")],
    diameter: Annotated[float, Parameter(help="Of the particle, Å.")],
    dose: Annotated[float, Parameter(help="Electrons per pixel and frame.")],
    frames: Frames,
    pixel_size: Annotated[float, Parameter(help="Å.")],
    step: Annotated[float, Parameter(help="Turn from frame to frame, rms, degrees.")] = 8.0,
    out: Annotated[Path, Parameter(help="Folder for the simulated frames and their solution.")] = Path("plan"),
    config: Annotated[Path | None, Parameter(help="TOML of 'single-rs config --simulate' for all else.")] = None,
    seed: Annotated[int, Parameter(help="Another seed is another particle and other noise.")] = 1,
    threads: Threads = None,
) -> None:
    """Simulate an experiment, solve it, and say what to expect: atoms found, error in pm, processor time.

    Optics, detector, defects and motion are set as in --optics.defocus-mean -60, --crystal.defect twin; see
    'single-rs config --simulate'.
    """
    use_threads(threads)
    from single_rs.base.settings_text import load_settings, settings_from_dict
    from single_rs.cli.progress import progress_bars
    from single_rs.simulate import SimulateConfig
    from single_rs.validate.plan import plan as make

    settings = load_settings(SimulateConfig(), config, settings_flags())
    given = {
        "frames": frames,
        "pixel_size": pixel_size,
        "seed": seed,
        "detector": {"dose": dose},
        "crystal": {"element": element, "diameter": diameter},
        "movement": {"step": step},
    }
    with progress_bars() as progress:
        found = make(settings_from_dict(settings, given), out, progress=progress)
    print(f"{found.frames} frames of {dose:g} e/px ({dose / pixel_size**2:.3g} e/Å²), {found.atoms} atoms of {element}")
    if found.agreement is None:
        print(f"{found.verdict}: no atoms; {'; '.join(found.reasons)}")
    else:
        a = found.agreement
        print(f"{found.verdict}: {100 * a.recall:.1f} % of the atoms found, {100 * (1 - a.precision):.1f} % false")
        print(f"error {a.rmsd:.2f} pm root mean square, {a.rmsd_unstrained:.2f} pm less a uniform strain")
    print(f"{found.cpu_seconds:.0f} s of processor time; one particle is one sample, other --seed tell the spread")
    print(f"files: {found.folder}")
