"""A function of the user's own, ``module:function``, that makes a model."""

from __future__ import annotations

import importlib
from typing import Any

from ..errors import DataError, DtypeError
from ._callable import CallableModel
from ._model import Model
from ._module import is_module, open_module
from ._spec import Spec, closest

__all__ = ["OPTIONS", "names", "open"]


#: Every option goes to the function, which says itself what it takes.
OPTIONS = None


def names(spec: Spec) -> list[str]:
    """Refuse wildcards: functions are named one by one."""
    raise DataError(f"{spec}: a function is named in full, without wildcards")


def open(spec: Spec, device: Any, dtype: str | None) -> Model:
    """Call the function with the options as keywords, all of them str.

    It may return a torch module, a pair of a module and a function that preprocesses a list of
    items, a :class:`Model`, or a callable from items to
    features (see :class:`~transferability.models._callable.CallableModel`).
    """
    path, _, name = spec.name.partition(":")
    try:
        module = importlib.import_module(path)
    except ModuleNotFoundError as error:
        if error.name is None or not path.startswith(error.name):
            raise
        from . import SCHEMES

        raise DataError(
            f"{spec}: there is neither a Python module {path!r} to import nor such a source of "
            f"models{closest(path, SCHEMES)}; sources are {', '.join(SCHEMES)}"
        ) from error
    make = getattr(module, name, None)
    if not callable(make):
        known = [key for key, value in vars(module).items() if callable(value) and key[0] != "_"]
        raise DataError(f"{spec}: {path} has no function {name!r}{closest(name, known)}")
    options = {key: value for key, value in spec.options.items() if key not in ("pool", "layer")}
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
