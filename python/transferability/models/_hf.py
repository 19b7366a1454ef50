"""Models of transformers: encoders and decoders of texts, encoders of images and of sounds."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from .._metric.score import issue
from .._util.optional import need
from ..errors import DataError
from . import _fingerprint
from ._audio import AudioModel, Sounds, load_sound_processor
from ._inputs import Images, Texts
from ._installed import find_library
from ._loading import is_offline, list_paths, loading, parse_dtype
from ._model import TorchModel
from ._spec import ModelSpec, SourceSpec
from ._taps import Taps, find_blocks

__all__ = [
    "LIBRARIES",
    "SOURCE",
    "hide_progress_bars",
    "load_image_processor",
    "resolve_max_length",
]

#: Modules that models of transformers have in common; one that is not there is left out.
LIBRARIES = (
    *("transformers.modeling_utils", "transformers.modeling_layers", "transformers.masking_utils"),
    *("transformers.generation.utils", "transformers.processing_utils"),
    *("transformers.tokenization_utils_fast", "transformers.models.auto.modeling_auto"),
    *("transformers.models.auto.tokenization_auto", "transformers.models.auto.processing_auto"),
)
#: Towers of a model with several, with the kinds of their inputs, and how errors call these.
_TOWERS = {"text": ("text", "texts"), "vision": ("image", "images"), "audio": ("audio", "sounds")}
#: Kinds of inputs by the name of a model's main argument.
_KINDS = {
    "input_ids": "text",
    "pixel_values": "image",
    "input_values": "audio",
    "input_features": "audio",
}
#: Maximum number of tokens if neither the tokeniser nor the positions set a limit (T5).
_LONGEST = 512
#: Model types whose positions start after the padding index: two entries are never used.
_SHIFTED = ("camembert", "mpnet", "roberta", "xlm-roberta", "xlm-roberta-xl", "xmod")
#: A method of embeddings that number the tokens of a text themselves, without the padding, as those
#: of RoBERTa do from another number than 0.
_COUNTS_POSITIONS = "create_position_ids_from_inputs_embeds"


def _open(spec: ModelSpec, device: Any, dtype: str | None) -> TorchModel:
    """Load a model and its tokeniser, image processor or feature extractor.

    Layers have the names of the modules. ``layers="all"`` means the same as
    ``output_hidden_states`` of transformers: the input of the first block, the output of each
    block but the last, and the last hidden state.
    """
    transformers = need("transformers", extra="hub", what="a model of transformers")
    arguments = {
        "revision": spec.revision or "main",
        "trust_remote_code": spec.flag("trust_remote_code", False),
        "local_files_only": is_offline(),
    }
    with loading(spec, hide_progress_bars(transformers)):
        config = transformers.AutoConfig.from_pretrained(spec.name, **arguments)
        whole, report = _select_auto_class(transformers, spec, config).from_pretrained(
            spec.name, output_loading_info=True, **arguments
        )
        _check_loaded(spec, report)
        kind, backbone, module = _select_parts(spec, config, whole)
        inputs = _load_preprocessing(transformers, spec, config, kind, backbone, arguments)
    module = module.to(dtype=parse_dtype(dtype)).eval()
    if hasattr(getattr(module, "config", None), "use_cache"):
        module.config.use_cache = False  # keys and values are for generation only
    blocks, taps = find_blocks(module), Taps(module)
    if config.model_type == "albert":  # its blocks share one module, which runs repeatedly
        blocks = []
    last = taps.on_output(backbone, "last_hidden_state", _last_hidden_state)
    layers = [*taps.on_first_input(blocks), *blocks[:-1], last]
    if config.model_type == "audio-spectrogram-transformer":  # the mean of its two class tokens
        last = taps.on_output(backbone, "pooler_output", lambda output: output.pooler_output)
    pool = _choose_pool(transformers, config, kind, backbone)
    facts = {
        "versions": _fingerprint.package_versions("torch", "transformers"),
        "config": _fingerprint.strip_origin(config),
        "revision": getattr(config, "_commit_hash", None) or spec.revision,
    }
    opened = AudioModel if kind == "audio" else TorchModel
    return opened(str(spec), module, inputs, layers, last, pool, facts, taps=taps, device=device)


def load_image_processor(transformers: Any, name: Any, **arguments: Any) -> Images:
    """Load the preprocessing of images."""
    processor = transformers.AutoImageProcessor.from_pretrained(name, **arguments)
    config = {k: v for k, v in processor.to_dict().items() if "name_or_path" not in k}
    config["library"] = find_library("transformers")
    return Images(lambda images: processor(images, return_tensors="pt"), config)


def resolve_max_length(tokenizer: Any, config: Any, asked: int | None) -> int:
    """Return the smallest limit on tokens: of the tokeniser, the position embeddings, the user."""
    limits = [tokenizer.model_max_length if tokenizer.model_max_length < 10**6 else None, asked]
    positions = getattr(config, "max_position_embeddings", None)
    if isinstance(positions, int) and positions > 0:
        limits.append(positions - 2 * (getattr(config, "model_type", "") in _SHIFTED))
    return min([limit for limit in limits if limit is not None], default=_LONGEST)


@contextmanager
def hide_progress_bars(transformers: Any) -> Iterator[None]:
    """Hide the progress bars and reports of transformers while it loads weights."""
    logging = transformers.utils.logging
    shown, verbosity = logging.is_progress_bar_enabled(), logging.get_verbosity()
    logging.disable_progress_bar()
    logging.set_verbosity_error()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if shown:
            logging.enable_progress_bar()


def _select_auto_class(transformers: Any, spec: ModelSpec, config: Any) -> Any:
    if not spec.flag("head", False):
        return transformers.AutoModel
    for kind in ("Image", "Audio"):
        auto = getattr(transformers, f"AutoModelFor{kind}Classification")
        if type(config) in auto._model_mapping:
            return auto
    return transformers.AutoModelForSequenceClassification


def _check_loaded(spec: ModelSpec, report: dict[str, Any]) -> None:
    """Warn of weights that a checkpoint lacks; raise DataError if the requested head lacks them."""
    # Poolers are not used, nor is the embedding of masked frames.
    unused = ("pooler", "masked_spec_embed")
    missing = sorted(
        name for name in report["missing_keys"] if not any(part in name for part in unused)
    )
    if not missing:
        return
    shown = ", ".join(missing[:3]) + (f" and {len(missing) - 3} more" if missing[3:] else "")
    if spec.flag("head", False):
        raise DataError(f"{spec} has no trained head: {shown} are not among its weights")
    issue([f"{spec}: weights are missing and were drawn at random: {shown}"])


def _select_parts(spec: ModelSpec, config: Any, whole: Any) -> tuple[str, Any, Any]:
    """Return the kind of inputs, the backbone whose features are scored, and the module to run."""
    tower = spec.text("tower")
    towers = [name for name in _TOWERS if hasattr(whole, f"{name}_model")]
    if len(towers) > 1:
        if tower not in towers:
            ways = " or ".join(f"?tower={name}" for name in towers)
            raise DataError(
                f"{spec} has a tower for {' and one for '.join(_TOWERS[t][1] for t in towers)}; "
                f"choose one: {spec.name}{ways}"
            )
        part = getattr(whole, f"{tower}_model")
        return _TOWERS[tower][0], part, part
    if tower is not None:
        raise DataError(f"{spec} has no towers; leave ?tower= out")
    backbone = getattr(whole, "base_model", whole) if spec.flag("head", False) else whole
    if config.is_encoder_decoder:
        if backbone is not whole:
            raise DataError(f"{spec} is an encoder–decoder, which is used without a head")
        backbone = whole = whole.get_encoder()
    takes = getattr(whole, "main_input_name", "input_ids")
    if takes not in _KINDS:
        raise DataError(f"{spec} takes {takes}; only texts, images and sounds are supported")
    return _KINDS[takes], backbone, whole


def _load_preprocessing(
    transformers: Any, spec: ModelSpec, config: Any, kind: str, module: Any, arguments: Any
) -> Texts | Images | Sounds:
    if kind == "image":
        return load_image_processor(transformers, spec.name, **arguments)
    if kind == "audio":
        return load_sound_processor(transformers, spec.name, module, **arguments)
    tokenizer = transformers.AutoTokenizer.from_pretrained(spec.name, **arguments)
    side = spec.text("padding_side") or tokenizer.padding_side
    if side not in ("left", "right"):
        raise DataError(f"{spec}: padding_side is {side!r}; give left or right")
    tokenizer.padding_side = side
    config = getattr(module, "config", config)
    limit = resolve_max_length(tokenizer, config, spec.count("max_length"))
    accepts = {*inspect.signature(module.forward).parameters}
    if any(hasattr(part, _COUNTS_POSITIONS) for part in module.modules()):
        accepts.discard("position_ids")
    return Texts(tokenizer, limit, sorted(accepts))


def _choose_pool(transformers: Any, config: Any, kind: str, module: Any) -> str:
    """Return the default pooling: mean, class token, or last token for decoders."""
    if kind != "text":
        names = [name.rpartition(".")[2] for name, _ in module.named_parameters()]
        return "cls" if {"cls_token", "class_embedding"} & {*names} else "mean"
    auto = transformers.models.auto.modeling_auto
    causal = config.model_type in auto.MODEL_FOR_CAUSAL_LM_MAPPING_NAMES
    masked = config.model_type in auto.MODEL_FOR_MASKED_LM_MAPPING_NAMES
    decoder = causal and not masked and not config.is_encoder_decoder
    return "lasttoken" if decoder or hasattr(config, "text_config") else "mean"


def _last_hidden_state(output: Any) -> Any:
    return output.last_hidden_state if hasattr(output, "last_hidden_state") else output[0]


SOURCE = SourceSpec(
    scheme="hf",
    example="bert-base-uncased",
    metavar="NAME",
    libraries=LIBRARIES,
    summary="transformers: a name on the hub (``@revision``) or a folder",
    open=_open,
    list_names=lambda spec: list_paths(spec.name, "config.json"),
    options=("head", "max_length", "padding_side", "tower", "trust_remote_code"),
    hint="; wildcards match folders on this machine that hold a config.json",
    has_revisions=True,
)
