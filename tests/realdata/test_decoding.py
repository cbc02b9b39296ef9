"""Every kind of picture that Pillow knows becomes the right 8 bits a channel, or is refused by name."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from realdata.datasets import load
from realdata.decoding import decoded, in_8_bits
from sim.errors import InvalidInput

RAMP = np.linspace(0, 1, 256).reshape(16, 16)


def stored(picture: Image.Image, kind: str, **options: object) -> bytes:
    file = io.BytesIO()
    picture.save(file, kind, **options)
    return file.getvalue()


@pytest.mark.parametrize("mode", ["RGB", "L"])
@pytest.mark.parametrize(
    ("values", "kind"),
    [
        (np.rint(RAMP * 65535).astype(np.uint16), "png"),
        (np.rint(RAMP * 65535).astype(np.uint16), "tiff"),
        (np.rint(RAMP * 65535).astype(">u2"), "tiff"),
        (RAMP.astype(np.float32), "tiff"),
        (np.rint(RAMP * 255).astype(np.uint8), "png"),
    ],
)
def test_a_grey_ramp_stays_one_whatever_its_depth(values: np.ndarray, kind: str, mode: str) -> None:
    found = np.asarray(decoded(stored(Image.fromarray(values), kind), mode))
    np.testing.assert_array_equal(found if mode == "L" else found[..., 1], np.arange(256).reshape(16, 16))


def test_grey_maps_of_16_bits_come_as_integers_of_32() -> None:
    values = np.rint(RAMP * 65535).astype(">u2").tobytes()
    np.testing.assert_array_equal(np.asarray(decoded(b"P5 16 16 65535\n" + values, "L")).ravel(), np.arange(256))


def test_where_zero_is_white() -> None:
    content = stored(Image.fromarray(np.rint(RAMP * 65535).astype(np.uint16)), "tiff", tiffinfo={262: 0})
    np.testing.assert_array_equal(np.asarray(decoded(content, "L")).ravel(), np.arange(256)[::-1])


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (np.array([[0, 2.0]], np.float32), "grey values 0 to 2, not from 0 to 1"),
        (np.array([[-1, 1.0]], np.float32), "grey values -1 to 1"),
        (np.array([[np.nan, 1.0]], np.float32), "grey values nan"),
        (np.array([[0, 255]], np.int32), "integers of 32 bits don't say what is white"),
    ],
)
def test_values_of_unknown_scale_are_refused(values: np.ndarray, message: str, folder: Path) -> None:
    (folder / "cat" / "a" / "0.png").unlink()
    (folder / "cat" / "a" / "0.tiff").write_bytes(stored(Image.fromarray(values), "tiff"))
    with pytest.raises(InvalidInput, match=rf"cat/a/0.tiff'; allowed: a readable image \({message}"):
        load("folder", folder)


ORANGE, GREY = (255, 128, 0), 0.299 * 255 + 0.587 * 128


@pytest.mark.parametrize("own", Image.MODES)
def test_every_mode_is_orange_or_grey_in_the_end(own: str) -> None:
    """Each of Pillow's modes: half orange, or where there is no colour its grey; premultiplied modes are opaque here."""
    plain = Image.new("RGB", (4, 4), ORANGE)
    if own == "F" or own.startswith("I"):
        top = 1.0 if own == "F" else 65535
        if own == "I":
            with pytest.raises(ValueError, match="32 bits"):
                in_8_bits(Image.new(own, (4, 4)), "RGB")
            return
        picture, expected = Image.new(own, (4, 4), GREY / 255 * top if own == "F" else round(GREY / 255 * top)), None
    elif own == "LAB":
        from PIL import ImageCms

        srgb, lab = ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB")
        picture, expected = ImageCms.profileToProfile(plain, srgb, lab, outputMode="LAB"), ORANGE
    elif own == "1":
        picture, expected = Image.new("1", (4, 4), 1), (255, 255, 255)
    elif own in ("L", "LA", "La"):
        picture, expected = plain.convert("L"), None
        picture = picture.convert("LA") if own != "L" else picture
        picture = picture.convert(own)
    elif own in ("P", "PA"):
        picture, expected = Image.new("P", (4, 4), 1), ORANGE
        picture.putpalette([0, 0, 0, *ORANGE])
        picture = picture.convert(own)
    elif own == "RGBa":
        picture, expected = plain.convert("RGBA").convert(own), ORANGE
    else:
        picture, expected = plain.convert(own), ORANGE
    assert picture.mode == own
    found = in_8_bits(picture, "RGB").getpixel((1, 2))
    tolerance = 9 if own == "LAB" else 3  # eight bits of CIELAB are coarse
    np.testing.assert_allclose(found, expected or (GREY,) * 3, atol=tolerance)
    grey = in_8_bits(picture, "L").getpixel((1, 2))
    assert grey == pytest.approx(np.dot(found, (0.299, 0.587, 0.114)), abs=1.5)


