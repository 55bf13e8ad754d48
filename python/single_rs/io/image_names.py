"""Image names of RELION, ``000001@stack.mrcs``: the key that joins the rows of a table to the images of a stack.

The number before ``@`` counts the images of the stack from 1; the name behind it is relative to a project folder that
we do not know, so that its last part must be that of the stack, and a file it leads to must be the stack.
"""

from __future__ import annotations

import filecmp
import os
import re
from collections.abc import Iterable, Sequence
from pathlib import Path, PurePosixPath

import numpy as np
from numpy.typing import NDArray

from single_rs.base.errors import DataFileError, InputError

__all__ = ["check_stack_name", "image_numbers"]

LARGEST_NUMBER = 10**9
# RELION wants .mrcs for stacks; cryoSPARC writes the same file as .mrc.
SAME_SUFFIX = {".mrcs": ".mrc"}


def image_numbers(path: str | os.PathLike[str], names: Sequence[str]) -> tuple[NDArray[np.int64], list[str]]:
    """Return the 0-based image of each name (n,), and the names of the stacks, each once.

    Raises
    ------
    InputError
        A name that is not number@stack, or an image that is named twice.
    """
    numbers = np.empty(len(names), np.int64)
    stacks: dict[str, None] = {}
    for row, name in enumerate(names):
        match = re.fullmatch(r"\s*([0-9]+)@(.*\S)\s*", name)
        if match is None or not 1 <= int(match[1]) <= LARGEST_NUMBER:
            raise InputError(
                f"{path}, row {row + 1}: rlnImageName is {name!r}; number@stack is needed, images counted from 1"
            )
        numbers[row] = int(match[1]) - 1
        stacks[match[2]] = None
    if len(stacks) > 1:
        raise InputError(f"{path} names images of several stacks ({', '.join(list(stacks)[:3])}); keep the rows of one")
    values, counts = np.unique(numbers, return_counts=True)
    if (counts > 1).any():
        twice = counts > 1
        raise InputError(
            f"{path} names image {values[twice][0] + 1} {counts[twice][0]} times ({twice.sum()} images are named more "
            "than once); one row for each image is needed"
        )
    return numbers, list(stacks)


def check_stack_name(path: str | os.PathLike[str], names: Iterable[str], stack: str | os.PathLike[str]) -> None:
    """Raise `DataFileError` when a table at `path` names another stack than the file `stack`."""
    stack = Path(stack)
    for name in names:
        given = PurePosixPath(name.replace("\\", "/"))
        if _plain(given.name) != _plain(stack.name):
            raise DataFileError(f"{path} is of images in {name}, not in {stack}; give that stack, or its own table")
        found = [base / given for base in (Path(path).parent, *stack.absolute().parents)]
        found = [file for file in found if file.is_file()]
        if found and not _same(found[0], stack):
            raise DataFileError(f"{path} is of images in {found[0]}, which is not {stack}; give that stack")


def _plain(name: str) -> str:
    """Return a file name with the suffixes that mean the same made equal."""
    stem, suffix = os.path.splitext(name)
    return stem + SAME_SUFFIX.get(suffix, suffix)


def _same(one: Path, other: Path) -> bool:
    """Whether two files are one, or copies of each other."""
    return one.samefile(other) or filecmp.cmp(one, other, shallow=False)
