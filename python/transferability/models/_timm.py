"""Models of timm, with the preprocessing of their weights."""

from __future__ import annotations

from typing import Any

from .._inputs.arguments import suggest
from .._util.optional import need
from ..errors import DataError
from . import _fingerprint
from ._inputs import Images, stack_transformed
from ._loading import loading, parse_dtype
from ._model import TorchModel
from ._spec import ModelSpec, SourceSpec
from ._taps import Taps, find_stages

__all__ = ["SOURCE"]

#: Prefixes by which timm loads models from outside its registry.
_ELSEWHERE = ("hf-hub:", "hf_hub:", "local-dir:")


def _open(spec: ModelSpec, device: Any, dtype: str | None) -> TorchModel:
    """Create a model with its classifier; the default features are the classifier's input.

    The option ``checkpoint`` is the path of weights, which are loaded without running code.
    """
    timm = _timm()
    checkpoint = spec.text("checkpoint")
    pretrained = spec.flag("pretrained", checkpoint is None)
    if not spec.name.startswith(_ELSEWHERE) and not timm.is_model(spec.name):
        raise DataError(f"timm has no model {spec.name!r}{suggest(spec.name, timm.list_models())}")
    size = spec.count("image_size")
    options: dict[str, Any] = {} if size is None else {"img_size": size}
    with loading(spec):
        module = timm.create_model(spec.name, pretrained=pretrained, **options)
        if checkpoint is not None:
            timm.models.load_checkpoint(module, checkpoint, weights_only=True)
    module = module.to(dtype=parse_dtype(dtype)).eval()
    config = timm.data.resolve_model_data_config(module)
    if size is not None:
        config["input_size"] = (config["input_size"][0], size, size)
    classifier = module.get_classifier() if hasattr(module, "get_classifier") else None
    if isinstance(classifier, tuple):  # distilled models have two, whose outputs are averaged
        classifier = classifier[0]
    taps = Taps(module)
    layers = taps.with_stem(_find_layers(module, classifier))
    default = layers[-1] if classifier is None else taps.on_input(classifier)
    pool = _choose_pool(module)
    transform = timm.data.create_transform(**config, is_training=False)
    mode = "L" if config["input_size"][0] == 1 else "RGB"
    inputs = Images(stack_transformed(transform), config, mode)
    versions = _fingerprint.package_versions("torch", "timm")
    facts = {"versions": versions, "class": type(module).__name__}
    return TorchModel(
        str(spec), module, inputs, layers, default, pool, facts, taps=taps, device=device
    )


def _find_layers(module: Any, classifier: Any) -> list[str]:
    """Return the names of the blocks of a vision transformer, or of the stages of a CNN."""
    names = dict(module.named_modules())
    blocks = [name for name, _ in getattr(module, "blocks", module).named_children()]
    if hasattr(module, "patch_embed") and hasattr(module, "blocks") and blocks:
        return [f"blocks.{name}" for name in blocks]
    stages = [info["module"] for info in getattr(module, "feature_info", []) or []]
    found = [name for name in stages if name in names and list(names[name].children())]
    return found or find_stages(module, classifier)


def _choose_pool(module: Any) -> str:
    """Return the pooling for other layers: the one that the model applies to its last layer."""
    if getattr(module, "output_fmt", "") == "NHWC":
        return "nhwc_mean"
    return "cls" if getattr(module, "global_pool", None) == "token" else "mean"


def _timm() -> Any:
    return need("timm", extra="hub", what="a model of timm")


SOURCE = SourceSpec(
    scheme="timm",
    example="resnet18.a1_in1k",
    metavar="NAME",
    libraries=("timm",),
    summary="timm, with wildcards: ``timm:vit_tiny*``",
    open=_open,
    list_names=lambda spec: _timm().list_models(  # one name for each set of weights
        spec.name, pretrained=spec.flag("pretrained", True)
    ),
    options=("pretrained", "checkpoint", "image_size"),
    hint="; timm lists their names, with weights only if pretrained is not false",
)
