"""Accuracy of the whole solver on five simulated particles that nothing was tuned to.

    python benches/accuracy.py --list          the rows
    python benches/accuracy.py 0 3             only these

All else as in `poses.py`: the same options, stages, scores and table, on particles of other elements and doses whose
electrons are counted at the dose itself.
"""

from __future__ import annotations

from poses import main

from common import Case

ROWS = [
    Case("Pt 22 Å", 10.0, {"diameter": 22.0, "seed": 101}, {"step": 6.0, "seed": 101}, 1200),
    Case("Pt 30 Å", 3.0, {"diameter": 30.0, "seed": 102}, {"step": 8.0, "box": 144, "seed": 102}, 1200),
    Case("Pt 25 Å, 1 e/px", 1.0, {"diameter": 25.0, "seed": 103}, {"step": 8.0, "seed": 103}, 2000),
    Case(
        "Au 26 Å, fault",
        8.0,
        {"element": "Au", "diameter": 26.0, "defect": "stacking_fault", "seed": 104},
        {"step": 8.0, "seed": 104},
        1200,
    ),
    Case("Pt 25 Å, bent", 8.0, {"diameter": 25.0, "bend": 0.002, "seed": 105}, {"step": 12.0, "seed": 105}, 1200),
]

if __name__ == "__main__":
    main([Case(r.name, r.dose, r.crystal, {"dose": r.dose, **r.movie}, r.frames) for r in ROWS], __doc__)
