"""Images of letters, drawn with the fonts of Matplotlib; no download is needed."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import matplotlib
import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

SIZE = 24
FOLDER = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
#: Fonts that have all alphabets below. The UNSEEN ones are only in the test of the target task.
SEEN = ("DejaVuSans", "DejaVuSans-Bold", "DejaVuSansMono", "DejaVuSansMono-Oblique")
UNSEEN = ("DejaVuSerif", "DejaVuSerif-BoldItalic", "DejaVuSans-BoldOblique", "DejaVuSerif-Italic")
ALPHABETS = {
    "latin": "ABCDEFGHIJKLMNOPQRSTUVWXYZ",
    "small": "abcdefghijklmnopqrstuvwxyz",
    "digits": "0123456789",
    "cyrillic": "БГДЖЗИЙЛПУФЦЧШЩЪЫЬЭЮЯбвгджзиклмнптфцчшщъыьэюя",
    "greek": "αβγδεζηθικλμνξοπρστυφχψω",
}


@cache
def glyph(letter: str, face: str) -> NDArray[np.float32]:
    """Draw one letter, white on black, in the centre of a square of width 2 SIZE."""
    font = ImageFont.truetype(str(FOLDER / f"{face}.ttf"), 34)
    image = Image.new("L", (2 * SIZE, 2 * SIZE))
    ImageDraw.Draw(image).text((SIZE, SIZE), letter, 255, font, anchor="mm")
    return np.asarray(image).astype(np.float32) / np.float32(255)


class Glyphs:
    """Random images of the letters of an alphabet: rotated, shifted, scaled, with noise.

    Parameters
    ----------
    alphabet : str
        A key of ALPHABETS; or "turns", Latin letters whose class is a rotation by 0, 90, 180 or
        270 degrees.
    faces : tuple of str
        Fonts to draw from.
    """

    def __init__(self, alphabet: str, faces: tuple[str, ...] = SEEN) -> None:
        self.turned = alphabet == "turns"
        letters = ALPHABETS["latin" if self.turned else alphabet]
        self.n_classes = 4 if self.turned else len(letters)
        shapes = [[glyph(letter, face) for face in faces] for letter in letters]
        self.shapes = torch.tensor(np.array(shapes))  # (letters, faces, 2 SIZE, 2 SIZE)

    def draw(self, letters: Tensor, faces: Tensor, generator: torch.Generator) -> Tensor:
        """Draw images (n, 1, SIZE, SIZE) of the given letters in the given fonts."""
        n = len(letters)
        angle = (torch.rand(n, generator=generator) - 0.5) * 0.9
        scale = 1 + (torch.rand(n, generator=generator) - 0.5) * 0.4
        move = (torch.rand(n, 2, generator=generator) - 0.5) * 0.3
        cos, sin = torch.cos(angle) / scale, torch.sin(angle) / scale
        rows = [torch.stack([cos, -sin, move[:, 0]], 1), torch.stack([sin, cos, move[:, 1]], 1)]
        grid = torch.nn.functional.affine_grid(
            torch.stack(rows, 1), [n, 1, SIZE, SIZE], align_corners=False
        )
        shapes = self.shapes[letters, faces][:, None]
        drawn = torch.nn.functional.grid_sample(shapes, grid, align_corners=False)
        return drawn + 0.35 * torch.randn(drawn.shape, generator=generator)

    def batch(self, n: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Draw n images and their classes."""
        letters = torch.randint(len(self.shapes), (n,), generator=generator)
        faces = torch.randint(self.shapes.shape[1], (n,), generator=generator)
        pictures = self.draw(letters, faces, generator)
        if not self.turned:
            return pictures, letters
        turns = torch.randint(4, (n,), generator=generator)
        turned = [torch.rot90(p, int(t), (1, 2)) for p, t in zip(pictures, turns, strict=True)]
        return torch.stack(turned), turns
