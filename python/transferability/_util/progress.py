"""Progress of a ranking: a callable, tqdm where installed, or nothing."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from ..errors import DtypeError, MissingDependencyError

__all__ = ["Progress", "ProgressFunction", "progress_bar"]

#: Called with (models done, models in all, name of the model just done).
ProgressFunction = Callable[[int, int, str], object]
#: None: a bar on a terminal if tqdm is installed; True, False: always, never.
Progress = bool | ProgressFunction | None


@contextmanager
def progress_bar(progress: Progress, total: int, unit: str = "model") -> Iterator[ProgressFunction]:
    """Give a function to call after each model, or other unit; the bar ends with the block."""
    if progress is None:
        progress = sys.stderr is not None and sys.stderr.isatty()
        wanted = False  # nice to have: no complaint without tqdm
    elif isinstance(progress, bool):
        wanted = progress
    elif callable(progress):
        yield progress
        return
    else:
        raise DtypeError(f"progress is {progress!r}; give True, False, None or a function")
    if not progress:
        yield _silent
        return
    try:
        from tqdm.auto import tqdm
    except ImportError as error:
        if wanted:
            raise MissingDependencyError(
                "progress=True needs tqdm: pip install transferability[progress]"
            ) from error
        yield _silent
        return
    with tqdm(total=total, unit=unit, unit_scale=total > 9999, file=sys.stderr, leave=False) as bar:

        def advance(done: int, total: int, name: str) -> None:
            bar.set_postfix_str(name)
            bar.update(done - bar.n)

        yield advance


def _silent(done: int, total: int, name: str) -> None:
    """Show nothing."""
