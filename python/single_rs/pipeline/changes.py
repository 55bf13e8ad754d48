"""What a change in time means for the verdict on a particle: atoms of two structures at once are not solved."""

from __future__ import annotations

from single_rs.pipeline.verdict import Verdict
from single_rs.refine.change import Alternation, Change, Changes
from single_rs.refine.change.segments import CLEAR

__all__ = ["judge_changes"]


def judge_changes(verdict: Verdict, changes: Changes | None) -> Verdict:
    """Return the verdict on the atoms of all frames with what is known of changes in time.

    Parameters
    ----------
    verdict
        From everything else.
    changes
        What was found; None where nobody asked.
    """
    if changes is None:
        return _with(verdict, passed="not asked whether the particle changes in time")
    doubts = [_text(change) for change in changes.changes if change.kind != "window"]
    if changes.atoms:
        count = {event: sum(a.event == event for a in changes.atoms) for event in ("left", "arrived")}
        what = " and ".join(f"{n} atom{'s' * (n > 1)} {event}" for event, n in count.items() if n)
        doubts.append(f"{what} between frames {changes.atoms[0].frame} and {changes.atoms[-1].frame}")
    doubts += [_turns(found) for found in changes.alternations if found.clear]
    if doubts:
        return _with(verdict, doubts=doubts)
    if changes.significance is None:
        return _with(verdict, passed=f"{changes.frames} frames are too few to ask whether the particle changes")
    text = f"one state: two structures in time gain {changes.significance:.1f} sigma over random orders of the frames"
    return _with(verdict, passed=f"{text}; less than {CLEAR:.0f} needed")


def _text(change: Change) -> str:
    when = f"frame {change.frame} ± {change.frame_err:.0f}"
    if change.kind == "poses":
        return f"changed at {when}: the atoms are seen on one side of it only"
    return f"changed at {when}: two structures explain held-out frames by {change.nats:.0f} nats better than one"


def _turns(found: Alternation) -> str:
    rest = f"by {found.nats:.0f} nats better than one, {found.significance:.0f} sigma above chance"
    what = "show two structures in turn, or one whose poses fall into two symmetry mates"
    return f"frames {found.first} to {found.last} {what}: two explain held-out atoms {rest}"


def _with(verdict: Verdict, passed: str | None = None, doubts: list[str] | None = None) -> Verdict:
    if doubts:
        known = verdict.reasons if verdict.verdict != "solved" else ()
        return Verdict("doubtful" if verdict.verdict == "solved" else verdict.verdict, (*doubts, *known))
    if verdict.verdict != "solved" or passed is None:
        return verdict
    return Verdict(verdict.verdict, (*verdict.reasons, passed))
