"""Read pictures of every mode as RGB with 8 bits a channel, alike from every route.

A picture is read as a viewer shows it: turned by its EXIF orientation, and over white where it is
transparent. Sixteen bits are scaled to eight, because ``Image.convert`` clips them at 255.
"""

from __future__ import annotations

import io
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np

from .._util.optional import need
from ..errors import DataError, TransferabilityError

__all__ = ["is_encoded", "is_picture_name", "open_encoded", "open_picture", "orientation_of"]
__all__ += ["to_rgb"]

_SUFFIXES = (
    *(".apng", ".avif", ".bmp", ".dib", ".gif", ".jfif", ".jp2", ".jpe", ".jpeg", ".jpg", ".pbm"),
    *(".pgm", ".png", ".pnm", ".ppm", ".tga", ".tif", ".tiff", ".webp"),
)
#: Formats whose pictures of mode "I" have 16 bits: PGM, and PNG in older versions of Pillow.
_SIXTEEN_BITS = ("PNG", "PPM")
#: The tag of a TIFF file with the number of bits of each channel.
_BITS_PER_SAMPLE = 258
#: The tag of a TIFF file that is 0 if 0 is white, which Pillow reads at 8 bits but not at 16.
_PHOTOMETRIC = 262
_ORIENTATION = 274


def is_picture_name(name: str) -> bool:
    """Return whether a file has a suffix of pictures."""
    return name.lower().endswith(_SUFFIXES)


def open_picture(path: str | os.PathLike[str]) -> Any:
    """Read a file as :func:`to_rgb` does; the errors name the file."""
    image = need("PIL.Image", extra="hub", what="reading images")
    where = os.fspath(path)
    with _name_errors(where), image.open(path) as picture:
        return to_rgb(picture, where)


def is_encoded(value: Any) -> bool:
    """Return whether a cell of a table has the content of a file, as Hugging Face data sets do."""
    if isinstance(value, Mapping) and value.keys() == {"bytes", "path"}:
        value = value["bytes"]
    return isinstance(value, bytes)


def open_encoded(value: Any) -> Any:
    """Read a cell of which :func:`is_encoded` is true as :func:`to_rgb` does."""
    image = need("PIL.Image", extra="hub", what="reading images")
    content, path = (value["bytes"], value["path"]) if isinstance(value, Mapping) else (value, None)
    where = path or f"a cell of {len(content):,} bytes"
    with _name_errors(where), image.open(io.BytesIO(content)) as picture:
        return to_rgb(picture, where)


def to_rgb(picture: Any, where: str) -> Any:
    """Convert a PIL image of any mode to RGB; `where` names it in errors.

    Sixteen bits become their upper eight, which is how Pillow reads 16-bit RGB. Numbers whose range
    is unknown, of modes "I" and "F", are read if they are whole and from 0 to 255.
    """
    with _name_errors(where):
        picture.load()  # errors in the pixels are raised here, and a TIFF file is turned
    if picture.mode == "RGB" and not picture.info and orientation_of(picture) == 1:
        return picture
    # Before a copy is made, which has no format and no tags.
    depth, is_inverted = _count_bits(picture), _tags(picture).get(_PHOTOMETRIC) == 0
    picture = _turn_upright(picture)
    if depth is not None:
        return _scale_down(picture, depth, is_inverted)
    if picture.mode in ("I", "F"):
        return _from_gray(_check_range(np.asarray(picture), picture.mode, where))
    if picture.mode == "La":  # Pillow converts it to LA alone
        picture = picture.convert("LA")
    if picture.mode in ("RGBA", "RGBa", "LA", "PA") or "transparency" in picture.info:
        return _put_over_white(picture)
    return picture if picture.mode == "RGB" else picture.convert("RGB")


def orientation_of(picture: Any) -> int:
    """Return the EXIF orientation of a picture, 1 to 8; 1 if it has none that can be read."""
    try:
        return int(picture.getexif().get(_ORIENTATION, 1))
    except Exception:  # Pillow raises many types for damaged metadata
        return 1


@contextmanager
def _name_errors(where: str) -> Iterator[None]:
    """Convert any error of Pillow, which raises many types, to a DataError that names a picture."""
    try:
        yield
    except (TransferabilityError, MemoryError):
        raise
    except Exception as error:
        reason = str(error) or type(error).__name__
        raise DataError(f"{where} cannot be read as an image: {reason}") from error


def _turn_upright(picture: Any) -> Any:
    """Turn a picture by its EXIF orientation; damaged metadata are ignored."""
    from PIL import ImageOps

    try:
        return ImageOps.exif_transpose(picture)
    except Exception:  # Pillow raises many types for damaged metadata
        return picture.copy()


def _count_bits(picture: Any) -> int | None:
    """Return how many bits gray levels beyond 8 bits have; None for other modes."""
    if picture.mode.startswith("I;16"):
        bits = int((_tags(picture).get(_BITS_PER_SAMPLE) or (16,))[0])
        return bits if 8 < bits < 16 else 16
    return 16 if picture.mode == "I" and picture.format in _SIXTEEN_BITS else None


def _tags(picture: Any) -> Any:
    """Return the tags of a TIFF file; other pictures have none."""
    return getattr(picture, "tag_v2", None) or {}


def _scale_down(picture: Any, depth: int, is_inverted: bool) -> Any:
    """Return gray levels of `depth` bits as RGB; one level may be transparent, as in PNG."""
    from PIL import Image

    values = np.asarray(picture).astype(np.int64)
    gray = np.clip(values >> (depth - 8), 0, 255)
    gray = 255 - gray if is_inverted else gray
    clear = picture.info.get("transparency")
    if not isinstance(clear, int):
        return _from_gray(gray)
    alpha = np.where(values == clear, 0, 255)
    return _put_over_white(Image.fromarray(np.stack([gray, alpha], axis=-1).astype(np.uint8)))


def _check_range(values: Any, mode: str, where: str) -> Any:
    """Return gray levels that are whole and from 0 to 255; otherwise raise DataError."""
    low, high = values.min(), values.max()
    is_known = low >= 0 and high <= 255 and bool((values == np.floor(values)).all())
    if not is_known or high == 1:  # or 1 may be white
        raise DataError(
            f"{where} is a picture of mode {mode!r} with values from {low:g} to {high:g}, and that "
            f"mode does not define which value is white; scale it to 8 bits (0 to 255, mode 'L') "
            f"or 16 bits (0 to 65535, mode 'I;16')"
        )
    return values


def _from_gray(values: Any) -> Any:
    from PIL import Image

    return Image.fromarray(values.astype(np.uint8)).convert("RGB")


def _put_over_white(picture: Any) -> Any:
    """Put a picture over white; one that is transparent everywhere is read by its colours."""
    from PIL import Image

    try:
        picture = picture.convert("RGBA")
    except (TypeError, ValueError):  # a transparent colour that the mode cannot hold
        return picture.convert("RGB")
    low, high = picture.getchannel("A").getextrema()
    if low == 255 or high == 0:
        return picture.convert("RGB")
    white = Image.new("RGBA", picture.size, (255, 255, 255, 255))
    return Image.alpha_composite(white, picture).convert("RGB")
