"""Models returned by a user's function, ``module:function``."""

from __future__ import annotations

import importlib
from typing import Any

from ..errors import DataError, DtypeError
from ._callable import CallableModel
from ._model import Model
from ._module import is_module, open_module
from ._source import COMMON_OPTIONS, SourceSpec
from ._sources import SCHEMES
from ._spec import ModelSpec, suggest

__all__ = ["SOURCE"]


def _list_names(spec: ModelSpec) -> list[str]:
    raise DataError(f"{spec}: a function is named in full, without wildcards")


def _open(spec: ModelSpec, device: Any, dtype: str | None) -> Model:
    """Call the function with the options as keyword arguments, all of them str.

    It may return a torch module, a pair of a module and a function that preprocesses a list of
    items, a :class:`Model`, or a function from a list of items to features (see
    :class:`~transferability.models._callable.CallableModel`).
    """
    path, _, name = spec.name.partition(":")
    try:
        module = importlib.import_module(path)
    except ModuleNotFoundError as error:
        if error.name is None or not path.startswith(error.name):
            raise
        raise DataError(
            f"{spec}: there is neither a Python module {path!r} to import nor such a source of "
            f"models{suggest(path, SCHEMES)}; sources are {', '.join(SCHEMES)}"
        ) from error
    make = getattr(module, name, None)
    if not callable(make):
        known = [key for key, value in vars(module).items() if callable(value) and key[0] != "_"]
        raise DataError(f"{spec}: {path} has no function {name!r}{suggest(name, known)}")
    options = {key: value for key, value in spec.options.items() if key not in COMMON_OPTIONS}
    made = make(**options)
    if isinstance(made, Model):
        return made
    if is_module(made):
        return open_module(made, str(spec), device=device, dtype=dtype)
    if not callable(made):
        raise DtypeError(
            f"{spec} returned {type(made).__name__}; return a torch module, a pair of one and a "
            f"function that preprocesses, or a callable from items to features"
        )
    return CallableModel(str(spec), made)


SOURCE = SourceSpec(
    scheme="",
    example="my_module:make_model",
    metavar="module:function",
    summary="a function of your own that returns a module or a callable; it gets the options",
    open=_open,
    list_names=_list_names,
    options=None,
)
