"""Functions whose values are their rows in another shape: with fields of their own, with fewer fields, merged.

Purpose: such values are made of the rows' parts (`exec.derived`), which nobody decodes for that. What always holds: a
recipe gives the rows that its function gives, or nothing, and then the function itself runs. The compiler makes recipes
(`reql.merging`), functions run them.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

from rethought.datum.paths import Paths
from rethought.exec.chunk import Chunk
from rethought.exec.derived import cut, merged, side, zipped
from rethought.exec.projection import Projection

Rows: TypeAlias = Callable[[list[Any]], list[Any]]


@dataclass(slots=True, frozen=True)
class Changes:
    """Fields merged into the row: from a projection of the function's row, by a function of such."""

    projection: Projection
    function: Rows


@dataclass(slots=True, frozen=True)
class Cut:
    """Only the fields at some paths, or all others."""

    paths: Paths
    keep: bool


@dataclass(slots=True, frozen=True)
class Other:
    """The right side of a pair, merged into the left one."""


Step: TypeAlias = Changes | Cut | Other


@dataclass(slots=True, frozen=True)
class Recipe:
    """What becomes of a row (or of one side of a pair of rows), step by step."""

    side: str | None
    steps: tuple[Step, ...]

    def make(self, chunk: Chunk, run: Callable[[Rows, list[Any]], list[Any]]) -> Chunk | None:
        """The rows made of those of `chunk`, None where that cannot be. `run` calls a function on rows."""
        made: Chunk | None = chunk if self.side is None else side(chunk, self.side)
        for step in self.steps:
            if made is None:
                return None
            match step:
                case Changes(projection, function):
                    rows = chunk.project(projection)
                    made = None if rows is None else merged(made, run(function, rows))
                case Cut(paths, keep):
                    made = cut(made, paths, keep=keep)
                case Other():
                    made = zipped(chunk)
        return made
