"""Image classifiers of torchvision, with the preprocessing of their weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from .._inputs.arguments import suggest
from .._util.optional import need
from ..errors import DataError
from . import _fingerprint
from ._inputs import Images, stack_transformed
from ._loading import is_offline, loading, parse_dtype
from ._model import TorchModel
from ._spec import ModelSpec, SourceSpec
from ._taps import Taps, find_last_linear, find_stages

__all__ = ["SOURCE"]


def _open(spec: ModelSpec, device: Any, dtype: str | None) -> TorchModel:
    """Create a model with its classifier; the default features are the classifier's input.

    The option ``weights`` is "DEFAULT", the name of other weights, or "none" for random ones;
    ``checkpoint`` is the path of a state_dict, which is loaded without running code.
    """
    models = _models()
    import torch

    if spec.name not in models.list_models():
        near = suggest(spec.name, models.list_models(module=models))
        raise DataError(f"torchvision has no model {spec.name!r}{near}")
    enum, path = models.get_model_weights(spec.name), spec.text("checkpoint")
    wanted = spec.text("weights", "DEFAULT" if path is None else "none") or "none"
    if wanted.lower() != "none" and wanted not in enum.__members__:
        known = ["DEFAULT", "none", *(str(w.name) for w in enum)]
        raise DataError(f"{spec}: there are no weights {wanted!r}; choose from {', '.join(known)}")
    weights = None if wanted.lower() == "none" else enum[wanted]
    if weights is not None and is_offline():
        _check_downloaded(spec, weights)
    n_classes = spec.count("num_classes")
    options = {} if n_classes is None else {"num_classes": n_classes}
    with loading(spec):
        module = models.get_model(spec.name, weights=weights, **options)
        if path is not None:
            module.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
    module = module.to(dtype=parse_dtype(dtype)).eval()
    # Random weights have no preprocessing of their own; that of the default weights is used.
    transform = (weights or enum["DEFAULT"]).transforms()
    classifier = find_last_linear(module)
    taps = Taps(module)
    layers = taps.with_stem(find_stages(module, classifier))
    default = layers[-1] if classifier is None else taps.on_input(classifier)
    inputs = Images(stack_transformed(transform), {"transform": repr(transform)})
    facts = {"versions": _fingerprint.package_versions("torch", "torchvision")}
    pool = _choose_pool(module)
    return TorchModel(
        str(spec), module, inputs, layers, default, pool, facts, taps=taps, device=device
    )


def _check_downloaded(spec: ModelSpec, weights: Any) -> None:
    """Raise DataError if weights are not on this machine; for offline mode."""
    import torch

    file = Path(torch.hub.get_dir()) / "checkpoints" / weights.url.rpartition("/")[2]
    if not file.is_file():
        raise DataError(
            f"{spec} cannot be loaded: HF_HUB_OFFLINE is set, and {file} is not there; download "
            f"the weights before, or give ?weights=none or ?checkpoint="
        )


def _choose_pool(module: Any) -> str:
    """Return the default pooling: class token, channels last (Swin), or channels first."""
    if hasattr(module, "class_token"):
        return "cls"
    return "nhwc_mean" if type(module).__name__ == "SwinTransformer" else "mean"


def _models() -> Any:
    return need("torchvision.models", extra="hub", what="a model of torchvision")


SOURCE = SourceSpec(
    scheme="torchvision",
    example="resnet18",
    metavar="NAME",
    libraries=("torchvision.models",),
    summary="torchvision, with wildcards",
    open=_open,
    list_names=lambda spec: _models().list_models(module=_models(), include=spec.name),
    options=("weights", "checkpoint", "num_classes"),
    hint="; the documentation of torchvision.models has their names",
)
