"""``python -m single_rs`` is the command ``single-rs``, of the interpreter that is named, as a job script needs it."""

import sys

from single_rs.cli import main

sys.exit(main())
