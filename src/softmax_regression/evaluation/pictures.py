"""A person's own picture, made to look like the examples that the model has learned from.

A data set of a person's own pictures has them whole, only resized; so has any data set in colour.
Fashion-MNIST was made from shop photographs (Xiao, Rasul and Vollgraf 2017, figure 1): trimmed to the object, the
longer side resized to 28 pixels, centred, light on dark, grey. Its files agree: every image has a pixel of 254 or
more, the object's longer side fills the 28 pixels without a margin, and the larger half of an odd remainder is at the
top and the left. The same is done here: a margin of one pixel would cost 15 points of agreement with the label of the
original, the other rounding 2 (softmax regression, 1,000 test images enlarged onto a white page).
"""

import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter, ImageOps, UnidentifiedImageError

from softmax_regression.download.pictures import Pictures, unread_kind
from softmax_regression.params import OwnData

FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF")
WORKING_SIZE = 512  # pixels on the longer side: ample for 28, and bounds the time that a large photograph takes
FLAT = 8  # grey levels of 255: what stands out less from its background is taken for noise
CONTRAST = 0.1  # of the strongest contrast: what stands out more belongs to the object (0.05 to 0.15 do as well)
SPECK = 0.005  # of a row or column: fewer object pixels are dust, not the object's edge
PLAIN = 1 / 3  # of the border: the object may touch that much (99% of Fashion-MNIST touch under 0.27)


@dataclass(frozen=True)
class Picture:
    """A picture as it came and as the model sees it.

    size: its width and height as it came, upright.
    original: (height, width, 3) or, if grey, (height, width) uint8, upright, at most 512 pixels on the longer side.
    seen: (H, W) or (H, W, 3) uint8; framed, its background is 0 and the object's brightest part 255.
    notes: what was done to it, a short phrase each, for the person to read.
    """

    size: tuple[int, int]
    original: NDArray[np.uint8]
    seen: NDArray[np.uint8]
    notes: tuple[str, ...]


def read_picture(path: Path, example_shape: tuple[int, ...], *, framed: bool = True) -> Picture:
    """Read the picture at `path`; fit its object into `example_shape` (H, W) pixels, or all of it where not `framed`.

    Takes colour, grey, palette, transparent and 16-bit pictures; of an animation the first frame. In colour,
    (H, W, 3), it is always the whole picture. Raises FileNotFoundError if there is no such file, ValueError if it is
    no whole picture, is larger than Pillow's limit against decompression bombs (89 million pixels), shows one flat
    colour other than black where an object is looked for, or the model does not take images.
    """
    if len(example_shape) not in (2, 3):
        raise ValueError(f"the model takes features of shape {example_shape}, not images; it cannot see {path}")
    image, size, notes = _open(path)
    if framed and len(example_shape) == 2:
        seen = _framed(image, size, example_shape, notes, path)
    else:
        seen, notes = _whole(path, example_shape)
    return Picture(size, np.array(image), seen, tuple(notes))


def _whole(path: Path, shape: tuple[int, ...]) -> tuple[NDArray[np.uint8], list[str]]:
    """Return all of a picture in `shape` (H, W) or (H, W, 3), as the download stage makes it, and what was done."""
    own = OwnData.model_construct(side=None, colour=len(shape) == 3)  # type: ignore[call-arg]  # all that counts here
    pictures = Pictures(own)
    (pixels,) = pictures.read(path, str(path))
    notes = [note.partition(": ")[2] for note in pictures.notes]  # without the number of pictures
    if pixels.shape != shape:
        pixels = np.array(Image.fromarray(pixels).resize((shape[1], shape[0]), Image.Resampling.BILINEAR))
    return pixels, notes


