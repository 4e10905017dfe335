"""How the picture is cut into one tile for each rank.

A rank holds the tokens of its tile in all frames. Whatever mixes time at one grid position then stays on its rank, as
does all that works token by token; and a tile is a smaller picture, on which the model runs as it is. Only attention
over all tokens has to talk. Importable without torch.
"""

from __future__ import annotations

from dataclasses import dataclass

from ..errors import DoesNotFit


@dataclass(frozen=True, kw_only=True, slots=True)
class Tile:
    """Rows [top, bottom) and columns [left, right) of the grid of patches."""

    top: int
    bottom: int
    left: int
    right: int

    @property
    def tokens(self) -> int:
        """Tokens of one frame."""
        return (self.bottom - self.top) * (self.right - self.left)

    def slices(self, patch: tuple[int, int]) -> tuple[slice, slice]:
        """Rows and columns of the grid that has `patch` (rows, columns) entries for each token."""
        rows, columns = patch
        return slice(self.top * rows, self.bottom * rows), slice(self.left * columns, self.right * columns)


def cut_grid(grid: tuple[int, int], count: int) -> tuple[Tile, ...]:
    """`count` tiles of a grid of patches (rows, columns), as equal as rows and columns of tiles can be.

    Raises DoesNotFit where there are more tiles than rows and columns can make.
    """
    layouts = [(rows, count // rows) for rows in range(1, count + 1) if count % rows == 0]
    fitting = [layout for layout in layouts if layout[0] <= grid[0] and layout[1] <= grid[1]]
    if not fitting:
        raise DoesNotFit(
            f"a grid of {grid[0]}×{grid[1]} tokens does not split into {count} tiles",
            hint="Use fewer ranks, or a number of them with small factors.",
        )
    rows, columns = min(fitting, key=lambda layout: (_largest(grid, layout), layout[0]))
    return tuple(
        Tile(top=top, bottom=bottom, left=left, right=right)
        for top, bottom in _runs(grid[0], rows)
        for left, right in _runs(grid[1], columns)
    )


def even_counts(total: int, parts: int) -> tuple[int, ...]:
    """`total` as `parts` numbers that differ by one at most."""
    return tuple(stop - start for start, stop in _runs(total, parts))


def _runs(total: int, parts: int) -> list[tuple[int, int]]:
    return [(index * total // parts, (index + 1) * total // parts) for index in range(parts)]


def _largest(grid: tuple[int, int], layout: tuple[int, int]) -> int:
    return -(-grid[0] // layout[0]) * -(-grid[1] // layout[1])
