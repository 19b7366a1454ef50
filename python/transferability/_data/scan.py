"""Find the pictures and sounds in a folder, at any depth, and arrange them as a tree."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from .data import kind_of_file

__all__ = ["IMAGES", "MASKS", "Folder", "build_tree", "walk"]

#: Names of folders of images, and of masks beside them.
IMAGES = {"image", "images", "img", "imgs", "jpegimages", "pictures"}
MASKS = {
    *("mask", "masks", "label", "labels", "annotation", "annotations", "annots", "gt", "target"),
    *("targets", "ground_truth", "groundtruth", "segmentation", "segmentations", "trimaps"),
    *("segmentationclass", "segmentationobject"),
}
#: The end of the name of a mask that has the name of its picture in front: a.png and a_mask.png.
_MASK_OF = re.compile(r"(.+?)[ _.-]+(?:mask|segmentation)(?:[ _-]?\d+)?", re.IGNORECASE)
#: Folders that systems and programs add, beside those with a dot in front.
_COMPANIONS = {
    *("__macosx", "@eadir", "$recycle.bin", "#recycle", "@recycle", "recycler", "#snapshot"),
    *("lost+found", "system volume information", "__pycache__"),
}


@dataclass
class Folder:
    """A folder with its own files of one kind, and its subfolders that hold such at any depth.

    `masks` are pictures in the folder that are masks of others there.
    """

    path: Path
    noun: str  # what one of the files is called
    files: list[Path] = field(default_factory=list)
    folders: dict[str, Folder] = field(default_factory=dict)
    masks: list[Path] = field(default_factory=list)

    def list_files(self) -> list[Path]:
        """Return the files at any depth, sorted, without masks."""
        masks = self._mask_folders()
        inner = [
            path
            for name, folder in self.folders.items()
            if name not in masks
            for path in folder.list_files()
        ]
        return sorted([*self.files, *inner])

    def list_masks(self) -> list[Path]:
        """Return the masks at any depth: folders beside folders of images, and pictures."""
        inner = [path for folder in self.folders.values() for path in folder.list_masks()]
        return [*(self.folders[name].path for name in self._mask_folders()), *self.masks, *inner]

    def _mask_folders(self) -> list[str]:
        has_images = any(name.lower() in IMAGES for name in self.folders)
        return [name for name in self.folders if has_images and name.lower() in MASKS]

    def list_names(self) -> str:
        """Return the names of the first subfolders, for messages."""
        names = list(self.folders)
        return ", ".join(names[:6]) + (", …" if len(names) > 6 else "") or "none"


def walk(folder: Path, above: tuple[str, ...], left_out: list[str]) -> Iterator[tuple[str, Path]]:
    """Iterate over all pictures and sounds, with kinds; `left_out` gets the rest's names."""
    real = os.path.realpath(folder)
    for entry in sorted(os.scandir(folder), key=lambda entry: entry.name):
        path = folder / entry.name
        is_folder = entry.is_dir()
        kind = kind_of_file(entry.name)
        if entry.name.startswith(".") or (is_folder and entry.name.lower() in _COMPANIONS):
            # Hidden folders beside the classes, such as .git, are nobody's pictures.
            if kind is not None or (is_folder and (above or entry.name[0] != ".")):
                left_out.append(str(path))
        elif is_folder:
            if os.path.realpath(path) not in (real, *above):  # no link to a folder above
                yield from walk(path, (*above, real), left_out)
        elif kind is not None:
            yield kind, path


def build_tree(root: Path, paths: Iterable[Path], noun: str) -> Folder:
    """Arrange files of one kind by their folders."""
    tree = Folder(root, noun)
    folders = {root: tree}
    for path in paths:
        missing = [path.parent]
        while missing[-1] not in folders:
            missing.append(missing[-1].parent)
        for place in reversed(missing[:-1]):
            folders[place] = folders[place.parent].folders[place.name] = Folder(place, noun)
        folders[path.parent].files.append(path)
    for folder in folders.values() if noun == "picture" else ():
        stems = {path.stem for path in folder.files}
        matches = {path: _MASK_OF.fullmatch(path.stem) for path in folder.files}
        folder.masks = [path for path, match in matches.items() if match and match[1] in stems]
        folder.files = sorted(matches.keys() - {*folder.masks})
    return tree
