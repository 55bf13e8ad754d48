"""What a run does before it solves particles: the input and its content, motion, tracks and stacks of a movie."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence

import numpy as np

from single_rs.base.errors import NoParticleError
from single_rs.base.reading import AS_IS
from single_rs.base.settings_text import settings_to_dict
from single_rs.io import Movie, Reading
from single_rs.io.atomic import require_space
from single_rs.io.star import read_tracks
from single_rs.pipeline import stages
from single_rs.pipeline.cutting import cut, stack_type
from single_rs.pipeline.estimate import estimate_movie, machine_speed
from single_rs.pipeline.job import Job
from single_rs.pipeline.particle import expect_particle
from single_rs.pipeline.record import stage_key
from single_rs.pipeline.size import StackSize
from single_rs.records import Motion, ParticleStack, Track
from single_rs.store import layout
from single_rs.store.inputs import InputRecord, input_files
from single_rs.store.read import load_stack, read_motion

__all__ = ["FrontEnd", "Input"]


class Input:
    """The input of a run: its files, and the hash of its content."""

    def __init__(
        self,
        movie: Movie,
        stack: ParticleStack | None = None,
        reading: Reading = AS_IS,
        tracks: Sequence[str] | None = None,
    ) -> None:
        self._movie, self._stack = movie, stack
        self.path = movie.path
        beside = [] if self.path is None or stack is None else [self.path.with_suffix(".star")]
        paths = [p for p in (*movie.files, *reading.references, *beside) if p.exists()]
        where = None if self.path is None else self.path.as_posix()
        asked = {**movie.reading, **reading.record(), **({} if tracks is None else {"tracks": list(tracks)})}
        self.record = InputRecord(where, movie.shape, movie.pixel_size, input_files(paths), reading=asked)

    def content(self) -> str:
        """Return the hash of all that is solved, pixels and what stands beside them; nothing is read twice for it."""
        digest = hashlib.sha256(self._movie.content().encode())
        if self._stack is not None:
            digest.update(np.ascontiguousarray(self._stack.frames, np.int64).data)
            digest.update(repr(self._stack.diameter).encode())
            if self._stack.offsets is not None:
                digest.update(np.ascontiguousarray(self._stack.offsets, np.float64).data)
        return digest.hexdigest()


class FrontEnd:
    """Motion, tracks and stacks of a movie; what no later stage asks for is neither computed nor loaded.

    Parameters
    ----------
    movie, job
        The movie, and the run it is solved in.
    given
        Paths that are cut out instead of those that would be found.
    """

    def __init__(self, movie: Movie, job: Job, given: Sequence[Track] | None = None) -> None:
        self.movie, self.job, self._given = movie, job, given
        self._of = settings_to_dict(job.config)
        self._paths = self._of["track"]  # what the paths depend on
        if given is not None:
            values = [[t.diameter, *(v.tolist() for v in (t.frames, t.x, t.y, t.sigma))] for t in given]
            self._paths = stage_key("given", values)
        self._motion: Motion | None = None

    def _key(self, *parts: object) -> str:
        return stage_key(self.job.log.base_key, self._of["motion"], *parts)

    def motion(self) -> Motion:
        """Drift and bad pixels; the first pass over the frames, in which they are hashed as well."""
        if self._motion is None:
            log_of_run = self.job.log
            if log_of_run.knows_input() and log_of_run.reuse("motion", self._key()):
                self._motion = read_motion(log_of_run.folder.file(layout.MOTION).parent)
            else:
                with log_of_run.stage("motion", lambda: self._key()) as running:
                    self._motion = stages.correct(self.movie, running.folder, self.job.config.motion, self.job.progress)
        return self._motion

    def tracks(self) -> list[Track]:
        """The particles' paths."""
        log_of_run = self.job.log
        if not log_of_run.knows_input():
            self.motion()
        log_of_run.reuse("motion", self._key())
        key = self._key(self._paths)
        if log_of_run.reuse("track", key):
            return read_tracks(log_of_run.folder.file(layout.TRACKS))
        motion = self.motion()
        with log_of_run.stage("track", key) as running:
            if self._given is None:
                tracks = stages.find(self.movie, motion, running.folder, self.job.config.track, self.job.progress)
            else:
                tracks = stages.keep_tracks(self._given, self.movie, running.folder)
            running.facts["particles"] = len(tracks)
        return tracks

    def _has_stack(self, name: str, number: int) -> bool:
        """Whether the single frames of a particle were cut before."""
        return self.job.log.reuse(f"{name}/stack", self._stack_key(number))

    def particles(self) -> list[str]:
        """Find and cut all particles; return their names. Those that were cut before are not cut again.

        Raises
        ------
        NoParticleError
            No particle in the movie.
        """
        self._expect()
        tracks = self.tracks()
        if not tracks:
            mean = self.job.log.folder.path / layout.MEAN
            raise NoParticleError(
                f"no particle found in {self.movie.name}; look at {mean}, and at the settings --track.… of the search"
            )
        itemsize = stack_type(self.movie, self.motion()).itemsize
        sizes = [StackSize.of_track(track, self.movie, itemsize) for track in tracks]
        for number, size in enumerate(sizes):
            expect_particle(self.job, layout.particle_name(number), self._stack_key(number), size)
        self._cut(tracks, sizes)
        return [layout.particle_name(number) for number in range(len(tracks))]

    def _expect(self) -> None:
        """Say what the passes over the movie will cost, where somebody listens and they were not made before."""
        job = self.job
        if job.progress is None or (job.log.knows_input() and job.log.has("track", self._key(self._of["track"]))):
            return
        job.expect("", estimate_movie(self.movie.shape, machine_speed()))

    def _cut(self, tracks: list[Track], sizes: list[StackSize]) -> None:
        """Cut the single frames of the particles in one pass over the movie."""
        names = [(number, layout.particle_name(number)) for number in range(len(tracks))]
        new = [(number, name) for number, name in names if not self._has_stack(name, number)]
        if not new:
            return
        motion, log_of_run = self.motion(), self.job.log
        require_space(log_of_run.folder.path, sum(sizes[k].room_needed(self.job.config.strain) for k, _ in new))
        with log_of_run.folder.scratch() as room:
            for place, (number, name) in enumerate(new):
                # The first stage takes the time of the pass; the others take their files from it.
                with log_of_run.stage(f"{name}/stack", self._stack_key(number)) as running:
                    if place == 0:
                        folders = [room / name for _, name in new]
                        cut(self.movie, motion, [tracks[k] for k, _ in new], folders, self.job.progress)
                    for path in (room / name).iterdir():
                        os.replace(path, running.folder / path.name)

    def _stack_key(self, number: int) -> str:
        return self._key(self._paths, number)

    def stack(self, name: str, number: int) -> tuple[ParticleStack, str]:
        """The single frames of one particle that was cut, and their key."""
        return load_stack(self.job.log.folder.file(f"{name}/{layout.STACK}")), self._stack_key(number)
