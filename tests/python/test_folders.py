"""Folders of pictures: classes, splits, images beside masks, and what systems leave beside them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from transferability._data.data import Data
from transferability._data.read import read_data
from transferability.errors import DataError, DtypeError

pytest.importorskip("PIL")

ANIMALS = ["cat", "cat", "dog", "dog"]


def make(root: Path, *files: str) -> Path:
    """Make empty files; their content is not read here."""
    for file in files:
        (root / file).parent.mkdir(parents=True, exist_ok=True)
        (root / file).touch()
    return root


def animals(folder: str = "", n: int = 2) -> list[str]:
    place = f"{folder}/" if folder else ""
    return [f"{place}{name}/{i}.png" for name in ("cat", "dog") for i in range(n)]


def paths(data: Data, root: Path) -> list[str]:
    return [path.relative_to(root).as_posix() for path in data.items.source]


def test_classes_without_any_note(tmp_path: Path) -> None:
    make(tmp_path, *animals(), "cat/more/a.JPG", "dog/notes.txt", "empty/notes.txt")
    data = read_data(tmp_path)
    assert data.labels == ["cat", "cat", "cat", "dog", "dog"]
    assert data.notes == ()


def test_pictures_beside_the_classes_are_counted(tmp_path: Path) -> None:
    make(tmp_path, *animals(), "top.png", "other.jpg", "readme.txt")
    data = read_data(tmp_path)
    assert (data.labels, paths(data, tmp_path)) == (ANIMALS, animals())
    assert data.notes == (
        f"{tmp_path}: 2 pictures beside the folders of the classes were left out",
    )
    make(tmp_path / "s", *animals("train"), *animals("val"), "train/0.png")
    assert f"{tmp_path / 's' / 'train'}: 1 pictures beside" in read_data(tmp_path / "s").notes[1]


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("train", "val"),
        ("train", "test"),
        ("Train", "Valid"),
        ("training", "validation"),
        ("TRAINING", "Testing"),
        ("train2017", "val2017"),
        ("train_images", "test_images"),
        ("trainset", "testset"),
        ("train-set", "dev-set"),
        ("val", "test"),
        ("dev", "test1"),
        ("train", "unlabeled"),
        ("training_set", "test_set"),
        ("seg_train", "seg_pred"),
        ("cats-dogs.train", "cats-dogs.valid"),
        ("Train Set", "Validation Set"),
        ("test", "unlabelled"),
        ("trainval", "test"),
        ("train_val", "test"),
        ("train", "trainval"),
        ("trainval2012", "test2012"),
        ("labeled", "unlabeled"),
        ("Labelled", "test"),
        ("train-final", "test-final"),
        ("train_v2 small", "val_v2 small"),
        ("train.cropped", "valid.cropped"),
    ],
)
def test_splits_are_no_classes(tmp_path: Path, first: str, second: str) -> None:
    make(tmp_path, *animals(first), *animals(second, 3))
    data = read_data(tmp_path)
    assert data.labels == ANIMALS
    assert paths(data, tmp_path) == animals(first)
    (note,) = data.notes
    assert f"read the split {first}/ (4 pictures) and not {second}/ (6); split= chooses" in note
    assert read_data(tmp_path, split=second).labels == ["cat"] * 3 + ["dog"] * 3
    assert read_data(tmp_path, split=second.upper()).labels == ["cat"] * 3 + ["dog"] * 3
    both = read_data(tmp_path, split="all")
    assert sorted(paths(both, tmp_path)) == sorted([*animals(first), *animals(second, 3)])
    assert both.labels.count("cat") == 5


def test_a_split_by_its_role(tmp_path: Path) -> None:
    make(tmp_path, *animals("training"), *animals("validation", 1))
    assert paths(read_data(tmp_path, split="val"), tmp_path) == animals("validation", 1)
    assert paths(read_data(tmp_path, split="train"), tmp_path) == animals("training")
    with pytest.raises(DataError, match="has no split 'test'; it has training, validation"):
        read_data(tmp_path, split="test")


def test_one_split_and_folders_around_it(tmp_path: Path) -> None:
    make(tmp_path, *animals("data/photos/train"), *animals("data/photos/val", 1))
    assert read_data(tmp_path).labels == ANIMALS
    assert read_data(tmp_path, split="val").labels == ["cat", "dog"]
    alone = make(tmp_path / "alone", *animals("train"), "val/readme.txt")
    data = read_data(alone)
    assert data.labels == ANIMALS
    assert data.notes == (f"{alone}: read the split train/ (4 pictures)",)
    around = read_data(make(tmp_path / "around", *animals("photos")))
    assert around.labels == ANIMALS
    assert around.notes == (f"{tmp_path / 'around'}: the classes are the folders in photos/",)


def test_splits_beside_other_folders(tmp_path: Path) -> None:
    make(tmp_path, *animals("train"), *animals("val"), "samples/0.png", "annotations/0.png")
    assert read_data(tmp_path).labels == ANIMALS
    make(tmp_path / "kaggle", *animals("train"), "test/0.png", "test/1.png")
    data = read_data(tmp_path / "kaggle")
    assert data.labels == ANIMALS
    assert "and not test/ (2)" in data.notes[0]
    with pytest.raises(DataError, match="test has no subfolders of pictures, one for each class"):
        read_data(tmp_path / "kaggle", split="test")


def test_folds_are_read_together(tmp_path: Path) -> None:
    make(tmp_path, *animals("fold1", 1), *animals("fold2", 1))
    assert sorted(read_data(tmp_path).labels) == ANIMALS
    assert read_data(tmp_path, split="fold2").labels == ["cat", "dog"]


def test_splits_as_archives_unpack_them(tmp_path: Path) -> None:
    make(tmp_path, *animals("seg_train/seg_train"), *animals("seg_test/seg_test", 1))
    make(tmp_path, "seg_pred/seg_pred/0.png")
    assert read_data(tmp_path).labels == ANIMALS
    assert read_data(tmp_path, split="test").labels == ["cat", "dog"]


@pytest.mark.parametrize(
    "classes",
    [
        ("bullet_train", "steam_train"),
        ("train_a", "train_b"),
        ("pretest", "test bench"),
        ("labeled", "unlabeled"),
        ("toy-car", "real-car"),
    ],
)
def test_classes_whose_names_have_such_parts(tmp_path: Path, classes: tuple[str, ...]) -> None:
    data = read_data(make(tmp_path, *(f"{name}/0.png" for name in classes)))
    assert (data.labels, data.notes) == (sorted(classes), ())


def test_splits_in_classes(tmp_path: Path) -> None:
    make(
        tmp_path,
        *(f"{a}/{s}/{i}.png" for a in ("cat", "dog") for s in ("train", "val") for i in "01"),
    )
    data = read_data(tmp_path)
    assert data.labels == ["cat"] * 4 + ["dog"] * 4
    assert data.notes == (f"{tmp_path}: read train, val of every class; split= chooses one",)
    assert read_data(tmp_path, split="all").labels == data.labels
    chosen = read_data(tmp_path, split="validation")
    assert chosen.labels == ANIMALS
    assert paths(chosen, tmp_path) == [f"{a}/val/{i}.png" for a in ("cat", "dog") for i in "01"]
    with pytest.raises(DataError, match="cat has no split 'test'; it has train, val"):
        read_data(tmp_path, split="test")


def test_a_class_may_be_called_train(tmp_path: Path) -> None:
    files = ["bus/0.png", "car/0.png", "train/0.png", "train/steam/1.png"]
    data = read_data(make(tmp_path, *files))
    assert data.labels == ["bus", "car", "train", "train"]
    assert data.notes == ()
    vehicles = [f"{split}/{file}" for split in ("train", "test") for file in files]
    split = read_data(make(tmp_path / "split", *vehicles))
    assert split.labels == ["bus", "car", "train", "train"]
    assert {path.split("/")[0] for path in paths(split, tmp_path / "split")} == {"train"}


@pytest.mark.parametrize("folders", [("train", "val"), ("train", "test", "valid"), ("test",)])
def test_splits_without_classes_are_refused(tmp_path: Path, folders: tuple[str, ...]) -> None:
    make(tmp_path, *(f"{folder}/{i}.png" for folder in folders for i in range(3)))
    with pytest.raises(DataError, match="are named as splits, and none has one subfolder for each"):
        read_data(tmp_path)


def test_equal_subfolders_are_said(tmp_path: Path) -> None:
    make(tmp_path, *animals("berlin"), *animals("paris", 1))
    data = read_data(tmp_path)
    assert data.labels == ["berlin"] * 4 + ["paris"] * 2  # as before, but said
    assert (
        "the classes are berlin, paris, and all have the same subfolders cat, dog"
        in (data.notes[0])
    )
    assert read_data(tmp_path, split="berlin").labels == ANIMALS


def test_a_split_that_is_not_there(tmp_path: Path) -> None:
    make(tmp_path, *animals())
    with pytest.raises(DataError, match=r"no split 'val' .* its folders are cat, dog"):
        read_data(tmp_path, split="val")
    with pytest.raises(DataError, match="cat has no subfolders of pictures"):
        read_data(tmp_path, split="cat")
    with pytest.raises(DataError, match="split is 'val', and data has no splits"):
        read_data((["a", "b"], [0, 1]), split="val")


@pytest.mark.parametrize(
    ("images", "masks"),
    [
        ("images", "masks"),
        ("Images", "labels"),
        ("imgs", "annotations"),
        ("JPEGImages", "SegmentationClass"),
        ("image", "gt"),
    ],
)
def test_images_beside_masks_are_no_classes(tmp_path: Path, images: str, masks: str) -> None:
    make(tmp_path, *(f"{folder}/{i}.png" for folder in (images, masks) for i in range(3)))
    message = f"{images}/ beside {masks}/ are no classes; .* task='segmentation'"
    with pytest.raises(DataError, match=message):
        read_data(tmp_path)
    make(tmp_path, *(f"previews/{i}.png" for i in range(3)))
    with pytest.raises(DataError, match=message):
        read_data(tmp_path)
    split = make(
        tmp_path / "s", *(f"{s}/{f}/0.png" for s in ("train", "val") for f in (images, masks))
    )
    with pytest.raises(DataError, match=message):
        read_data(split)
    inside = make(
        tmp_path / "i", *(f"{f}/{s}/0.png" for s in ("train", "val") for f in (images, masks))
    )
    with pytest.raises(DataError, match=message):
        read_data(inside)


def test_classes_in_images_beside_masks(tmp_path: Path) -> None:
    make(tmp_path, *animals("images"), *animals("masks"))
    data = read_data(tmp_path)
    assert data.labels == ANIMALS
    assert data.notes == (f"{tmp_path}: the classes are the folders in images/",)
    make(
        tmp_path / "s", *animals("images/train"), *animals("images/val", 1), *animals("masks/train")
    )
    assert read_data(tmp_path / "s", split="val").labels == ["cat", "dog"]
    assert read_data(tmp_path / "s").labels == ANIMALS


@pytest.mark.parametrize(
    "classes", [("mask", "no_mask"), ("masks", "gloves"), ("image", "label", "table", "text")]
)
def test_classes_that_are_called_so(tmp_path: Path, classes: tuple[str, ...]) -> None:
    make(tmp_path, *(f"{name}/{name}{i}.png" for name in classes for i in range(2)))
    assert read_data(tmp_path).labels == [name for name in sorted(classes) for _ in range(2)]


COMPANIONS = [
    "cat/._0.png",
    "._cat/0.png",
    "__MACOSX/cat/._0.png",
    "__MACOSX/cat/0.png",
    "cat/.ipynb_checkpoints/0-checkpoint.png",
    ".ipynb_checkpoints/0.png",
    "cat/@eaDir/0.png",
    "@eaDir/0.jpg",
    "dog/.AppleDouble/0.png",
    "dog/.thumbnails/0.png",
    "dog/__MACOSX/._0.png",
    "dog/#recycle/0.png",
    "#snapshot/0.png",
    "lost+found/0.png",
    "dog/Thumbs.db",
    "dog/desktop.ini",
    ".DS_Store",
    "cat/.DS_Store",
    ".git/a/0.png",
]


@pytest.mark.parametrize("companion", COMPANIONS)
def test_companions_are_left_out(tmp_path: Path, companion: str) -> None:
    make(tmp_path, *animals(), companion)
    data = read_data(tmp_path)
    assert paths(data, tmp_path) == animals()
    assert data.labels == ANIMALS
    make(tmp_path / "s", *animals("train"), *animals("val"), f"train/{companion}")
    assert read_data(tmp_path / "s").labels == ANIMALS


def test_companions_are_counted(tmp_path: Path) -> None:
    make(tmp_path, *animals(), "cat/._0.png", "cat/._1.png", "dog/.DS_Store", "__MACOSX/0.png")
    (note,) = read_data(tmp_path).notes
    assert note.startswith(f"{tmp_path}: {tmp_path / '__MACOSX'} and 2 more left out")


def test_links(tmp_path: Path) -> None:
    make(tmp_path / "all", *animals())
    (tmp_path / "s" / "train").mkdir(parents=True)
    for name in ("cat", "dog"):
        (tmp_path / "s" / "train" / name).symlink_to(tmp_path / "all" / name)
    (tmp_path / "all" / "cat" / "again").symlink_to(tmp_path / "all")
    assert read_data(tmp_path / "s").labels.count("dog") == 2
    assert set(read_data(tmp_path / "s").labels) == {"cat", "dog"}  # and it ends


def test_splits_of_a_dict(tmp_path: Path) -> None:
    pandas: Any = pytest.importorskip("pandas")
    train = pandas.DataFrame({"text": ["a", "b"], "label": [0, 1]})
    splits = {"train": train, "test": train[:1]}
    assert read_data(splits, split="test").labels == [0]
    with pytest.raises(DataError, match=r"pass one of them: data\['train'\], or split='train'"):
        read_data(splits)
    with pytest.raises(DataError, match="has no split 'val'; it has train, test"):
        read_data(splits, split="val")
    arrow: Any = pytest.importorskip("pyarrow")
    batches = {"train": arrow.RecordBatch.from_pandas(train)}
    assert read_data(batches, split="train").labels == [0, 1]
    polars: Any = pytest.importorskip("polars")
    with pytest.raises(DtypeError, match=r"polars LazyFrame; pass data\.collect\(\)"):
        read_data({"train": polars.LazyFrame({"text": ["a"], "label": [0]})}, split="train")


def test_masks_within_classes_are_no_pictures(tmp_path: Path) -> None:
    files = [
        f"{c}/{kind}/{i}.png" for c in ("cat", "dog") for kind in ("images", "masks") for i in "01"
    ]
    data = read_data(make(tmp_path / "a", *files))
    assert data.labels == ANIMALS
    assert paths(data, tmp_path / "a") == [file for file in files if "images" in file]
    assert "cat/masks and 1 more left out, which are masks" in data.notes[-1]
    names = ["b (1)", "b (1)_mask", "b (1)_mask_1", "with_mask", "b (2)-Segmentation"]
    data = read_data(make(tmp_path / "b", *(f"{c}/{n}.png" for c in ("cat", "dog") for n in names)))
    found = [f"{c}/{name}.png" for c in ("cat", "dog") for name in (names[0], names[4], names[3])]
    assert paths(data, tmp_path / "b") == sorted(found)
    assert "b (1)_mask.png and 3 more left out" in data.notes[0]


def test_two_different_splits_are_no_classes_beside_others(tmp_path: Path) -> None:
    make(tmp_path / "a", *animals("Train"), "Test/0.png", "Meta/0.png")
    assert read_data(tmp_path / "a").labels == ANIMALS
    make(tmp_path / "b", "box_train/0.png", "box_test/0.png", "query/0.png")
    with pytest.raises(DataError, match="folders box_test, box_train are named as splits"):
        read_data(tmp_path / "b")
    make(tmp_path / "c", "train/0.png", "bus/0.png", "car/0.png")
    assert read_data(tmp_path / "c").labels == ["bus", "car", "train"]


def test_a_folder_with_splits_beside_a_split_is_no_class(tmp_path: Path) -> None:
    make(tmp_path, *animals("Set/Set/train"), *animals("Set/Set/valid"), "test/test/0.png")
    data = read_data(tmp_path)
    assert data.labels == ANIMALS
    assert "read Set/, which has splits, and not test" in data.notes[0]
    assert paths(read_data(tmp_path, split="valid"), tmp_path) == animals("Set/Set/valid")


def test_a_copy_of_all_classes_is_no_class(tmp_path: Path) -> None:
    make(tmp_path, *animals("cells"), *animals("cells/cells"))
    data = read_data(tmp_path)
    assert paths(data, tmp_path) == animals("cells")
    assert "cells/cells left out, which has the same folders" in data.notes[0]


@pytest.mark.parametrize("names", [("images",), ("images_001", "images_002"), ("img1", "img2")])
def test_folders_of_images_are_no_classes(tmp_path: Path, names: tuple[str, ...]) -> None:
    make(tmp_path, *(f"{name}/0.png" for name in names))
    with pytest.raises(DataError, match="named as images and not as classes"):
        read_data(tmp_path)
    make(tmp_path / "s", *(f"{split}/{name}/0.png" for split in ("train", "val") for name in names))
    with pytest.raises(DataError, match="are named as images"):
        read_data(tmp_path / "s")


def test_folders_of_images_with_classes_are_chosen_by_split(tmp_path: Path) -> None:
    make(tmp_path, *animals("images1"), *animals("images2"))
    with pytest.raises(DataError, match="choose one of them by split="):
        read_data(tmp_path)
    assert paths(read_data(tmp_path, split="images2"), tmp_path) == animals("images2")


def test_classes_whose_pictures_are_all_in_subfolders_are_named(tmp_path: Path) -> None:
    data = read_data(make(tmp_path, "a/images/0.png", "b/images/0.png", "b/images/1.png"))
    assert data.labels == ["a", "b", "b"]
    assert "the classes are a, b; the pictures of 2 of them are in subfolders" in data.notes[0]
