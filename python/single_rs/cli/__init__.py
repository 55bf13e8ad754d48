"""The command ``single-rs``: one subcommand per stage, and ``run``, ``solve``, ``demo`` for all of them.

Every expected error ends in one line on stderr and exit code 2, Ctrl-C in 130. Modules of the stages are imported by
the commands that need them, so that ``single-rs --help`` stays fast.
"""

from single_rs.cli.main import main

__all__ = ["main"]
