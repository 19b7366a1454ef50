"""Read the labels of items, words or pixels once, for all models and batches."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from .._inputs.chunks import explain_kept, find_scheme
from .._inputs.labels import IGNORED, plain_text, read_labels
from .._inputs.target import Target, read_target
from .._inputs.task import FEW, count_values, decide_task
from .._scoring.groups import Groups, read_groups
from ..errors import DataError
from .bags import check_bag_labels
from .data import Data

__all__ = ["SEGMENTATION", "LabelledData", "flatten_labels", "read_item_labels", "read_word_labels"]

SEGMENTATION = "segmentation"


class LabelledData(NamedTuple):
    """Data with validated labels, and the prediction target that they define.

    `n_rows` is the number of rows of features: items or labelled words. It is None for
    segmentation, where it depends on the size of the model's maps.
    """

    data: Data  # its labels are converted, so that every batch is read as the same task
    target: Target  # of all rows; for segmentation, of the distinct classes
    n_rows: int | None
    groups: Groups | None = None  # for words, the text of each word: the unit of resampling


def read_item_labels(
    data: Data, task: str, bio: str, ignore: Collection[float], whole: Data | None = None
) -> LabelledData:
    """Read all labels, decide the task, and convert the labels of each item accordingly.

    `task` is "auto", "token", "segmentation", or a task of :func:`read_target`. `bio` is "strip"
    or "keep", for the marks of chunks in token labels, such as B- and I-. `ignore` lists labels of
    pixels to leave out in addition to -100. `whole` is the data that `data` was drawn from, whose
    labels decide.
    """
    if data.bags is not None:
        return _read_bag_labels(data, task, bio, ignore, whole)
    if task == SEGMENTATION:
        return LabelledData(data, _read_pixel_target(data, ignore), None)
    if task == "token" or (task == "auto" and data.is_token):
        words = [list(data.items[row]) for row in range(len(data))]
        if not isinstance(data.items[0], list):  # models read tuples as pairs of texts
            data = replace(data, items=words)
        all_tags = _list_tags((data if whole is None else whole).labels)
        tags, scheme = read_word_labels(words, data.labels, bio, all_tags)
        flat = flatten_labels(tags)
        decided = _decide_words_task(flatten_labels(all_tags), task)
        note = f"{decided} of words, by the labels of {len(flat):,} words{scheme}"
        target = replace(read_target(flat, decided), note=note)
        counts = [sum(tag is not None for tag in of_text) for of_text in tags]
        texts = read_groups(np.repeat(np.arange(len(tags)), counts), len(flat))
        return LabelledData(replace(data, labels=tags), target, len(flat), texts)
    if task == "auto" and whole is not None and whole is not data:
        of_all = read_target(whole.labels)
        drawn = read_target(data.labels, of_all.task)
        target = replace(drawn, note=of_all.note).without_constant()
    else:
        target = read_target(data.labels, task).without_constant()
    labels: Any = target.values
    if target.ids is not None:
        labels = target.ids if target.names is None else [target.names[i] for i in target.ids]
    return LabelledData(replace(data, labels=labels), target, target.n_samples)


def _decide_words_task(tags: Sequence[Any], task: str) -> str:
    """Return the task of the labels of words: regression if some are real numbers.

    Raise DataError for many integers that look like a measure, such as reading times, unless the
    `task` "token" says that they are classes.
    """
    if any(isinstance(tag, float) for tag in tags):
        return "regression"
    if task == "auto" and not any(isinstance(tag, str) for tag in tags):
        values, counts = count_values(read_labels(tags)[0].astype(np.int64))
        if len(values) > FEW:
            remedy = "choose task='token' for classes, or give real numbers for regression"
            decide_task("i", values, counts, remedy)
    return "classification"


def _read_bag_labels(
    data: Data, task: str, bio: str, ignore: Collection[float], whole: Data | None
) -> LabelledData:
    """Read the one label of each bag, and repeat it in all rows of the bag."""
    if task in ("token", SEGMENTATION) or (task == "auto" and data.is_token):
        kind = "pixel" if task == SEGMENTATION else "word"
        raise DataError(f"bag pools items to one row, and here each {kind} has a label; drop bag")
    everything = data if whole is None else whole
    starts, rows = everything.bag_starts(), _list_rows(everything.labels)
    sizes = np.diff([*starts, len(everything)])
    first = np.repeat(starts, sizes).tolist()
    check_bag_labels(rows, first, everything.bags, everything.original_row)
    of_bags = replace(data.select(data.bag_starts()), bags=None)
    whole_of_bags = None
    if everything is not data:
        whole_of_bags = replace(everything.select(starts), bags=None)
    found = read_item_labels(of_bags, task, bio, ignore, whole_of_bags)
    places, labels = data.number_bags(), found.data.labels
    labels = labels[places] if isinstance(labels, np.ndarray) else [labels[i] for i in places]
    return found._replace(data=replace(data, labels=labels))


def _list_rows(labels: Any) -> Any:
    """Return labels so that an index selects the label or the targets of one row."""
    return labels.to_numpy() if hasattr(labels, "to_numpy") else labels


def _read_pixel_target(data: Data, ignore: Collection[float]) -> Target:
    """Build the target of pixel labels from the distinct values."""
    values: set[Any] = set()
    for row, labels in enumerate(data.labels):
        array = np.asarray(labels)
        if array.ndim != 2:
            raise DataError(
                f"labels[{row}] has shape {array.shape}; task='segmentation' needs (H, W), a label "
                f"for each pixel"
            )
        if array.dtype.kind == "f":
            found = read_target(np.array([0.5, 1.5]), "regression")  # a placeholder: only the task
            return replace(found, note="regression of positions, as their labels are real numbers")
        values.update(np.unique(array).tolist())
    values -= {IGNORED, *ignore}
    if not values:
        raise DataError("no pixel has a label: all are -100 or ignored")
    found = read_target(sorted(values), "classification")
    return replace(found, note=f"classification of positions into {len(values)} classes")


def read_word_labels(
    words: Sequence[Sequence[str]],
    labels: Sequence[Any],
    bio: str = "strip",
    all_tags: Sequence[Sequence[Any]] | None = None,
) -> tuple[list[list[Any]], str]:
    """Return a label for each word, and a note of the chunk scheme that was removed.

    Ignored labels, None and -100, become None. `all_tags` are those of the data that these rows
    were drawn from, which decide the scheme.
    """
    listed = _list_tags(labels)
    for row, tags in enumerate(listed):
        if len(tags) != len(words[row]):
            raise DataError(
                f"labels[{row}] has {len(tags)} entries for {len(words[row])} words; give one for "
                f"each word, None for a word without a label"
            )
    if bio != "strip":
        return listed, ""
    distinct = {tag for tags in all_tags or listed for tag in tags if isinstance(tag, str)}
    scheme = find_scheme(distinct)
    if scheme is None:
        return listed, explain_kept(distinct)
    entities = {tag: scheme.strip(tag) for tag in distinct}
    return [
        [entities[tag] if isinstance(tag, str) else tag for tag in tags] for tags in listed
    ], f"; {scheme.note}"


def _list_tags(labels: Sequence[Any]) -> list[list[Any]]:
    """Return the tags of each text as a list; ignored ones become None."""
    listed = []
    for row, tags in enumerate(labels):
        if isinstance(tags, (str, bytes)) or not hasattr(tags, "__len__"):
            raise DataError(
                f"labels[{row}] is {tags!r}; labels of words must be lists, one for each word"
            )
        listed.append([*map(_read_tag, tags.tolist() if hasattr(tags, "tolist") else tags)])
    return listed


def flatten_labels(labels: Iterable[Iterable[Any]]) -> list[Any]:
    """Return the labels of all labelled words, in order."""
    flat = [tag for tags in labels for tag in tags if tag is not None]
    if not flat:
        raise DataError("no word has a label: all are None or -100")
    return flat


def _read_tag(tag: Any) -> Any:
    tag = plain_text(tag)
    return None if tag is None or (not isinstance(tag, str) and tag == IGNORED) else tag
