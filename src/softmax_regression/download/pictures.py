"""Pictures of any kind as arrays of bytes, all of one size: grey (height, width), or (height, width, 3) in colour."""

import io
import warnings
from collections import Counter
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps, UnidentifiedImageError

from softmax_regression.params import OwnData

# Brands of files (ISO/IEC 14496-12) that Pillow may not read.
_HEIC = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"}
_AVIF = {b"avif", b"avis"}


def unread_kind(source: Path | bytes) -> str:
    """Return 'HEIC' or 'AVIF' where a picture is that, whatever its name says; else nothing."""
    if isinstance(source, Path):
        with source.open("rb") as file:
            start = file.read(32)
    else:
        start = source[:32]
    brands = {start[i : i + 4] for i in range(8, 32, 4)} if start[4:8] == b"ftyp" else set()
    return "AVIF" if brands & _AVIF else "HEIC" if brands & _HEIC else ""


class Pictures:
    """Reads one picture after the other, as `download.own` says, and counts what was done to them."""

    def __init__(self, own: OwnData) -> None:
        self.settings = {"side": own.side, "colour": own.colour}
        self._side, self._mode = own.side, "RGB" if own.colour else "L"
        self._first: tuple[str, tuple[int, int]] | None = None
        self._done: Counter[str] = Counter()

    @property
    def notes(self) -> list[str]:
        """What was done to how many pictures."""
        return [f"{count:,} picture{'s' * (count > 1)}: {what}" for what, count in self._done.items()]

    def read(self, source: Path | bytes, where: str) -> npt.NDArray[np.uint8]:
        """Return a picture (1, height, width) or (1, height, width, 3); `where` names it in errors.

        Raises ValueError for what is no whole picture, is larger than Pillow's limit against decompression bombs, or
        has another size than the first where they are not resized.
        """
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # damaged metadata does not matter ...
                warnings.simplefilter("error", Image.DecompressionBombWarning)  # ... but size does
                with Image.open(io.BytesIO(source) if isinstance(source, bytes) else source) as file:
                    if getattr(file, "n_frames", 1) > 1:
                        self._done["the first frame of an animation alone"] += 1
                    image = self._plain(ImageOps.exif_transpose(file))
        except (Image.DecompressionBombError, Image.DecompressionBombWarning):
            raise ValueError(f"{where} has more than {Image.MAX_IMAGE_PIXELS} pixels; make it smaller") from None
        except Exception as error:  # on damaged files decoders raise nearly anything, from struct.error to SyntaxError
            if isinstance(error, UnidentifiedImageError) and (kind := unread_kind(source)):
                raise ValueError(f"{where} is {kind}, which is not read here; export it as JPEG") from None
            raise ValueError(f"{where} cannot be read as a picture ({error}); repair it, or take it out") from None
        if self._side and image.size != (self._side, self._side):
            self._done[f"resized to {self._side} x {self._side} pixels, whatever their sides' ratio"] += 1
            image = image.resize((self._side, self._side), Image.Resampling.BILINEAR)
        self._first = self._first or (where, image.size)
        if image.size != self._first[1]:
            (first, size), found = self._first, image.size
            raise ValueError(
                f"pictures of several sizes: {first} has {size[0]} x {size[1]} pixels, {where} {found[0]} x {found[1]};"
                " set download.own.side to the side to resize them to, 32 say"
            )
        return np.asarray(image)[None]

    def _plain(self, image: Image.Image) -> Image.Image:
        """Return the picture opaque, with eight bits a colour."""
        if image.mode == "F":
            raise ValueError("its pixels are fractions")
        if image.mode[0] == "I":  # 16 or 32 bits a pixel: Pillow's own conversion would clip, not scale
            self._done["more than 8 bits a pixel, scaled from 65,535 to 255"] += 1
            deep = np.asarray(image, np.float64) / 257
            image = Image.fromarray(np.rint(deep.clip(0, 255)).astype(np.uint8))
        if image.has_transparency_data:
            self._done["laid on white where they are transparent"] += 1
            image = image.convert("RGBA")
            image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
        return image.convert(self._mode)
