"""A particle with all its states: the whole first, then each state by itself, each with the files of a particle.

Where one structure explains all frames, nothing more is done than to say so. Else each stretch of time gets poses and
atoms of its own (`single_rs.refine.change.stretches`), stretches of one structure are solved together as a state, the
particle's own folder takes the state that holds most frames, and what turns out to be another particle becomes one.
"""

from __future__ import annotations

import functools
import hashlib
import logging
import shutil
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from single_rs.analysis.summary import ParticleSummary
from single_rs.base.errors import ConvergenceError, SingleError, WriteError
from single_rs.base.stop import raise_if_stopped
from single_rs.io.star import read_poses
from single_rs.pipeline import stages
from single_rs.pipeline.job import Job
from single_rs.pipeline.particle import ParticleResult, Stages, solve_stages
from single_rs.pipeline.record import stage_key
from single_rs.pipeline.state_files import (
    events_of,
    moved_table,
    offset_of,
    sites_of,
    state_record,
    timeline_table,
    when,
    write_one_state,
)
from single_rs.pipeline.stretch_work import may_settle, placed_whole, settled_whole, stretch_work
from single_rs.pipeline.verdict import Verdict
from single_rs.records import Atoms, Background, CleanStack, ParticleStack, Poses
from single_rs.refine.change import Changes
from single_rs.refine.change.grouping import group_states
from single_rs.refine.change.settling import jump_share
from single_rs.refine.change.stretches import (
    Stretch,
    find_stretches,
    part_of,
    within,
)
from single_rs.refine.change.timeline import StateAtoms, trace_timeline
from single_rs.store import layout
from single_rs.store.codecs import read_record, write_record
from single_rs.store.states import EventRecord, StatesRecord, write_trajectory
from single_rs.store.tables import write_table

__all__ = ["solve_track"]

log = logging.getLogger(__name__)


def solve_track(
    job: Job, name: str, stack: ParticleStack, key: str, spare: Iterator[str], given: Poses | None = None
) -> list[ParticleResult]:
    """Solve one track: its particle with all states, and particles that turn out to be others.

    Parameters
    ----------
    job
        The run.
    name
        Of the particle, and of its folder in that of the run.
    stack, key
        Its single frames, and their key.
    spare
        Names that are free for other particles.
    given
        Poses that need no search; of a particle that was found in the track of another.
    """
    whole = Stages(job, name, stack, key, given)
    work = _States(whole, stage_key(whole.keys["analyze"], "states"), spare)
    done = job.log.reuse(work.stage, work.key)
    if done and (known := work.again()) is not None:
        return known
    result = solve_stages(whole)
    if not result.summary.atoms:
        return [result]
    changes = whole.changes
    try:
        if changes is not None and not (done and work.was_constant()):
            found = work.solve(changes)
            if found is not None:
                return found
    except (MemoryError, WriteError):
        raise  # of the machine, not of this particle
    except (SingleError, ConvergenceError) as error:
        raise_if_stopped()
        log.warning("%s: its states were not solved: %s", name, error)
    except Exception as error:
        raise_if_stopped()
        # As in `solve_stages`: the whole has a verdict, and the other particles go on. The next run tries again.
        log.exception("%s: its states were not solved: %s", name, error)
        work.key = stage_key(work.key, "not solved")
    work.constant(result, changes)  # where it changes, its verdict and events say so
    return [result]


