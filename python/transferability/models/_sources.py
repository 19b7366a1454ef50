"""The registered sources of models, by scheme."""

from __future__ import annotations

import importlib
from collections.abc import Mapping

from ._source import SourceSpec

__all__ = ["DEFAULT_SCHEME", "SCHEMES", "guess_scheme"]

#: Modules of this package with an instance ``SOURCE``. A new source is its file and a name here.
_MODULES = ("_saved", "_hf", "_onnx", "_st", "_timm", "_torchvision")

#: The sources by scheme, without ``module:function``, which has none.
SCHEMES: Mapping[str, SourceSpec] = {
    source.scheme: source
    for source in (importlib.import_module(f".{name}", __package__).SOURCE for name in _MODULES)
}
#: The source of paths without a scheme whose suffix no source claims.
DEFAULT_SCHEME = "features"


def guess_scheme(path: str) -> str:
    """Return the scheme of a path that is given without one, by its suffix.

    Parameters
    ----------
    path : str
        An existing file or folder.

    Returns
    -------
    scheme : str
        Of the source that claims the suffix, else ``DEFAULT_SCHEME``.
    """
    for scheme, source in SCHEMES.items():
        if path.endswith(source.suffixes):
            return scheme
    return DEFAULT_SCHEME
