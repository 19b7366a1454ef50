"""Read folders of pictures or sounds: which subfolders are classes, and which something else.

The kind is that of most files. The classes are the subfolders that hold such files, with four
exceptions: splits, such as ``train/`` and ``val/``, have the classes below them; ``images/`` beside
``masks/`` are no classes; a single folder around all others is no class, and neither is a second
copy of all others. Classes may also have splits, and masks, which are left out. ``Data.notes`` says
what was taken.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from ..errors import DataError
from ..io._names import SPLITS
from .audio import open_sound
from .data import MEDIA, Data, LazyItems
from .pictures import open_picture
from .scan import IMAGES, MASKS, Folder, build_tree, walk

__all__ = ["read_folder"]

#: Names of splits by their role, in the order in which one is taken by default.
_ROLES = {
    "train": SPLITS["train"],
    "trainval": SPLITS["trainval"],
    "labeled": ("labeled", "labelled"),
    "val": SPLITS["val"],
    "test": SPLITS["test"],
    "unlabeled": ("unlabeled", "unlabelled", "unsup", "pred", "predict", "prediction"),
    "fold": ("fold", "split"),
}
_ROLE_OF = {name: role for role, names in _ROLES.items() for name in names}
#: What may follow the name of a split: train2017, val_images, test-set.
_AFTER_SPLIT = re.compile(r"[ _-]*(set|data|images|imgs|split|\d+)$")
#: What may stand before it or after it, if it is the same for all: seg_train and seg_test,
#: train-small and test-small.
_PREFIX, _SUFFIX = re.compile(r".*[ _.-]"), re.compile(r"[ _.-].*")
#: Roles of which two are found in one folder only if the folders are splits.
_MAIN = {"train", "trainval", "val", "test"}
#: Roles of folders that may be classes: pictures in fold1 and fold2, labeled and unlabeled.
_MAY_BE_CLASSES = {"fold", "labeled", "unlabeled"}
_NUMBER = re.compile(r"[ _-]*\d+$")
_ALL = "all"
_READERS: dict[str, Callable[[Path], Any]] = {"image": open_picture, "audio": open_sound}


def read_folder(folder: Path, split: str | None = None, kind: str | None = None) -> Data:
    """Read a folder with one subfolder of pictures or sounds for each class, or splits of such.

    `split` is the name of a split, or "all". Default: the training split if there is one. `kind` is
    that of the files to read, "image" or "audio". Default: that of most.
    """
    left_out: list[str] = []
    by_kind: dict[str, list[Path]] = {kind: [] for kind in MEDIA}
    for found_kind, path in walk(folder, (), left_out):
        by_kind[found_kind].append(path)
    wanted = "pictures or sounds" if kind is None else f"{MEDIA[kind][1]}s"
    if kind is None:
        kind = max(MEDIA, key=lambda kind: len(by_kind[kind]))  # pictures, if there are as many
    noun = MEDIA[kind][1]
    tree = build_tree(folder, by_kind[kind], noun)
    notes: list[str] = []
    if left_out:
        more = f" and {len(left_out) - 1:,} more" if left_out[1:] else ""
        notes.append(f"{folder}: {left_out[0]}{more} left out, which systems add beside {noun}s")
    notes += [
        f"{folder}: read {len(by_kind[kind]):,} {noun}s and not {len(rest):,} {MEDIA[other][1]}s"
        for other, rest in by_kind.items()
        if other != kind and rest
    ]
    paths: list[Path] = []
    labels: list[str] = []
    for root in _find_roots(tree, split, notes):
        if root.files and root.folders:
            notes.append(
                f"{root.path}: {len(root.files):,} {noun}s beside the folders of the classes "
                f"were left out"
            )
        masks: list[Path] = []
        for label, place in root.folders.items():
            found = place.list_files()
            paths += found
            labels += [label] * len(found)
            masks += place.list_masks()
        if masks:
            more = f" and {len(masks) - 1:,} more" if masks[1:] else ""
            notes.append(f"{masks[0]}{more} left out, which are masks of other pictures")
    if not paths:
        raise DataError(
            f"{folder} holds no {wanted} in subfolders; give one subfolder for each "
            f"class, named as the class"
        )
    return Data(kind, LazyItems(paths, _READERS[kind]), labels, notes=tuple(notes))


def _find_roots(tree: Folder, split: str | None, notes: list[str]) -> list[Folder]:
    """Return the folders whose subfolders are the classes; append to `notes` what was decided."""
    splits = _find_splits(tree, split)
    if splits:
        chosen = _choose_splits(tree, splits, split)
        _note_choice(tree, chosen, split, notes)
        return [root for name in chosen for root in _find_roots(tree.folders[name], None, notes)]
    images = _find_images(tree)
    if images is not None:
        notes.append(f"{tree.path}: the classes are the folders in {images}/")
        return _find_roots(tree.folders[images], split, notes)
    inside = [set(place.folders) for place in tree.folders.values()]
    if len(inside) > 1 and all(map(_holds_flat_splits, tree.folders.values())):
        return [_choose_in_classes(tree, split, notes)]
    if len(inside) == 1:
        (only,) = tree.folders.values()
        inner: list[str] = []
        roots = _find_roots(only, split, inner) if only.folders else []
        if roots and (split is not None or len({n for root in roots for n in root.folders}) > 1):
            if not inner:
                inner.append(f"{tree.path}: the classes are the folders in {only.path.name}/")
            notes += inner
            return roots
    holders = [name for name, place in tree.folders.items() if _leads_to_splits(place)]
    if len(holders) == 1 and len(_find_roles(tree.folders)) == len(tree.folders) - 1 > 0:
        others = ", ".join(name for name in tree.folders if name != holders[0])
        notes.append(f"{tree.path}: read {holders[0]}/, which has splits, and not {others}")
        return _find_roots(tree.folders[holders[0]], split, notes)
    if split is not None:
        raise DataError(
            f"{tree.path} has no split {split!r} with one subfolder for each class; its folders "
            f"are {tree.list_names()}"
        )
    return [_find_classes(tree, notes)]


def _find_classes(tree: Folder, notes: list[str]) -> Folder:
    """Return a folder whose subfolders are the classes, without a copy of all of them."""
    if tree.folders and all(_NUMBER.sub("", name.lower()) in IMAGES for name in tree.folders):
        are_nested = all(place.folders for place in tree.folders.values())
        ways = "choose one of them by split=, " if are_nested else ""
        raise DataError(
            f"{tree.path}: the folders {tree.list_names()} are named as images and not as classes; "
            f"{ways}give one subfolder for each class, or pass (paths, labels)"
        )
    for name, place in tree.folders.items():
        others = {other: tree.folders[other] for other in tree.folders if other != name}
        if len(others) > 1 and not place.files and place.folders.keys() == others.keys():
            notes.append(f"{place.path} left out, which has the same folders as {tree.path}")
            tree = Folder(tree.path, tree.noun, tree.files, others)
            break
    inside = [set(place.folders) for place in tree.folders.values()]
    is_same = len(inside) > 1 and all(names == inside[0] for names in inside)
    if is_same and len(inside[0] - IMAGES - MASKS) > 1:
        notes.append(
            f"{tree.path}: the classes are {tree.list_names()}, and all have the same subfolders "
            f"{', '.join(sorted(inside[0])[:3])}; if these are the classes, choose one of the "
            f"folders by split="
        )
    elif nested := [place for place in tree.folders.values() if not place.files]:
        first = next(iter(nested[0].folders.values()))
        notes.append(
            f"{tree.path}: the classes are {tree.list_names()}; the {tree.noun}s of "
            f"{len(nested):,} of them are in subfolders, such as {first.path}"
        )
    return tree


def _leads_to_splits(place: Folder) -> bool:
    """Return whether a folder, or the only folder in it, has splits with subfolders."""
    while not place.files and len(place.folders) == 1:
        (place,) = place.folders.values()
    roles = _find_roles(place.folders)
    return len(_MAIN & {role for name, role in roles.items() if place.folders[name].folders}) > 1


def _find_splits(tree: Folder, split: str | None) -> list[str]:
    """Return the subfolders that are splits; none if the subfolders are classes.

    They are if all subfolders have names of splits, if two of these have a class in common, or if
    two of them are different splits. The class "train" beside "bus" and "car" is a class.
    """
    roles = _find_roles(tree.folders)
    named = list(roles)
    nested = [name for name in named if tree.folders[name].folders]
    others = {name.lower() for name in tree.folders if name not in named}
    if named and (others <= MASKS | IMAGES or len(_MAIN & {*roles.values()}) > 1):
        if not nested and set(roles.values()) <= _MAY_BE_CLASSES:
            return []
        if not nested:
            raise DataError(
                f"{tree.path}: the folders {', '.join(named)} are named as splits, and none has "
                f"one subfolder for each class; sort the {tree.noun}s into subfolders, or pass "
                f"(paths, labels)"
            )
        return named
    if others and _share_a_class([tree.folders[name] for name in nested]):
        return named
    if split is not None and split.lower() in map(str.lower, tree.folders):
        return list(tree.folders)  # by any name, such as fold1
    return []


def _share_a_class(folders: Sequence[Folder]) -> bool:
    seen: set[str] = set()
    for folder in folders:
        if not seen.isdisjoint(folder.folders):
            return True
        seen.update(folder.folders)
    return False


def _choose_splits(tree: Folder, splits: list[str], split: str | None) -> list[str]:
    """Return the requested splits; by default those of the first role."""
    nested = [name for name in splits if tree.folders[name].folders]
    if split == _ALL:
        return nested
    if split is None:
        roles = _find_roles(tree.folders)
        first = next(role for role in _ROLES for name in nested if roles[name] == role)
        return [name for name in nested if roles[name] == first]
    meant = _match_split(tree, splits, split)
    flat = [name for name in meant if name not in nested]
    if flat:
        raise DataError(
            f"{tree.path / flat[0]} has no subfolders of {tree.noun}s, one for each class"
        )
    return meant


def _match_split(tree: Folder, splits: list[str], split: str) -> list[str]:
    """Return the folders with the name of a split, or else with its role."""
    exact = [name for name in splits if name.lower() == split.lower()]
    role, roles = _role_of(split), _find_roles(tree.folders)
    meant = exact or [name for name in splits if role is not None and roles.get(name) == role]
    if not meant:
        raise DataError(f"{tree.path} has no split {split!r}; it has {', '.join(splits)}")
    return meant


def _holds_flat_splits(place: Folder) -> bool:
    """Return whether a class has a folder for each split, with its files."""
    is_flat = not any(inner.folders for inner in place.folders.values())
    return not place.files and is_flat and len(_find_roles(place.folders)) == len(place.folders)


def _choose_in_classes(tree: Folder, split: str | None, notes: list[str]) -> Folder:
    """Return the classes with the files of one split; by default with those of all."""
    if split is None or split == _ALL:
        names = sorted({name for place in tree.folders.values() for name in place.folders})
        notes.append(f"{tree.path}: read {', '.join(names)} of every class; split= chooses one")
        return tree
    chosen = Folder(tree.path, tree.noun)
    for label, place in tree.folders.items():
        folders = {
            name: place.folders[name] for name in _match_split(place, [*place.folders], split)
        }
        chosen.folders[label] = Folder(place.path, tree.noun, folders=folders)
    return chosen


def _note_choice(tree: Folder, chosen: list[str], split: str | None, notes: list[str]) -> None:
    """Add a note on the folders that were taken and those that were left out."""
    counts = {name: len(folder.list_files()) for name, folder in tree.folders.items()}
    taken = ", ".join(f"{name}/ ({counts[name]:,} {tree.noun}s)" for name in chosen)
    rest = ", ".join(f"{name}/ ({n:,})" for name, n in counts.items() if name not in chosen)
    text = f"{tree.path}: read the split {taken}"
    if rest:
        text += f" and not {rest}" + ("; split= chooses" if split is None else "")
    notes.append(text)


def _find_images(tree: Folder) -> str | None:
    """Return the folder of images that stands beside one of masks, or None.

    They are two such if there is no third folder, or if most masks have the name of an image.
    """
    images = [name for name in tree.folders if name.lower() in IMAGES]
    masks = [name for name in tree.folders if name.lower() in MASKS]
    if not images or not masks:
        return None
    if len(images) + len(masks) < len(tree.folders):
        stems = {path.stem for path in tree.folders[images[0]].list_files()}
        of_masks = [path.stem for path in tree.folders[masks[0]].list_files()]
        if 2 * sum(stem in stems for stem in of_masks) < len(of_masks):
            return None
    place = tree.folders[images[0]]
    if not place.folders or _holds_flat_splits(place):
        raise DataError(
            f"{tree.path}: {images[0]}/ beside {masks[0]}/ are no classes; for a class of each "
            f"pixel pass (images, masks) with task='segmentation', otherwise one subfolder for "
            f"each class"
        )
    return images[0]


def _find_roles(names: Iterable[str]) -> dict[str, str]:
    """Return the role of each name that has one, also beside a part that all names share.

    A part in front may also be shared by two different splits alone.
    """
    listed = list(names)
    before = _PREFIX.match(listed[0]) if len(listed) > 1 else None
    after = _SUFFIX.search(listed[0]) if len(listed) > 1 else None
    roles = {name: _role_of(name) for name in listed}
    if before is not None and all(name.startswith(before.group()) for name in listed):
        roles = {n: role or _role_of(n.removeprefix(before.group())) for n, role in roles.items()}
    if after is not None and all(name.endswith(after.group()) for name in listed):
        roles = {n: role or _role_of(n.removesuffix(after.group())) for n, role in roles.items()}
    shared: dict[str, dict[str, str]] = {}
    for name, match in ((name, _PREFIX.match(name)) for name in listed):
        role = None if match is None else _role_of(name[match.end() :])
        if match is not None and role is not None:
            shared.setdefault(match.group(), {})[name] = role
    for found in shared.values():
        if len(_MAIN & {*found.values()}) > 1:
            roles |= found
    return {name: role for name, role in roles.items() if role is not None}


def _role_of(name: str) -> str | None:
    """Return the role of a split by its name: one of ``_ROLES``, or None."""
    short = name.lower()
    return _ROLE_OF.get(short) or _ROLE_OF.get(_AFTER_SPLIT.sub("", short))
