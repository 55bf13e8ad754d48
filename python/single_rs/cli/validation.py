"""The command ``single-rs validate`` on the folders of a run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from single_rs.base.errors import DataFileError
from single_rs.cli.app import app, settings_flags
from single_rs.cli.options import STAGES, ConfigFile, Threads, settings_of, use_threads

NAMES = "reprojection, halves, heldout, coverage, pixel, perfect, defocus, resimulation"


@app.command(group=STAGES, sort_key=12)
def validate(
    folder: Path,
    *,
    only: Annotated[str | None, Parameter(help=f"Checks to make, with commas between: {NAMES}.")] = None,
    resimulate: int | None = None,
    config: ConfigFile = None,
    threads: Threads = None,
) -> None:
    """Folder of a run or of one particle → validation.json and validation.html: each check with its limit.

    Parameters
    ----------
    resimulate
        Frames to simulate from the atoms by multislice and to solve from scratch; minutes, so none without it. What
        an interrupted call has done is picked up again.
    """
    use_threads(threads)
    from single_rs.cli.progress import progress_bars
    from single_rs.records.check import CHECKS, NOT_RUN, UNDECIDED
    from single_rs.store.layout import VALIDATION_PAGE
    from single_rs.validate import validate_folder

    if not folder.is_dir():
        raise DataFileError(f"{folder} is not a folder; give the --out of a run or one of its particle_NN")
    chosen = [name.strip() for name in only.split(",") if name.strip()] if only else None
    every = settings_of(config)
    # The stages that are repeated run with the settings of the run, unless others are given.
    given = config is not None or any(not name.startswith("validate.") for name in settings_flags())
    with progress_bars() as progress:
        results = validate_folder(folder, chosen, resimulate, every.validate, every if given else None, progress)
    for result in results:
        made = sum(check.status != NOT_RUN for check in result.checks)
        print(f"{result.particle}: {result.status}, {made} of {len(CHECKS)} checks made")
        for check in result.checks:
            print(f"  {check.status:<9} {check.name}: {check.message}")
            for c in check.criteria:
                mark, sign = "ok" if c.passed else "NO", "≥" if c.at_least else "≤"
                print(f"      {mark} {c.name}: {c.value:.3g} {sign} {c.limit:.3g} {c.unit}".rstrip())
            if check.status == UNDECIDED:
                print(f"      {check.undecided}")
    pages = [
        p for r in results for p in (folder / VALIDATION_PAGE, folder / r.particle / VALIDATION_PAGE) if p.exists()
    ]
    print("\n".join(f"page: {p}" for p in pages))
    print("'single-rs report' of the run shows them with its results")
