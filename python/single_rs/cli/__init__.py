"""The command ``single-rs``: one subcommand per stage, and ``run``, ``solve``, ``demo`` for all of them.

Every error ends in one line on stderr: exit code 2 when it can be mended from outside, 1 when it is ours; signal n ends
in 128 + n, Ctrl-C in 130. Modules of the stages are imported by the commands that need them, so that
``single-rs --help`` stays fast.
"""

from single_rs.cli.main import main

__all__ = ["main"]
