"""The contract of a source of models: one frozen ``SourceSpec`` per module."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..errors import DataError
from ._spec import ModelSpec

if TYPE_CHECKING:
    from ._model import Model

__all__ = ["COMMON_OPTIONS", "SourceSpec"]

#: Options that :func:`transferability.models.open_model` itself applies, for every source.
COMMON_OPTIONS = ("layer", "pool")


@dataclass(frozen=True)
class SourceSpec:
    """A library, file format or convention that models are opened from.

    A source is a module in ``models/`` with one instance, ``SOURCE``, and the module's name in
    ``models/_sources.py``. Documentation, help texts and error messages are derived from it.

    Attributes
    ----------
    scheme : str
        Prefix of model names: ``scheme:name``.
    example : str
        Model name without the scheme, for the documentation: ``resnet18.a1_in1k``.
    metavar : str
        The same for ``--help``, as an argument in capitals: ``NAME`` or ``FILE``.
    summary : str
        What is opened, as a phrase without a full stop.
    open : callable
        ``open(spec, device, dtype)`` loads the model that a :class:`ModelSpec` names. `device` is
        as users give it, or None; `dtype` is the name of a number format, or None. It returns a
        :class:`TorchModel`, in evaluation mode, if features are outputs of modules; else a
        subclass of :class:`Model` that implements ``features`` and ``hash_content``. Both get a
        ``Preprocessing`` of raw items, and as ``facts`` the versions of libraries and other
        settings that change features. Optional libraries are imported inside the function by
        ``need``; weights are loaded inside ``with loading(spec):``.
    list_names : callable
        ``list_names(spec)`` returns the names that the wildcard ``spec.name`` matches; an empty
        list if the source cannot list its models.
    options : tuple of str or None
        Options that ``?option=value`` may set, in addition to ``COMMON_OPTIONS``. ``open`` reads
        them by ``spec.text``, ``spec.flag`` and ``spec.count``. With "max_length" among them,
        the argument `max_length` of ``open_model`` sets it. None: any option.
    hint : str
        End of the error message if a wildcard matches nothing, after a semicolon.
    has_revisions : bool
        Whether ``@revision`` may follow the name.
    suffixes : tuple of str
        Suffixes of files that this source opens when a path is given without a scheme.
    """

    scheme: str
    example: str
    metavar: str
    summary: str
    open: Callable[[ModelSpec, Any, str | None], Model]
    list_names: Callable[[ModelSpec], list[str]]
    options: tuple[str, ...] | None = ()
    hint: str = ""
    has_revisions: bool = False
    suffixes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Refuse a scheme that model names cannot have, and options that are taken."""
        if self.scheme and not self.scheme.isidentifier():
            raise DataError(f"scheme is {self.scheme!r}; give letters, digits and underscores")
        if taken := [option for option in self.options or () if option in COMMON_OPTIONS]:
            raise DataError(f"source {self.scheme!r} has the option {taken[0]!r}, which all have")

    @property
    def title(self) -> str:
        """The example with its scheme, as inline code of reStructuredText."""
        return f"``{self.scheme}:{self.example}``" if self.scheme else f"``{self.example}``"

    @property
    def usage(self) -> str:
        """The form of a name, as help texts show it."""
        return f"{self.scheme}:{self.metavar}" if self.scheme else self.metavar

    def check_options(self, spec: ModelSpec) -> None:
        """Raise DataError if the model's name sets an option that this source does not have."""
        if self.options is not None:
            spec.check_options({*self.options, *COMMON_OPTIONS})
