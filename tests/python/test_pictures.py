"""Pixels: every mode, orientation and transparency is read alike, and nothing is clipped."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from transferability._data.data import Data, find_files
from transferability._data.pictures import open_picture, to_rgb
from transferability._data.read import read_data
from transferability.errors import DataError

Image = pytest.importorskip("PIL.Image")

#: 4,096 equidistant values of 16 bits, as 64 x 64 pixels; and one value for each of 256 levels.
FINE = np.arange(0, 65536, 16, dtype=np.uint16).reshape(64, 64)
RAMP = np.linspace(0, 65535, 256).astype(np.uint16).reshape(16, 16)


def levels(picture: Any) -> np.ndarray[Any, Any]:
    array = np.asarray(picture)
    assert picture.mode == "RGB"
    assert (array == array[:, :, :1]).all()
    return array[:, :, 0]


def sixteen_bits(values: Any, mode: str) -> Any:
    dtype = ">u2" if mode == "I;16B" else "<u2"
    return Image.frombytes(mode, values.shape[::-1], values.astype(dtype).tobytes())


@pytest.mark.parametrize("values", [FINE, RAMP, RAMP // 257 * 256], ids=["fine", "ramp", "steps"])
@pytest.mark.parametrize("mode", ["I;16", "I;16B", "I;16L"])
def test_sixteen_bits_keep_256_levels(values: Any, mode: str) -> None:
    found = levels(to_rgb(sixteen_bits(values, mode), "x"))
    np.testing.assert_array_equal(found, values >> 8)
    assert len(np.unique(found)) == 256
    assert found.mean() == 127.5


@pytest.mark.parametrize("suffix", [".png", ".tif", ".pgm"])
def test_files_of_sixteen_bits_in_a_folder(tmp_path: Path, suffix: str) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        sixteen_bits(RAMP, "I;16").save(tmp_path / name / f"x{suffix}")
    found = levels(read_data(tmp_path).items[0])
    assert (len(np.unique(found)), found.mean()) == (256, 127.5)


def test_twelve_bits_are_scaled_by_their_own_range(tmp_path: Path) -> None:
    values = np.linspace(0, 4095, 256).astype(np.uint16).reshape(16, 16)
    path = tmp_path / "x.pgm"
    path.write_bytes(b"P5 16 16 4095\n" + values.astype(">u2").tobytes())
    np.testing.assert_array_equal(levels(open_picture(path)), np.arange(256).reshape(16, 16))
    packed = np.repeat(np.array([[0x00, 0x0F, 0xFF]], np.uint8), 8, axis=0)  # 0 and 4095
    path = tmp_path / "x.tif"
    path.write_bytes(tiff(packed.tobytes(), bits=12, width=2, height=8))
    np.testing.assert_array_equal(levels(open_picture(path)), [[0, 255]] * 8)


@pytest.mark.parametrize("bits", [8, 16])
def test_zero_may_be_white(tmp_path: Path, bits: int) -> None:
    values = (RAMP >> (16 - bits)).astype(f"<u{bits // 8}")
    for zero_is, expected in ((1, np.arange(256)), (0, np.arange(256)[::-1])):
        path = tmp_path / "x.tif"
        path.write_bytes(tiff(values.tobytes(), bits, 16, 16, zero_is))
        np.testing.assert_array_equal(levels(open_picture(path)).ravel(), expected)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_a_transparent_gray_level(tmp_path: Path, dtype: Any) -> None:
    values = RAMP if dtype == np.uint16 else (RAMP >> 8).astype(dtype)
    Image.fromarray(values).save(tmp_path / "x.png", transparency=int(values[0, 3]))
    expected = np.arange(256)
    expected[3] = 255
    with Image.open(tmp_path / "x.png") as opened:
        for found in (open_picture(tmp_path / "x.png"), to_rgb(opened, "x")):
            np.testing.assert_array_equal(levels(found).ravel(), expected)


def tiff(pixels: bytes, bits: int, width: int, height: int, photometric: int = 1) -> bytes:
    """Write an uncompressed TIFF file of gray levels; 0 is black, or white at photometric 0."""
    tags = {256: width, 257: height, 258: bits, 259: 1, 262: photometric, 273: 0, 277: 1}
    tags[278] = height
    tags[279] = len(pixels)
    tags[273] = 8 + 2 + 12 * len(tags) + 4
    entries = b"".join(
        tag.to_bytes(2, "little") + b"\x04\0\1\0\0\0" + value.to_bytes(4, "little")
        for tag, value in sorted(tags.items())
    )
    head = b"II*\0\x08\0\0\0" + len(tags).to_bytes(2, "little")
    return head + entries + b"\0\0\0\0" + pixels


@pytest.mark.parametrize(
    ("values", "mode"),
    [
        (RAMP.astype(np.int32), "I"),
        (RAMP.astype(np.int32) - 300, "I"),
        (RAMP.astype(np.float32), "F"),
        (np.linspace(0, 1, 256, dtype=np.float32).reshape(16, 16), "F"),
        (np.eye(16, dtype=np.float32), "F"),
        (np.eye(16, dtype=np.int32), "I"),
        (np.full((16, 16), np.nan, np.float32), "F"),
    ],
)
def test_values_without_a_range_are_refused(tmp_path: Path, values: Any, mode: str) -> None:
    picture = Image.fromarray(values)
    assert picture.mode == mode
    with pytest.raises(DataError, match=rf"data\[3\] is a picture of mode '{mode}' with values"):
        to_rgb(picture, "data[3]")
    picture.save(tmp_path / "x.tif")
    with pytest.raises(DataError, match=rf"x\.tif is a picture of mode '{mode}' .* scale it"):
        open_picture(tmp_path / "x.tif")


@pytest.mark.parametrize("dtype", [np.int32, np.float32])
def test_values_of_eight_bits_are_read_from_any_mode(dtype: Any) -> None:
    values = np.arange(256).reshape(16, 16)
    np.testing.assert_array_equal(
        levels(to_rgb(Image.fromarray(values.astype(dtype)), "x")), values
    )


def colours() -> Any:
    rng = np.random.default_rng(0)
    return Image.fromarray(rng.integers(0, 256, (4, 6, 3), dtype=np.uint8))


@pytest.mark.parametrize(
    "mode", ["RGB", "1", "L", "P", "RGBX", "CMYK", "YCbCr", "HSV", "LAB", "RGBA", "LA", "RGBa"]
)
def test_opaque_pictures_are_what_pillow_gives(mode: str) -> None:
    picture = colours().convert(mode)
    found = to_rgb(picture, "x")
    assert found.mode == "RGB"
    np.testing.assert_array_equal(found, picture.convert("RGB"))


def see_through(mode: str) -> Any:
    """Give a picture of gray 100, opaque on the left and transparent on the right."""
    if mode in ("P", "L", "RGB", "1"):
        picture = Image.new("L", (4, 2), 100)
        picture.paste(7, (2, 0, 4, 2))
        if mode == "1":
            picture = picture.point(lambda value: 255 * (value == 7))
        picture = picture.convert(mode)
        picture.info["transparency"] = picture.getpixel((3, 0))
        return picture
    picture = Image.new("LA", (4, 2), (100, 255))
    picture.paste((7, 0), (2, 0, 4, 2))
    if mode == "PA":
        picture = Image.new("PA", (4, 2))
        picture.putpalette([100, 100, 100, 7, 7, 7])
        picture.putdata([(0, 255), (0, 255), (1, 0), (1, 0)] * 2)
        return picture
    return picture.convert("RGBA").convert(mode) if mode == "RGBa" else picture.convert(mode)


@pytest.mark.parametrize("mode", ["RGBA", "RGBa", "LA", "La", "PA", "P", "L", "RGB"])
def test_transparent_pixels_are_white(mode: str) -> None:
    np.testing.assert_array_equal(
        levels(to_rgb(see_through(mode), "x")), [[100] * 2 + [255] * 2] * 2
    )


def test_half_transparent_pixels_and_pictures_without_any_opaque_one() -> None:
    half = Image.new("RGBA", (1, 1), (0, 100, 200, 128))
    weight = 128 / 255
    expected = [255 * (1 - weight) + value * weight for value in (0, 100, 200)]
    np.testing.assert_allclose(np.asarray(to_rgb(half, "x"))[0, 0], expected, atol=0.5)
    hidden = Image.new("RGBA", (2, 2), (0, 100, 200, 0))  # an empty alpha channel
    assert to_rgb(hidden, "x").getpixel((0, 0)) == (0, 100, 200)


def test_a_transparent_colour_of_a_palette_in_a_file(tmp_path: Path) -> None:
    see_through("P").save(tmp_path / "x.png", transparency=see_through("P").info["transparency"])
    assert levels(open_picture(tmp_path / "x.png"))[0].tolist() == [100, 100, 255, 255]


@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation(tmp_path: Path, orientation: int) -> None:
    from PIL import ImageOps

    exif = Image.Exif()
    exif[274] = orientation
    colours().save(tmp_path / "x.png", exif=exif)
    upright = ImageOps.exif_transpose(Image.open(tmp_path / "x.png")).convert("RGB")
    assert upright.size == ((6, 4) if orientation < 5 else (4, 6))
    found = [
        open_picture(tmp_path / "x.png"),
        to_rgb(Image.open(tmp_path / "x.png"), "x"),
        to_rgb(Image.open(tmp_path / "x.png").convert("RGB"), "x"),  # metadata stay
        to_rgb(ImageOps.exif_transpose(Image.open(tmp_path / "x.png")), "x"),  # turned before
        to_rgb(to_rgb(Image.open(tmp_path / "x.png"), "x"), "x"),
    ]
    for picture in found:
        np.testing.assert_array_equal(picture, upright)
    gray = sixteen_bits(RAMP[:4], "I;16")
    gray.save(tmp_path / "y.png", exif=exif)
    assert open_picture(tmp_path / "y.png").size == ((16, 4) if orientation < 5 else (4, 16))


def test_orientation_of_a_picture_in_memory() -> None:
    picture = colours()
    picture.getexif()[274] = 3
    np.testing.assert_array_equal(to_rgb(picture, "x"), np.asarray(colours())[::-1, ::-1])


def test_damaged_metadata_are_ignored() -> None:
    file = io.BytesIO()
    colours().save(file, "png", exif=b"Exif\0\0MM\0*\0\0\xff\xff damage")
    np.testing.assert_array_equal(to_rgb(Image.open(file), "x"), colours())


def test_damaged_pictures_are_refused_by_name(tmp_path: Path) -> None:
    file = io.BytesIO()
    colours().resize((300, 300)).save(file, "png")
    (tmp_path / "x.png").write_bytes(file.getvalue()[: len(file.getvalue()) // 2])
    (tmp_path / "y.png").write_text("no picture")
    for name in ("x.png", "y.png"):
        with pytest.raises(DataError, match=rf"{name} cannot be read as an image"):
            open_picture(tmp_path / name)


def test_every_error_of_pillow_names_the_picture(tmp_path: Path) -> None:
    (tmp_path / "x.ppm").write_bytes(b"P6 \x062 2 255\n" + bytes(12))  # a ValueError
    header = io.BytesIO()
    colours().save(header, "bmp")
    huge = bytearray(header.getvalue())
    huge[18:26] = (60_000).to_bytes(4, "little") * 2
    (tmp_path / "x.bmp").write_bytes(huge)  # a DecompressionBombError, which is no OSError
    for name in ("x.ppm", "x.bmp"):
        with pytest.raises(DataError, match=rf"{name} cannot be read as an image: "):
            open_picture(tmp_path / name)
    file = io.BytesIO()
    colours().resize((300, 300)).save(file, "png")
    opened = Image.open(io.BytesIO(file.getvalue()[: len(file.getvalue()) // 2]))
    with pytest.raises(DataError, match="image 3 cannot be read as an image: "):
        to_rgb(opened, "image 3")


def test_a_missing_file_is_named() -> None:
    data = read_data(([Path("nowhere.txt")] * 2, [0, 1]))
    with pytest.raises(DataError, match=r"^nowhere\.txt cannot be read: "):
        data.digest()


def test_digests_know_palette_and_orientation() -> None:
    first = colours().convert("P")
    second = first.copy()
    second.putpalette([255 - value for value in first.getpalette()])
    turned = colours().convert("P")
    turned.getexif()[274] = 6
    digests = {Data("image", [picture], [0]).digest() for picture in (first, second, turned)}
    assert len(digests) == 3


def save_pictures(folder: Path, n: int = 3) -> list[str]:
    rng = np.random.default_rng(0)
    folder.mkdir(parents=True, exist_ok=True)
    for i in range(n):
        pixels = rng.integers(0, 256, (4, 4), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{i}.png")
    return [str(folder / f"{i}.png") for i in range(n)]


def test_names_of_pictures_are_pictures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names, labels = save_pictures(tmp_path / "p"), ["a", "b", "a"]
    forms = [names, [Path(name) for name in names], np.array(names), tuple(names)]
    read = [read_data((form, labels)) for form in forms]
    assert {data.kind for data in read} == {"image"}
    assert len({data.digest() for data in read}) == 1
    assert read[0].items[1] == names[1]  # a model of one's own opens it as before
    save_pictures(tmp_path / "q")
    assert read_data(([n.replace("/p/", "/q/") for n in names], labels)).digest() == (
        read[0].digest()
    )
    assert read_data((["x.png", "y.png"], labels[:2])).kind == "text"  # no files
    assert read_data(([names[0], "a text"], labels[:2])).kind == "text"
    with pytest.raises(DataError, match=r"no file .*nowhere\.png; 1 of the 3 pictures are missing"):
        read_data(([*names[:2], str(tmp_path / "nowhere.png")], labels))
    with pytest.raises(DataError, match=r"no file nowhere\.png"):
        read_data(([Path("nowhere.png")] * 3, labels))


@pytest.mark.parametrize("odd", [None, float("nan"), "", "a text", 3, Path("notes.txt")])
@pytest.mark.parametrize("row", [0, 2, 4])
def test_a_row_that_names_no_picture(tmp_path: Path, odd: Any, row: int) -> None:
    names: list[Any] = save_pictures(tmp_path, 4)
    names.insert(row, odd)
    message = f"^row {row} is .*, and the others name files of pictures; drop that row"
    with pytest.raises(DataError, match=message):
        read_data((names, [0, 1, 0, 1, 0]))
    with pytest.raises(DataError, match=message):
        read_data({"image": names, "label": [0, 1, 0, 1, 0]})
    missing = [name if name is odd else f"{name}.nowhere.png" for name in names]
    assert read_data((missing, [0, 1, 0, 1, 0])).kind in ("text", "array")


def test_few_texts_are_read_in_search_of_names() -> None:
    read: list[int] = []

    class Texts(list[str]):
        def __getitem__(self, i: Any) -> Any:
            read.append(i)
            return super().__getitem__(i)

    assert find_files(Texts(["one text", "two", "three", "four"])) is None
    assert len(read) <= 2


@pytest.mark.parametrize("suffix", [".jfif", ".jpe", ".JPEG", ".dib", ".tga", ".apng"])
def test_names_of_other_suffixes(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / "a" / f"x{suffix}"
    path.parent.mkdir()
    colours().convert("RGB").save(path)
    assert read_data(([str(path)], [0])).kind == "image"
    assert len(read_data(tmp_path)) == 1


def test_names_in_an_array_of_variable_width(tmp_path: Path) -> None:
    string = getattr(np.dtypes, "StringDType", None)
    if string is None:
        pytest.skip("numpy 2 only")
    names = np.array(save_pictures(tmp_path), dtype=string())
    assert read_data((names, [0, 1, 0])).kind == "image"


def test_names_of_pictures_in_a_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save_pictures(tmp_path / "p")
    (tmp_path / "d.csv").write_text(
        "image,label\n" + "".join(f"p/{i}.png,{i % 2}\n" for i in range(3))
    )
    data = read_data(tmp_path / "d.csv")  # relative to the table
    assert data.kind == "image"
    assert data.items[2] == tmp_path / "p" / "2.png"
    monkeypatch.chdir(tmp_path)
    assert read_data("d.csv").items[2] == "p/2.png"
    assert read_data("d.csv").digest() == data.digest()
    frame = {"image": [open_picture(f"p/{i}.png") for i in range(3)], "label": [0, 1, 0]}
    assert read_data(frame).kind == "image"
    with pytest.raises(DataError, match="row 1: column image holds None, which is no picture"):
        read_data({**frame, "image": [frame["image"][0], None, frame["image"][2]]})


@pytest.mark.parametrize("form", ["struct", "bytes"])
def test_contents_of_files_in_a_table(tmp_path: Path, form: str) -> None:
    names = save_pictures(tmp_path)
    sixteen_bits(RAMP, "I;16").save(tmp_path / names[0])
    contents: list[Any] = [(tmp_path / name).read_bytes() for name in names]
    if form == "struct":  # as parquet files of Hugging Face data sets hold them
        contents = [{"bytes": b, "path": n} for b, n in zip(contents, names, strict=True)]
    labels = list(range(len(names)))
    data = read_data({"image": contents, "label": labels})
    assert (data.kind, len(data), data.labels) == ("image", len(names), labels)
    for found, name in zip(data.items, names, strict=False):
        np.testing.assert_array_equal(np.asarray(found), np.asarray(open_picture(tmp_path / name)))
    assert len(np.unique(levels(data.items[0]))) == 256
    assert data.digest() != read_data({"image": contents[::-1], "label": labels}).digest()
    with pytest.raises(DataError, match="row 1: column image holds None, which is no picture"):
        read_data({"image": [contents[0], None], "label": [0, 1]})
    damaged = b"damaged" if form == "bytes" else {"bytes": b"damaged", "path": None}
    with pytest.raises(DataError, match="a cell of 7 bytes cannot be read as an image"):
        read_data({"image": [damaged], "label": [0]}).items[0]
