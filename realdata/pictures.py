"""A split of a data set whose images are read only when asked for: as arrays for a small net, as pictures for a backbone."""

from __future__ import annotations

import abc
import hashlib
from collections.abc import Sequence

import numpy as np
from PIL import Image

from realdata.decoding import READING, decoded
from realdata.digests import joined
from realdata.trees import Tree
from sim.errors import integer
from sim.generators import Sample


class Pictures(abc.ABC):
    """Labelled images.

    Attributes
    ----------
    classes : ndarray, shape (n,), int64
        Coarse labels 0..t-1 within the split.
    modes : ndarray, shape (n,), int64
        Fine labels; the same number is the same label in every split.
    size : int
        Height and width that `pixels` gives unless told otherwise.

    Examples
    --------
    >>> class Blank(Pictures):
    ...     def image(self, row):
    ...         return Image.new("RGB", (20, 10), "white")
    ...     def fingerprint(self):
    ...         return "blank"
    >>> blank = Blank(np.array([0, 0, 1]), np.array([0, 1, 2]), size=4)
    >>> len(blank), blank.pixels().shape, blank.pixels(np.array([2]), size=6).shape
    (3, (3, 3, 4, 4), (1, 3, 6, 6))
    >>> blank.sample().t, float(blank.sample().x.min())
    (2, 1.0)
    """

    def __init__(self, classes: np.ndarray, modes: np.ndarray, size: int) -> None:
        self.classes, self.modes, self.size = classes.astype(np.int64), modes.astype(np.int64), size

    def __len__(self) -> int:
        return len(self.modes)

    @abc.abstractmethod
    def image(self, row: int) -> Image.Image:
        """One picture in its own size, mode L or RGB.

        Raises
        ------
        InvalidInput
            If the file is missing, corrupt or truncated.
        """

    def pixels(self, rows: np.ndarray | None = None, size: int | None = None) -> np.ndarray:
        """Images as an array.

        Parameters
        ----------
        rows : array of int, optional
            Which images; all if not given.
        size : int, optional
            Height and width >= 4; default `size`. A picture's shorter side is brought to it, then the middle is cut out.

        Returns
        -------
        ndarray, shape (n, channels, size, size), float32 in [0, 1]
        """
        side = self.size if size is None else integer("size", size, 4)
        chosen = np.arange(len(self)) if rows is None else rows
        first = np.asarray(square(self.image(int(chosen[0])), side))
        raw = np.empty((len(chosen), *first.shape), np.uint8)
        for place, row in enumerate(chosen):
            raw[place] = square(self.image(int(row)), side)
        return scaled(raw, 255, np.float32)

    @abc.abstractmethod
    def fingerprint(self) -> str:
        """A hash of the images' content, in their order; not of their names and labels."""

    def sample(self, size: int | None = None) -> Sample:
        """All of it, read into memory."""
        return Sample(self.pixels(size=size), self.classes, self.modes)