class _State(Stages):
    """One state: the frames of its stretches alone, at poses of its own."""

    def __init__(
        self, whole: Stages, name: str, poses: Poses, inside: NDArray[np.bool_], notes: tuple[str, ...], doubt: bool
    ) -> None:
        content = hashlib.sha256(b"".join(a.tobytes() for a in (inside, poses.rotations, poses.shifts)))
        key = stage_key(whole.keys["changes"], name, content.hexdigest(), notes, doubt)
        super().__init__(whole.job, name, whole.stack, key)
        self._whole, self._poses, self._inside, self._notes, self._doubt = whole, poses, inside, notes, doubt
        own = ("reconstruct", "trace", "refine", "changes", "analyze")
        self.keys = {stage: self.keys[stage] for stage in own}
        if name != whole.name:
            self.stack_name = f"../../{layout.STACK}"

    @functools.cached_property
    def clean(self) -> CleanStack:
        return replace(self._whole.clean, bad=np.asarray(self._whole.clean.bad, bool) | ~self._inside)

    @functools.cached_property
    def background(self) -> Background:
        return replace(self._whole.background, bad=np.asarray(self._whole.background.bad, bool) | ~self._inside)

    @functools.cached_property
    def poses(self) -> Poses:
        return self._poses

    def ask(self, poses: Poses, atoms: Atoms | None, folder: Path) -> stages.Asked:
        """Ask whether the frames of the state change once more."""
        if self.job.config.states.number is not None:
            atoms = None  # whoever sets the states is not asked
        part = part_of(self._whole.clean, self._inside), within(poses, self._inside)
        return stages.ask_changes(*part, atoms, folder, self.job.config, self.job.seed, self._whole.imaging)

    def judged(self, verdict: Verdict) -> Verdict:
        """Return the verdict with what is known of the other states."""
        own = super().judged(verdict)
        if self._doubt and own.verdict == "solved":
            return Verdict("doubtful", self._notes)
        return Verdict(own.verdict, (*self._notes, *own.reasons))


