"""From a file's bytes to a picture of 8 bits a channel, whatever the file's own."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image, ImageCms

READING = 2
"""Raised whenever a file becomes another picture than before: what was made of pictures is kept by it."""

TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""What brings a picture upright, by its EXIF orientation."""

ORIENTATION, BITS, PHOTOMETRIC = 0x0112, 258, 262


def decoded(content: bytes, mode: str) -> Image.Image:
    """A picture out of a file's bytes, upright; of several frames the first.

    - 16-bit grey (12-bit in TIFF): black to white is 0 to 65,535 (4,095). Integers of 32 bits: only where the format says
      that they are of 16 (PNG, PGM). Floats: 0 to 1. What doesn't keep to that is refused.
    - Transparent: on white, as a page shows it, also where the file names another colour below.
    - CIELAB: to sRGB by Little CMS. Other colours (CMYK, YCbCr, HSV, palettes): as Pillow converts them.

    Parameters
    ----------
    content : bytes
    mode : str
        ``RGB`` or ``L``.

    Raises
    ------
    Exception
        Nearly any, as Pillow's decoders do.

    Examples
    --------
    >>> file = io.BytesIO()
    >>> Image.fromarray(np.arange(0, 65536, 257, dtype=np.uint16).reshape(16, 16)).save(file, "png")
    >>> ramp = np.asarray(decoded(file.getvalue(), "L"))
    >>> len(np.unique(ramp)), float(ramp.mean() / 255)
    (256, 0.5)
    """
    with Image.open(io.BytesIO(content)) as picture:
        # TIFF files are turned by Pillow; what is left after loading is for us.
        picture.load()
        turn = TURNS.get(picture.getexif().get(ORIENTATION, 1))
        shown = in_8_bits(picture, mode)
    return shown if turn is None else shown.transpose(turn)


def in_8_bits(picture: Image.Image, mode: str) -> Image.Image:
    """A picture of any of Pillow's modes in ``RGB`` or ``L``, see `decoded`.

    Raises
    ------
    ValueError
        For values that can't be brought to black and white.

    Examples
    --------
    >>> clear = Image.new("RGBA", (4, 4), (255, 0, 0, 0))
    >>> in_8_bits(clear, "RGB").getpixel((0, 0))
    (255, 255, 255)
    """
    own = picture.mode
    if own == "F" or own.startswith("I"):
        picture = _grey(picture)
    elif own == "LAB":
        lab, rgb = (ImageCms.createProfile(space) for space in ("LAB", "sRGB"))
        converted = ImageCms.profileToProfile(picture, lab, rgb, outputMode="RGB")
        assert converted is not None
        picture = converted
    elif own in ("LA", "La", "PA", "RGBA", "RGBa") or "transparency" in picture.info:
        # Pillow turns the premultiplied grey into its plain form only.
        picture = (picture.convert("LA") if own == "La" else picture).convert("RGBA")
        picture = Image.alpha_composite(Image.new("RGBA", picture.size, "white"), picture)
    return (
        picture.convert("RGB").convert(mode)
        if mode == "L" and picture.mode not in ("L", "1")
        else picture.convert(mode)
    )


def _grey(picture: Image.Image) -> Image.Image:
    tags = getattr(picture, "tag_v2", {})
    values = np.asarray(picture).astype(np.float64)
    top = 1.0
    if picture.mode != "F":
        bits = tags.get(BITS, (16,))[0] if picture.format == "TIFF" else 16
        if picture.mode == "I" and picture.format not in ("PNG", "PPM"):
            raise ValueError("integers of 32 bits don't say what is white; save it in 8 or 16 bits without a sign")
        top = 2.0**bits - 1
    if not (np.isfinite(values).all() and values.min() >= 0 and values.max() <= top):
        raise ValueError(f"grey values {values.min():g} to {values.max():g}, not from 0 to {top:g}")
    if tags.get(PHOTOMETRIC) == 0:  # zero is white
        values = top - values
    clear = picture.info.get("transparency")
    if isinstance(clear, int):
        values = np.where(values == clear, top, values)
    return Image.fromarray(np.rint(values * (255 / top)).astype(np.uint8))
