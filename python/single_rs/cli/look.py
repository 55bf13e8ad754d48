"""Commands that look without changing anything: what is in a file, and how two lists of atoms agree."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from single_rs.base.errors import DataFileError
from single_rs.cli.app import app
from single_rs.cli.options import PixelSize
from single_rs.cli.tools import TOOLS

if TYPE_CHECKING:
    from single_rs.compare.atoms import Agreement
    from single_rs.records import Atoms

Pairs = Annotated[Path | None, Parameter(help="CSV of all pairs: atoms, differences in Å, standard error.")]


@app.command(group=TOOLS)
def inspect(path: Path, *, pixel_size: PixelSize = None, picture: Path | None = None) -> None:
    """What is in a movie, stack, map, file of atoms, STAR file or folder: shape, dose, counts, rings of a lattice.

    Parameters
    ----------
    path
        File or folder.
    picture
        PNG, PDF or SVG of a first look: a frame, the mean and the power spectrum, or slices of a map.
    """
    from single_rs.pipeline.inspection import inspect_path

    found = inspect_path(path, pixel_size)
    print(f"{path}: {found.kind}")
    width = max((len(name) for name in found.facts), default=0)
    for name, text in found.facts.items():
        print(f"  {name:<{width}}  {text}")
    if picture is not None:
        if not found.images:
            raise DataFileError(f"{path} is a {found.kind}, of which --picture can show nothing; give a movie or a map")
        from single_rs.plots.first_look import plot_first_look

        axes = plot_first_look(found.images, found.pixel_size)
        axes[0].figure.savefig(picture)
        print(picture)


@app.command(group=TOOLS)
def score(found: Path, truth: Path, *, out: Pairs = None) -> None:
    """Atoms found against true ones: recall, precision, error in pm and over its stated value, strain between them.

    Parameters
    ----------
    found
        File of atoms, or the folder of a particle.
    truth
        File of atoms, e.g. movie_truth_0.xyz of 'single-rs simulate'.
    """
    first, second = _read(found), _read(truth)
    agreement = _agreement(first, second, out)
    paired, (n, m) = len(agreement.distance), agreement.counts
    print(f"{paired} of {m} true atoms found (recall {agreement.recall:.4f}), {n - paired} of {n} false")
    print(f"precision {agreement.precision:.4f}")
    _tell(agreement, "error")


@app.command(group=TOOLS)
def match(first: Path, second: Path, *, out: Pairs = None) -> None:
    """Atoms of one particle by two programs or two runs: pairs, distance, and whether stated errors explain it.

    Parameters
    ----------
    first, second
        Files of atoms, or folders of particles.
    """
    a, b = _read(first), _read(second)
    agreement = _agreement(a, b, out)
    paired, (n, m) = len(agreement.distance), agreement.counts
    print(f"{paired} pairs; {n - paired} of {n} atoms only in {first}, {m - paired} of {m} only in {second}")
    _tell(agreement, "difference")


def _read(path: Path) -> Atoms:
    """Read atoms from a file or from the folder of a particle."""
    from single_rs.energy.files import read_atoms
    from single_rs.store.read import atom_files

    files = atom_files(path)
    if len(files) > 1:
        raise DataFileError(f"{path} holds {len(files)} particles; give one of them, e.g. {files[0].parent}")
    return read_atoms(files[0])[0]


def _agreement(first: Atoms, second: Atoms, out: Path | None) -> Agreement:
    """Compare, and write the pairs if that is wanted."""
    from single_rs.compare.atoms import compare_atoms, pair_table

    agreement = compare_atoms(first, second)
    if out is not None:
        from single_rs.store.tables import write_table

        write_table(out, pair_table(first, second, agreement))
    return agreement


def _tell(agreement: Agreement, word: str) -> None:
    """Print what both commands say of the pairs."""
    print(f"root mean square {word} {agreement.rmsd:.2f} pm, {agreement.rmsd_unstrained:.2f} pm less a uniform strain")
    over = agreement.error_over_sigma
    print(f"{word} over stated error: {'not known, no errors are stated' if over is None else f'{over:.2f}'}")
    if agreement.strain is not None and agreement.directions is not None:
        parts = (
            f"{100 * s:+.3f} % along [{' '.join(f'{v:.2f}' for v in d)}]"
            for s, d in zip(agreement.strain, agreement.directions, strict=True)
        )
        print(f"uniform strain {', '.join(parts)}")
    if agreement.same_element < 1:
        print(f"elements differ in {100 * (1 - agreement.same_element):.1f} % of the pairs")
    if agreement.match.hand < 0:
        print("the first is the mirror image of the second")