@pytest.mark.parametrize("own", ["LA", "RGBA", "RGBa", "La", "PA"])
def test_what_is_transparent_lies_on_white(own: str) -> None:
    picture = Image.new("RGBA", (4, 4), (0, 0, 0, 0))
    picture.paste((0, 0, 0, 255), (0, 0, 2, 4))
    picture.paste((0, 0, 0, 128), (2, 0, 3, 4))
    kept = picture.convert("LA").convert(own) if own in ("LA", "La") else picture.convert(own)
    if own == "PA":
        kept = Image.new("P", (4, 4), 0)
        kept.putpalette([0, 0, 0])
        kept = kept.convert("PA")
        kept.putalpha(picture.getchannel("A"))
    assert kept.mode == own
    row = [in_8_bits(kept, "L").getpixel((x, 0)) for x in range(4)]
    assert row[0] == 0 and row[3] == 255
    assert row[2] == pytest.approx(127, abs=1)


def test_a_transparent_colour_of_a_palette_or_of_grey_is_white() -> None:
    palette = Image.new("P", (4, 4), 1)
    palette.putpalette([0, 0, 0, 10, 20, 30])
    palette.putpixel((0, 0), 0)
    for kind in ("png", "gif"):
        found = decoded(stored(palette, kind, transparency=0), "RGB")
        assert found.getpixel((0, 0)) == (255, 255, 255) and found.getpixel((1, 1)) == (10, 20, 30)
    grey = Image.new("L", (2, 1), 7)
    grey.putpixel((0, 0), 9)
    assert np.asarray(decoded(stored(grey, "png", transparency=9), "L")).tolist() == [[255, 7]]
    deep = Image.fromarray(np.array([[0, 257]], np.uint16))
    assert np.asarray(decoded(stored(deep, "png", transparency=0), "L")).tolist() == [[255, 1]]


@pytest.mark.parametrize("kind", ["jpeg", "png", "tiff", "webp"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_pictures_stand_upright(kind: str, orientation: int) -> None:
    """The reference is how EXIF defines it: where the first row and the first column of what is stored belong."""
    upright = np.zeros((32, 48), np.uint8)
    upright[:16, :16], upright[:16, 32:], upright[16:, :16] = 255, 150, 70
    turned = {
        1: upright,
        2: upright[:, ::-1],
        3: upright[::-1, ::-1],
        4: upright[::-1],
        5: upright.T,
        6: upright.T[::-1],
        7: upright[::-1, ::-1].T,
        8: upright.T[:, ::-1],
    }[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    found = decoded(stored(Image.fromarray(turned).convert("RGB"), kind, exif=exif), "L")
    np.testing.assert_allclose(np.asarray(found, float), upright, atol=45 if kind in ("jpeg", "webp") else 0)


@pytest.mark.parametrize("suffix", [".gif", ".jfif", ".jpe", ".JPG", ".jp2", ".avif", ".tga", ".dib"])
def test_files_of_all_usual_kinds_are_taken(suffix: str, folder: Path) -> None:
    from PIL import features

    if suffix in (".jp2", ".avif") and not features.check({".jp2": "jpg_2000", ".avif": "avif"}[suffix]):
        pytest.skip("Pillow was built without it")
    Image.new("RGB", (24, 20), (200,) * 3).save(folder / "cat" / "a" / f"new{suffix}")
    sample = load("folder", folder, size=8)
    assert sample.n == 13
    assert sorted(255 * sample.x.mean((1, 2, 3)))[-1] == pytest.approx(200, abs=3)


def test_nothing_vanishes_without_a_word(folder: Path) -> None:
    (folder / "LICENSE.txt").write_text("beside the folders, and no image")
    assert load("folder", folder, size=8).n == 12
    (folder / "cat" / "a" / "new.heic").write_bytes(b"?")
    with pytest.raises(InvalidInput, match="cat/a/new.heic'; allowed: nothing but images among the images"):
        load("folder", folder)