def _framed(
    image: Image.Image, size: tuple[int, int], shape: tuple[int, ...], notes: list[str], path: Path
) -> NDArray[np.uint8]:
    """Return the object of a picture that came with `size` (width, height), light on dark, in `shape` (H, W)."""
    grey = image.convert("L")
    if np.asarray(grey).max() < FLAT:
        notes.append("it is black: no object stands out, so the label may mean little")
        return np.zeros(shape, dtype=np.uint8)
    # The median of 5 x 5 pixels keeps edges and drops dust. It decides; the picture itself is not smoothed.
    smooth = np.asarray(grey.filter(ImageFilter.MedianFilter(5)) if max(grey.size) > 128 else grey, dtype=float)
    border = np.concatenate([smooth[0], smooth[-1], smooth[:, 0], smooth[:, -1]])
    background = np.median(border)
    contrast = smooth - background
    sign = 1 if contrast.clip(min=0).sum() >= (-contrast).clip(min=0).sum() else -1
    if sign < 0:
        notes.append("inverted: its background is lighter than the object, the model learned light on dark")
    contrast = (sign * contrast).clip(min=0)
    away = np.abs(border - background)
    threshold = max(CONTRAST * contrast.max(), 4 * 1.4826 * np.median(away))  # 1.4826: from a median to a sigma
    if np.mean(away > CONTRAST * contrast.max()) > PLAIN:
        threshold = -1  # all of it
        notes.append("its background is not plain, so the label may mean little: crop it to one object")
    rows, columns = (np.flatnonzero((contrast > threshold).mean(axis=axis) > SPECK) for axis in (1, 0))
    if contrast.max() < FLAT or not rows.size or not columns.size:
        raise ValueError(f"nothing stands out in {path}; give a picture of one object on a plain background")
    pixels = np.asarray(grey)
    if pixels.shape == shape:  # an example of the data set: framed as its makers framed it
        return pixels if sign > 0 else 255 - pixels
    light = (sign * (pixels - background) * (255 / contrast.max())).clip(0, 255)
    top, bottom, left, right = rows[0], rows[-1] + 1, columns[0], columns[-1] + 1
    factor = size[0] / grey.width
    width, height = (round(factor * side) for side in (right - left, bottom - top))
    notes.append(f"cropped to the object: {width} x {height} of {size[0]} x {size[1]} pixels")
    return _fit(Image.fromarray(np.rint(light).astype(np.uint8)[top:bottom, left:right]), shape)


def _open(path: Path) -> tuple[Image.Image, tuple[int, int], list[str]]:
    """Return the picture upright, opaque, in mode L or RGB and WORKING_SIZE at most, its own size, what was done."""
    if not path.exists():
        raise FileNotFoundError(f"no such file: {path}; give the path of a PNG or JPEG picture")
    if path.is_dir():
        raise ValueError(f"{path} is a folder; give the path of a PNG or JPEG picture")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # damaged metadata does not matter ...
            warnings.simplefilter("error", Image.DecompressionBombWarning)  # ... but size does
            with Image.open(path, formats=FORMATS) as file:
                notes = ["turned as its EXIF orientation says"] if file.getexif().get(0x0112, 1) != 1 else []
                image = ImageOps.exif_transpose(file)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise ValueError(f"{path} has more than {Image.MAX_IMAGE_PIXELS} pixels; make it smaller") from error
    except UnidentifiedImageError as error:
        if kind := unread_kind(path):
            raise ValueError(f"{path} is {kind}, which is not read here; export it as JPEG") from error
        raise ValueError(f"{path} is no picture of a known kind; give a {', '.join(FORMATS)} file") from error
    except Exception as error:  # on damaged files decoders raise nearly anything, from struct.error to SyntaxError
        raise ValueError(f"{path} cannot be read ({error}); give a whole PNG or JPEG file") from error
    if image.mode[0] in "IF":  # 16 or 32 bits a pixel: Pillow's own conversion to L would clip, not scale
        deep = np.nan_to_num(np.asarray(image, dtype=float))
        deep = (deep - deep.min()) * (255 / max(np.ptp(deep), 1e-12))
        image = Image.fromarray(deep.astype(np.uint8))
    grey, size = image.mode in ("L", "1"), image.size
    image = image.convert("RGBA" if image.has_transparency_data else "L" if grey else "RGB")
    image.thumbnail((WORKING_SIZE, WORKING_SIZE), Image.Resampling.LANCZOS)
    if image.mode == "RGBA":
        weight = np.asarray(image.getchannel("A")) / 255
        page = "white" if (np.asarray(image.convert("L")) * weight).sum() <= 127.5 * weight.sum() else "black"
        image = Image.alpha_composite(Image.new("RGBA", image.size, page), image).convert("RGB")
        notes.append(f"its transparent parts laid on {page}, against the object")
    return image, size, notes


def _fit(image: Image.Image, shape: tuple[int, ...]) -> NDArray[np.uint8]:
    """Resize a grey image to fill `shape` (H, W) on one side, centred on black on the other."""
    scale = min(shape[0] / image.height, shape[1] / image.width)
    height, width = (max(1, round(side * scale)) for side in (image.height, image.width))
    seen = np.zeros(shape, dtype=np.uint8)
    top, left = (shape[0] - height + 1) // 2, (shape[1] - width + 1) // 2
    seen[top : top + height, left : left + width] = np.asarray(image.resize((width, height), Image.Resampling.LANCZOS))
    return seen
