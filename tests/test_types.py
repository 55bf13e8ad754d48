"""The type stub of the compiled module is what the compiled module is."""

from __future__ import annotations

import subprocess
import sys
from importlib.resources import files


def test_the_stub_of_the_kernels_is_complete_and_right():
    command = [sys.executable, "-m", "mypy.stubtest", "single_rs._core"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, stdin=subprocess.DEVNULL)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_types_are_shipped():
    package = files("single_rs")
    assert (package / "py.typed").is_file()
    assert (package / "_core.pyi").is_file()


def test_a_caller_is_type_checked(tmp_path):
    """A right call passes and a wrong one is found: the package's types reach its users."""
    (tmp_path / "good.py").write_text(
        "from single_rs.analysis.lattice import Lattice, fit_lattice\n"
        "import numpy as np\n"
        "found: Lattice = fit_lattice(np.zeros((20, 3)))\n"
    )
    (tmp_path / "bad.py").write_text(
        "from single_rs.analysis.lattice import fit_lattice\nfound: int = fit_lattice([[0.0]])\n"
    )
    command = [sys.executable, "-m", "mypy", "--follow-imports", "silent", "--cache-dir", str(tmp_path / "cache")]
    done = subprocess.run([*command, "good.py", "bad.py"], cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert "good.py" not in done.stdout, done.stdout
    assert 'bad.py:2: error: Incompatible types in assignment (expression has type "Lattice"' in done.stdout