class ArrayPictures(Pictures):
    """Grey images that came as one array.

    Parameters
    ----------
    values : ndarray, shape (n, side, side), uint8
    classes, modes
        See `Pictures`.
    top : int
        The value that stands for white.
    dtype : type
        Of what `pixels` gives at the images' own size.

    Examples
    --------
    >>> values = np.array([0, 8, 16], np.uint8).repeat(16).reshape(3, 4, 4)
    >>> grey = ArrayPictures(values, np.array([0, 0, 1]), np.array([0, 1, 2]), top=16)
    >>> grey.pixels()[:, 0, 0, 0].tolist(), grey.image(1).getpixel((0, 0))
    ([0.0, 0.5, 1.0], 127)
    """

    def __init__(
        self, values: np.ndarray, classes: np.ndarray, modes: np.ndarray, top: int = 255, dtype: type = np.float32
    ) -> None:
        super().__init__(classes, modes, values.shape[1])
        self.values, self.top, self.dtype = values, top, dtype

    def image(self, row: int) -> Image.Image:
        """See `Pictures.image`."""
        return Image.fromarray((self.values[row].astype(np.int64) * 255 // self.top).astype(np.uint8))

    def pixels(self, rows: np.ndarray | None = None, size: int | None = None) -> np.ndarray:
        """See `Pictures.pixels`."""
        if size not in (None, self.size):
            return super().pixels(rows, size)
        return scaled(self.values if rows is None else self.values[rows], self.top, self.dtype)

    def fingerprint(self) -> str:
        """See `Pictures.fingerprint`."""
        values = hashlib.sha256(np.ascontiguousarray(self.values).data).hexdigest()
        return joined(values, self.values.shape, self.values.dtype.str, self.top, np.dtype(self.dtype).str)


class FilePictures(Pictures):
    """Images that are files, in a folder or an archive.

    Parameters
    ----------
    sources : sequence of (Tree, str)
        Each image's tree and name.
    classes, modes, size
        See `Pictures`.
    mode : str
        ``RGB`` or ``L`` (grey); pictures are converted to it, see `realdata.decoding.decoded`.

    Raises
    ------
    InvalidInput
        For the first file that isn't there.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from realdata.trees import Folder
    >>> root = Path(tempfile.mkdtemp())
    >>> Image.new("RGB", (8, 6), "white").save(root / "0.png")
    >>> labels = np.array([0])
    >>> found = FilePictures([(Folder(root), "0.png")], labels, labels, size=4, mode="L")
    >>> found.pixels().shape, found.image(0).size
    ((1, 1, 4, 4), (8, 6))
    >>> FilePictures([(Folder(root), "1.png")], labels, labels, size=4)  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    sim.errors.InvalidInput: root: got '1.png'; allowed: this image: it is listed, but isn't there, in ...
    """

    def __init__(
        self,
        sources: Sequence[tuple[Tree, str]],
        classes: np.ndarray,
        modes: np.ndarray,
        *,
        size: int,
        mode: str = "RGB",
    ) -> None:
        super().__init__(classes, modes, size)
        for tree, name in sources:
            if name not in tree.sizes:
                raise tree.refusal(name, "this image: it is listed, but isn't there")
        self.sources, self.mode = list(sources), mode

    def image(self, row: int) -> Image.Image:
        """See `Pictures.image`."""
        tree, name = self.sources[row]
        content = tree.read(name)
        try:
            return decoded(content, self.mode)
        # Pillow's decoders raise nearly anything on a broken file.
        except Exception as error:
            raise tree.refusal(name, f"a readable image ({str(error)[:200]})") from None

    def fingerprint(self) -> str:
        """See `Pictures.fingerprint`."""
        trees = {id(tree): tree for tree, _ in self.sources}
        found: dict[tuple[int, str], str] = {}
        for key, tree in trees.items():
            names = [name for of, name in self.sources if of is tree]
            found.update(zip(((key, name) for name in names), tree.digests(names), strict=True))
        return joined(READING, self.mode, self.size, [found[id(tree), name] for tree, name in self.sources])


def square(
    picture: Image.Image,
    side: int,
    shorter: int | None = None,
    resample: int = 2,
    place: tuple[float, float] = (0.5, 0.5),
) -> Image.Image:
    """Bring the shorter side to ``shorter`` (default ``side``) pixels, then cut ``side`` x ``side`` out.

    ``resample`` is Pillow's number of a filter (2: bilinear, 3: bicubic), both antialiased. ``place`` is where the square is
    cut out, from (0, 0), left and top, to (1, 1), right and bottom.

    Examples
    --------
    >>> square(Image.new("L", (40, 20)), 8).size
    (8, 8)
    >>> half = Image.new("L", (16, 8))
    >>> half.paste(255, (8, 0, 16, 8))  # white on the right
    >>> [square(half, 8, place=place).getpixel((0, 0)) for place in ((0.0, 0.5), (1.0, 0.5))]
    [0, 255]
    """
    target = shorter or side
    scale = target / min(picture.size)
    width, height = (max(target, round(length * scale)) for length in picture.size)
    if (width, height) != picture.size:
        picture = picture.resize((width, height), Image.Resampling(resample))
    left, top = (int(share * (length - side)) for share, length in zip(place, (width, height), strict=True))
    return picture.crop((left, top, left + side, top + side)) if (width, height) != (side, side) else picture


def scaled(raw: np.ndarray, top: int, dtype: type) -> np.ndarray:
    """(n, h, w) or (n, h, w, channels) integers as (n, channels, h, w) in [0, 1], without a second copy.

    Examples
    --------
    >>> scaled(np.full((2, 4, 4), 51, np.uint8), 255, np.float64)[:, 0, 0, 0].tolist()
    [0.2, 0.2]
    >>> scaled(np.zeros((2, 4, 5, 3), np.uint8), 255, np.float32).shape
    (2, 3, 4, 5)
    """
    x = np.empty((len(raw), 1, *raw.shape[1:]) if raw.ndim == 3 else (len(raw), raw.shape[3], *raw.shape[1:3]), dtype)
    np.divide(raw[:, None] if raw.ndim == 3 else raw.transpose(0, 3, 1, 2), dtype(top), out=x)
    return x


def codes(labels: Sequence[str]) -> np.ndarray:
    """Labels as 0..t-1 in sorted order, (n,).

    Examples
    --------
    >>> codes(["gull", "crow", "wren", "crow"]).tolist()
    [1, 0, 2, 0]
    """
    coded: np.ndarray = np.unique(np.asarray(labels), return_inverse=True)[1]
    return coded
