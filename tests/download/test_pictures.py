"""Pictures of every kind become bytes of one size; what is none is one line that names it."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from small_data import own

from softmax_regression.download.pictures import Pictures


def read(image: Image.Image, path: Path, **changes: Any) -> tuple[np.ndarray, list[str]]:
    """Save a picture and read it; return its pixels and what was told."""
    image.save(path)
    pictures = Pictures(own(**changes))
    return pictures.read(path, str(path))[0], pictures.notes


NOISE = np.random.default_rng(0).integers(0, 256, (6, 5)).astype(np.uint8)
GREY = Image.fromarray(NOISE)


@pytest.mark.parametrize("ending", ["png", "bmp", "tiff", "gif", "webp"])
@pytest.mark.parametrize("mode", ["L", "RGB", "P"])
def test_grey_pictures_are_read_as_they_are(tmp_path: Path, ending: str, mode: str) -> None:
    """Without loss, whatever the file's kind and mode."""
    GREY.convert(mode).save(tmp_path / f"x.{ending}", lossless=True)  # an option of WebP, which others ignore
    pictures = Pictures(own())
    np.testing.assert_array_equal(pictures.read(tmp_path / f"x.{ending}", "x")[0], NOISE)
    assert pictures.notes == []


def test_colour_is_kept_where_asked_for(tmp_path: Path) -> None:
    """Three channels with download.own.colour, Pillow's grey without."""
    image = Image.fromarray(np.stack([NOISE, 255 - NOISE, NOISE // 2], axis=2))
    np.testing.assert_array_equal(read(image, tmp_path / "x.png", colour=True)[0], np.asarray(image))
    np.testing.assert_array_equal(read(image, tmp_path / "x.png")[0], np.asarray(image.convert("L")))
    assert read(GREY, tmp_path / "x.png", colour=True)[0].shape == (6, 5, 3)


def test_16_bits_are_scaled(tmp_path: Path) -> None:
    """65,535 is 255: nothing is clipped, and it is told."""
    pixels, notes = read(Image.fromarray(NOISE.astype(np.uint16) * 257), tmp_path / "x.png")
    np.testing.assert_array_equal(pixels, NOISE)
    assert notes == ["1 picture: more than 8 bits a pixel, scaled from 65,535 to 255"]


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_what_is_transparent_lies_on_white(tmp_path: Path, mode: str) -> None:
    """A clear pixel is white, whatever colour it has."""
    image = Image.new("RGBA", (5, 6), (0, 0, 0, 0)).convert(mode) if mode != "P" else Image.new("P", (5, 6), 0)
    if mode == "P":
        image.info["transparency"] = 0
    pixels, notes = read(image, tmp_path / "x.png")
    assert pixels.tolist() == [[255] * 5] * 6
    assert notes == ["1 picture: laid on white where they are transparent"]


def test_an_animation_is_its_first_frame(tmp_path: Path) -> None:
    """And it is told."""
    GREY.save(tmp_path / "x.gif", save_all=True, append_images=[Image.fromarray(255 - NOISE)])
    pictures = Pictures(own())
    np.testing.assert_array_equal(pictures.read(tmp_path / "x.gif", "x")[0], NOISE)
    assert pictures.notes == ["1 picture: the first frame of an animation alone"]


def test_a_turned_photograph_is_upright(tmp_path: Path) -> None:
    """EXIF's orientation 6 is a quarter turn clockwise."""
    exif = Image.Exif()
    exif[0x0112] = 6
    GREY.save(tmp_path / "x.png", exif=exif)
    np.testing.assert_array_equal(Pictures(own()).read(tmp_path / "x.png", "x")[0], np.rot90(NOISE, -1))


def test_a_side_makes_squares(tmp_path: Path) -> None:
    """With download.own.side every picture is a square of that side; without, all must have one size."""
    pixels, notes = read(GREY, tmp_path / "x.png", side=4)
    np.testing.assert_array_equal(pixels, np.asarray(GREY.resize((4, 4), Image.Resampling.BILINEAR)))
    assert notes == ["1 picture: resized to 4 x 4 pixels, whatever their sides' ratio"]
    pictures = Pictures(own())
    pictures.read((tmp_path / "x.png").read_bytes(), "one")
    GREY.rotate(90, expand=True).save(tmp_path / "x.png")
    with pytest.raises(
        ValueError, match=r"several sizes: one has 5 x 6 pixels, two 6 x 5; set download.own.side to the side"
    ):
        pictures.read(tmp_path / "x.png", "two")


@pytest.mark.parametrize("fault", ["nothing", "truncated", "text", "fractions"])
def test_what_is_no_picture(tmp_path: Path, fault: str) -> None:
    """Empty, cut off, text, pixels that are fractions: one line that names it."""
    GREY.resize((99, 99)).save(tmp_path / "x.png")
    whole = (tmp_path / "x.png").read_bytes()
    (tmp_path / "x.png").write_bytes({"nothing": b"", "truncated": whole[:2000]}.get(fault, b"hello"))
    if fault == "fractions":
        Image.fromarray(NOISE / np.float32(255)).save(tmp_path / "x.png", "TIFF")
    with pytest.raises(ValueError, match=r"^x.png cannot be read as a picture \(.*\); repair it, or take it out$"):
        Pictures(own()).read(tmp_path / "x.png", "x.png")


@pytest.mark.parametrize("limit", [29, 14])
def test_a_decompression_bomb_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: int) -> None:
    """Pillow warns beyond its limit and fails beyond twice of it; both are one line here."""
    GREY.save(tmp_path / "x.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", limit)
    with pytest.raises(ValueError, match=f"^x.png has more than {limit} pixels; make it smaller$"):
        Pictures(own()).read(tmp_path / "x.png", "x.png")


@pytest.mark.parametrize("as_bytes", [True, False])
def test_pictures_of_phones_say_how_to_export_them(tmp_path: Path, as_bytes: bool) -> None:
    """HEIC is known by what the file holds; a film, of the same family, is no picture."""
    path = tmp_path / "mine.jpg"
    for brand, said in (
        (b"heic", "it is HEIC, which is not read here; export it as JPEG"),
        (b"isom", "cannot be read as"),
    ):
        path.write_bytes(b"\0\0\0\x18ftyp" + brand + bytes(4) + brand + bytes(100))
        with pytest.raises(ValueError, match=said):
            Pictures(own()).read(path.read_bytes() if as_bytes else path, "it")