class _States:
    """The states of one particle, and the files about them."""

    def __init__(self, whole: Stages, key: str, spare: Iterator[str]) -> None:
        self.whole, self.key, self.spare = whole, key, spare
        self.job, self.name = whole.job, whole.name
        self.stage = f"{whole.name}/timeline"

    def again(self) -> list[ParticleResult] | None:
        """Return what an earlier run found of several states; None where a file of theirs is gone."""
        log_of_run = self.job.log
        record = read_record(self.whole.file(layout.STATES), StatesRecord)
        results = []
        if _constant(record):
            return None  # the stages of the particle say themselves what is done
        for name in (self.name, *record.others):
            known = log_of_run.folder.file(f"{name}/{layout.STATES}")
            count = len(read_record(known, StatesRecord).states) if known.exists() else 0
            if not log_of_run.reuse_all(name, {layout.state_folder(number) for number in range(count)}):
                return None
            summary = read_record(log_of_run.folder.file(f"{name}/{layout.SUMMARY}"), ParticleSummary)
            results.append(ParticleResult.from_summary(log_of_run.folder.path / name, summary))
        return results

    def was_constant(self) -> bool:
        """Whether an earlier run found one state, that of the particle's own folder."""
        return _constant(read_record(self.whole.file(layout.STATES), StatesRecord))

    def constant(self, result: ParticleResult, changes: Changes | None) -> None:
        """Write the files of a particle of one state."""
        if self.job.log.reuse(self.stage, self.key):
            return
        atoms, _ = self.whole.refined
        if atoms is None:
            return
        with self.job.log.stage(self.stage, self.key) as running:
            sites = sites_of(self.whole.file(layout.STRUCTURE_TABLE), len(atoms))
            write_one_state(running.folder, result, atoms, sites, self.whole.stack, changes)

    def solve(self, changes: Changes) -> list[ParticleResult] | None:
        """Solve each state by itself, and other particles as such; None where nothing changes and poses are clear.

        Poses that are divided between symmetry mates make a constant particle seem to change, and a changing one to
        change at other times; where its own frames can settle them, it is solved anew with those.
        """
        windows = self.job.config.states.number is not None
        whole = placed_whole(self.whole)
        if whole is None or not (changes.changes or may_settle(self.whole, whole)):
            return None
        clean, work = self.whole.clean, stretch_work(self.whole, self.stage, self.key)
        whole, changes, turned = settled_whole(self.whole, whole, changes, work)
        if not (turned or changes.changes):
            return None
        stretches = find_stretches(clean, whole, changes, work, not windows)
        groups = group_states(stretches, merge=not windows)
        if not groups:
            raise ConvergenceError("no stretch of time between changes shows atoms")
        top = int(np.argmax([sum(len(s) for s in group) for group in groups]))
        given = [self._poses(whole.poses, group) for group in groups]
        others = self._others(stretches)
        apart = [s for s in stretches if s.placed is None or not s.same]
        stretches = sorted([*apart, *(s for group in groups for s in group)], key=lambda s: s.first)
        lost = [s for s in apart if s.placed is None]
        solved: dict[int, tuple[_State, ParticleResult]] = {}
        for number in sorted(range(len(groups)), key=lambda k: k == top):
            name = f"{self.name}/{layout.state_folder(number)}"
            notes: tuple[str, ...] = ()
            doubt = False
            if number == top:
                name = self.name
                verdicts = {k: r.verdict for k, (_, r) in solved.items()}
                notes = self._notes(groups, stretches, top, verdicts, lost)
                if turned:
                    notes = (*notes, f"{turned} frames were moved to another symmetry mate by maps of the others")
                doubt = bool(lost) or any(v != "solved" for v in verdicts.values())
            state = _State(self.whole, name, *given[number], notes, doubt)
            solved[number] = state, solve_stages(state)
        self._write(groups, top, solved, [s for s in stretches if not s.same], others)
        return [solved[top][1], *(result for results in others.values() for result in results)]

    def _poses(self, whole: Poses, group: list[Stretch]) -> tuple[Poses, NDArray[np.bool_]]:
        """Poses of all images with weight in the stretches of a state alone, and which images those are."""
        names = ("rotations", "shifts", "score", "confidence", "half")
        arrays: dict[str, Any] = {name: np.array(getattr(whole, name)) for name in names}
        weight, inside = np.zeros(len(whole.weight)), np.zeros(len(whole.weight), bool)
        longest = max(group, key=len)
        for stretch in group:
            if stretch.placed is None:
                continue
            part = slice(stretch.first, stretch.last)
            for name, values in arrays.items():
                values[part] = getattr(stretch.placed.poses, name)
            weight[part], inside[part] = stretch.placed.poses.weight, True
        diagnostics = whole.diagnostics if longest.placed is None else longest.placed.poses.diagnostics
        if not longest.searched:
            # Frames of another structure jump between poses that are all wrong; they say nothing of this one.
            diagnostics = replace(diagnostics, jump_share=jump_share(arrays["rotations"], inside))
        return replace(whole, **arrays, weight=weight, width=None, diagnostics=diagnostics), inside

    def _others(self, stretches: list[Stretch]) -> dict[int, list[ParticleResult]]:
        """Solve runs of stretches that show another particle; by their first image."""
        results: dict[int, list[ParticleResult]] = {}
        for run in _runs([not s.same for s in stretches]):
            group = stretches[run]
            first, last = group[0].first, group[-1].last
            stack = self.whole.stack.take(np.arange(first, last))
            name, key = next(self.spare), stage_key(self.key, "split", first, last)
            if not self.job.log.reuse(f"{name}/stack", key):
                with self.job.log.stage(f"{name}/stack", key) as running:
                    stages.keep_stack(stack, running.folder)
            # Poses that were found among those of the other particle are drawn to its atoms: only own ones are kept.
            placed = group[0].placed if len(group) == 1 and group[0].searched else None
            known = None if placed is None else placed.poses
            results[first] = solve_track(self.job, name, stack, key, self.spare, known)
        return results

    def _notes(
        self,
        groups: list[list[Stretch]],
        stretches: list[Stretch],
        top: int,
        verdicts: dict[int, str],
        lost: list[Stretch],
    ) -> tuple[str, ...]:
        frames = np.asarray(self.whole.stack.frames)
        notes = []
        number = {s.first: k for k, group in enumerate(groups) for s in group}
        for before, after in pairwise([s for s in stretches if s.placed is not None]):
            if before.first in number and number[before.first] == number.get(after.first):
                continue  # nothing but frames without a structure lies between
            when = f"frame {frames[after.first]} ± {max(after.error, 1):.0f}"
            if self.job.config.states.number is not None:
                notes.append(f"a state of its own from frame {frames[after.first]} on, as asked")
                continue
            other = before.same != after.same
            notes.append(f"two particles in one track: split at {when}" if other else f"changed at {when}")
        if len(groups) > 1:
            count = sum(len(s) for s in groups[top])
            held = f"{count} of {len(frames)}"
            notes.append(f"these are the atoms of state {top} of {len(groups)}, which holds most frames, {held}")
        notes += [f"state {k} is {v}" for k, v in sorted(verdicts.items()) if v != "solved"]
        notes += [f"frames {frames[s.first]} to {frames[s.last - 1]} show no structure that was found" for s in lost]
        return tuple(notes)

    def _write(
        self,
        groups: list[list[Stretch]],
        top: int,
        solved: dict[int, tuple[_State, ParticleResult]],
        apart: list[Stretch],
        others: dict[int, list[ParticleResult]],
    ) -> None:
        """Write what is known of all states together, and the folder of the state that the particle's own one holds."""
        frames = np.asarray(self.whole.stack.frames)
        kept = [k for k in range(len(groups)) if solved[k][0].refined[0] is not None]
        atoms = [solved[k][0].refined[0] for k in kept]
        spans = [tuple((int(frames[s.first]), int(frames[s.last - 1])) for s in group) for group in groups]
        states = []
        for k, found in zip(kept, atoms, strict=True):
            refined, spans_of = read_poses(solved[k][0].file(layout.POSES)), tuple((s.first, s.last) for s in groups[k])
            if found is not None:
                states.append(StateAtoms(spans_of, refined, found, tuple(s.error for s in groups[k])))
        timeline = trace_timeline(self.whole.clean, states, self.job.config.refine)
        sites = [
            sites_of(solved[k][0].file(layout.STRUCTURE_TABLE), len(found))
            for k, found in zip(kept, atoms, strict=True)
            if found is not None
        ]
        table = timeline_table(timeline, [state.atoms for state in states], sites)
        records = [
            state_record(
                spans[k],
                f"{layout.state_folder(k)}/{layout.ATOMS}",
                solved[k][1],
                0 if (found := solved[k][0].refined[0]) is None else len(found),
            )
            for k in range(len(groups))
        ]
        events = [*events_of(timeline, states, frames)]
        for first, results in others.items():
            error = next(s.error for s in apart if s.first == first)
            events.append(EventRecord("swapped", int(frames[first]), error, particle=results[0].folder.name))
        names = tuple(result.folder.name for results in others.values() for result in results)
        folder = self.job.log.folder
        with self.job.log.stage(self.stage, self.key) as running:
            core = int(table.core.sum())
            record = StatesRecord(tuple(records), tuple(sorted(events, key=when)), top, core, names)
            write_record(running.folder / layout.STATES, record)
            write_table(running.folder / layout.TIMELINE, table)
            write_table(running.folder / layout.MOVED, moved_table(timeline, states, kept))
            listed = {k: (s.atoms, n, spans[k]) for s, n, k in zip(states, timeline.numbers, kept, strict=True)}
            write_trajectory(running.folder / layout.TRAJECTORY, listed, offset_of(self.whole.stack))
            copy = running.folder / layout.state_folder(top)
            copy.mkdir(parents=True)
            for stage in solved[top][0].keys:
                for file in folder.files_of(f"{self.name}/{stage}"):
                    shutil.copyfile(folder.file(file), copy / Path(file).name)


def _constant(record: StatesRecord) -> bool:
    return len(record.states) == 1 and record.states[0].atoms == layout.ATOMS


def _runs(flags: list[bool]) -> list[slice]:
    """Return the runs of true flags."""
    edges = np.flatnonzero(np.diff(np.array([False, *flags, False], int)))
    return [slice(int(a), int(b)) for a, b in edges.reshape(-1, 2)]
