"""``python -m single_rs`` is the command ``single-rs``, of the interpreter that is named, as a job script needs it."""

import sys

from single_rs.cli import main

if __name__ == "__main__":
    sys.exit(main())
