"""A person's picture comes out as the data set's makers would have made it, or is refused in one line."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from softmax_regression.download.pictures import Pictures
from softmax_regression.evaluation.pictures import Picture, read_picture
from softmax_regression.params import OwnData, load_params

SHAPE = (28, 28)


def page(background: int = 255, ink: int = 0, top: int = 40, left: int = 100) -> np.ndarray:
    """Return a page of 300 x 200 pixels with an L of 60 x 120 pixels on it, uint8."""
    pixels = np.full((200, 300), background, dtype=np.uint8)
    pixels[top : top + 120, left : left + 30] = ink
    pixels[top + 90 : top + 120, left : left + 60] = ink
    return pixels


def own_data(**changes: Any) -> OwnData:
    """Return how the download stage reads a person's pictures, with `changes`."""
    return load_params(Path(__file__).parents[2] / "params.yaml").download.own.model_copy(update=changes)


def read(folder: Path, image: Image.Image | np.ndarray, name: str = "picture.png", **options: Any) -> Picture:
    """Save an image and read it back as the model would see it."""
    if isinstance(image, np.ndarray):
        image = Image.fromarray(image)
    image.save(folder / name, **options)
    return read_picture(folder / name, SHAPE)


@pytest.fixture
def plain(tmp_path: Path) -> np.ndarray:
    """Return what the model sees of the L in white on black: 28 high, 14 wide, the L's foot in the lower half."""
    return read(tmp_path, page(background=0, ink=255)).seen


def test_the_object_fills_the_longer_side_centred(plain: np.ndarray) -> None:
    """120 x 60 pixels become 28 x 14, with 7 empty columns on either side and the brightest pixel at 255."""
    rows, columns = np.flatnonzero(plain.max(axis=1) > 0), np.flatnonzero(plain.max(axis=0) > 0)
    assert (plain.shape, plain.dtype.name, plain.max()) == (SHAPE, "uint8", 255)
    assert (rows[0], rows[-1], columns[0], columns[-1]) == (0, 27, 7, 20)
    assert plain[:20, 15:].max() < 5  # beside the L's stem; Lanczos' filter rings by a level or two
    assert plain[24:, 7:21].min() > 200  # its foot


@pytest.mark.parametrize(("width", "left", "right"), [(116, 0, 1), (112, 1, 1), (108, 1, 2)])
def test_of_an_odd_remainder_the_larger_part_is_at_the_top_and_left(
    tmp_path: Path, width: int, left: int, right: int
) -> None:
    """As in Fashion-MNIST, one free column is at the left, of three two are."""
    pixels = np.zeros((200, 300), dtype=np.uint8)
    pixels[20:140, 20 : 20 + width] = 255
    columns = np.flatnonzero(read(tmp_path, pixels).seen[14] > 0)
    assert (columns[0], 27 - columns[-1]) == (right, left)


@pytest.mark.parametrize(
    ("background", "ink", "inverted"), [(255, 0, True), (0, 255, False), (200, 90, True), (60, 200, False)]
)
def test_light_on_dark_whatever_the_page(
    tmp_path: Path, plain: np.ndarray, background: int, ink: int, inverted: bool
) -> None:
    """Dark on light is inverted and said so; low contrast is stretched: the model sees the same."""
    picture = read(tmp_path, page(background, ink))
    assert any("inverted" in note for note in picture.notes) is inverted
    np.testing.assert_allclose(picture.seen.astype(int), plain, atol=1)  # 1: rounding to whole grey levels


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "I;16", "F"])
def test_every_mode_shows_the_same(tmp_path: Path, plain: np.ndarray, mode: str) -> None:
    """Black and white, grey, palette, colour, transparency, print colours, 16 and 32 bits: the model sees the same."""
    if mode == "I;16":
        image = Image.fromarray(page().astype(np.uint16) * 257)
    elif mode == "F":
        image = Image.fromarray(page().astype(np.float32) * 3)
    else:
        image = Image.fromarray(page()).convert(mode)
    assert image.mode == mode
    picture = read(tmp_path, image, "picture.tif" if mode in ("CMYK", "F") else "picture.png")
    np.testing.assert_allclose(picture.seen.astype(int), plain, atol=1)


def test_a_jpeg_shows_the_same(tmp_path: Path, plain: np.ndarray) -> None:
    """The noise that JPEG adds round edges does not move the frame."""
    seen = read(tmp_path, page(), "picture.jpg", quality=60).seen
    np.testing.assert_allclose(seen.astype(int), plain, atol=40)  # 40 of 255: JPEG's error where the L ends
    assert np.abs(seen.astype(int) - plain).mean() < 3


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_respected(tmp_path: Path, plain: np.ndarray, orientation: int) -> None:
    """A photograph that says how it must be turned is turned, and it is said unless it was upright."""
    stored = Image.fromarray(page())
    undo = {2: "FLIP_LEFT_RIGHT", 3: "ROTATE_180", 4: "FLIP_TOP_BOTTOM", 5: "TRANSPOSE"}
    undo |= {6: "ROTATE_90", 7: "TRANSVERSE", 8: "ROTATE_270"}  # the inverse of what the tag asks for
    if orientation in undo:
        stored = stored.transpose(Image.Transpose[undo[orientation]])
    exif = Image.Exif()
    exif[0x0112] = orientation
    picture = read(tmp_path, stored, exif=exif)
    np.testing.assert_allclose(picture.seen.astype(int), plain, atol=1)
    assert any("EXIF" in note for note in picture.notes) is (orientation != 1)


@pytest.mark.parametrize(("ink", "laid_on"), [(0, "white"), (255, "black")])
def test_transparent_parts_do_not_hide_the_object(tmp_path: Path, plain: np.ndarray, ink: int, laid_on: str) -> None:
    """A black or white object on nothing is laid on the colour against which it can be seen."""
    grey = np.full((200, 300), ink, dtype=np.uint8)
    picture = read(tmp_path, Image.fromarray(np.dstack([grey, grey, grey, page(0, 255)])))
    np.testing.assert_allclose(picture.seen.astype(int), plain, atol=1)
    assert any(f"laid on {laid_on}" in note for note in picture.notes)


def test_a_transparent_palette_colour_is_transparent(tmp_path: Path, plain: np.ndarray) -> None:
    """A GIF whose background is its transparent colour shows the object alone."""
    image = Image.fromarray((page(0, 1) > 0).astype(np.uint8))
    image = image.convert("P")
    image.putpalette([0, 0, 0, 10, 10, 10])  # nearly black on black, were it not transparent
    picture = read(tmp_path, image, "picture.gif", transparency=0)
    np.testing.assert_allclose(picture.seen.astype(int), plain, atol=1)


def test_dust_and_noise_do_not_move_the_frame(tmp_path: Path, plain: np.ndarray) -> None:
    """Specks of 2 x 2 pixels and grain of 3% do not count as the object."""
    rng = np.random.default_rng(0)
    pixels = page() + rng.normal(0, 8, size=(200, 300))
    for row, column in rng.integers(0, 198, size=(20, 2)):
        pixels[row : row + 2, column : column + 2] = 0
    seen = read(tmp_path, pixels.clip(0, 255).astype(np.uint8)).seen
    columns = np.flatnonzero((seen > 128).any(axis=0))
    assert (columns[0], columns[-1]) == (7, 20)


def test_an_image_of_the_data_set_stays_as_it_is(tmp_path: Path) -> None:
    """A picture of the data set's own size is not framed anew, though its object is small; only inverted."""
    pixels = np.zeros(SHAPE, dtype=np.uint8)
    pixels[10:14, 3:9] = [40, 80, 120, 160, 200, 180]
    for stored in (pixels, 255 - pixels):
        np.testing.assert_array_equal(read(tmp_path, stored).seen, pixels)


def test_a_thin_line_is_still_seen(tmp_path: Path) -> None:
    """An object a hundred times longer than wide is one pixel wide, not none."""
    pixels = np.zeros((400, 400), dtype=np.uint8)
    pixels[50:350, 100:104] = 255
    assert (read(tmp_path, pixels).seen.max(axis=0) > 0).sum() == 1


def test_a_busy_background_is_said(tmp_path: Path) -> None:
    """Where the border has no one colour the person is told that the label may mean little."""
    pixels = np.random.default_rng(0).integers(0, 256, size=(8, 8), dtype=np.uint8).repeat(25, 0).repeat(25, 1)
    assert any("not plain" in note for note in read(tmp_path, pixels).notes)
    assert not any("not plain" in note for note in read(tmp_path, page()).notes)


def test_the_original_is_kept_upright_small_and_in_colour(tmp_path: Path) -> None:
    """A large photograph is kept at 512 pixels, enough to show; sizes and the crop are those of the photograph."""
    pixels = np.dstack([page(), page(), np.full((200, 300), 255, dtype=np.uint8)]).repeat(4, 0).repeat(4, 1)
    picture = read(tmp_path, pixels)
    assert (picture.original.shape, picture.original.dtype.name) == ((341, 512, 3), "uint8")
    assert picture.size == (1200, 800)
    width, height = map(int, re.findall(r"(\d+) x (\d+) of 1200 x 800 pixels", picture.notes[-1])[0])
    assert (width, height) == pytest.approx((240, 480), abs=8)  # 3 pixels of 512, which edges are smoothed by


@pytest.mark.parametrize("shape", [(28, 28), (28, 28, 3), (20, 30)])
def test_without_framing_the_whole_picture_is_seen(tmp_path: Path, shape: tuple[int, ...]) -> None:
    """People's own pictures are seen as the download stage makes them: in grey or colour, resized, nothing else."""
    path = tmp_path / "picture.png"
    Image.fromarray(np.dstack([page(), page(200), page(100)])).save(path)
    picture = read_picture(path, shape, framed=False)
    (whole,) = Pictures(own_data(colour=len(shape) == 3)).read(path, "it")
    expected = Image.fromarray(whole).resize((shape[1], shape[0]), Image.Resampling.BILINEAR)
    np.testing.assert_array_equal(picture.seen, np.array(expected), strict=True)
    assert picture.notes == ()
    assert (picture.original.shape, picture.size) == ((200, 300, 3), (300, 200))


def test_a_square_picture_is_seen_as_it_was_learned(tmp_path: Path) -> None:
    """With download.own.side the same bytes come out as those that the model has learned from."""
    path = tmp_path / "picture.png"
    Image.fromarray(page()).save(path)
    (learned,) = Pictures(own_data(side=28)).read(path, "it")
    np.testing.assert_array_equal(read_picture(path, SHAPE, framed=False).seen, learned, strict=True)


def test_a_picture_in_colour_is_never_framed(tmp_path: Path) -> None:
    """A white page with a small object stays white, though framing is asked for."""
    seen = read(tmp_path, page()).seen
    Image.fromarray(page()).save(tmp_path / "page.png")
    colour = read_picture(tmp_path / "page.png", (28, 28, 3))
    assert seen[0, 0] == 0
    assert colour.seen[0, 0].tolist() == [255, 255, 255]


def test_what_is_seen_whole_may_be_flat(tmp_path: Path) -> None:
    """One flat colour is a picture where no object is looked for, and of the model's size nothing is done to it."""
    Image.new("L", (28, 28), 130).save(tmp_path / "flat.png")
    picture = read_picture(tmp_path / "flat.png", SHAPE, framed=False)
    assert (np.unique(picture.seen).tolist(), list(picture.notes)) == ([130], [])


@pytest.mark.parametrize("kind", ["folder", "empty", "cut", "huge"])
def test_what_is_no_picture_is_refused_whole_too(tmp_path: Path, kind: str) -> None:
    """The same errors as where an object is looked for."""
    write_bad(tmp_path / "bad.png", kind)
    with pytest.raises(ValueError, match=r"bad\.png (is|cannot|has)"):
        read_picture(tmp_path / "bad.png", (28, 28, 3))


def test_a_missing_file_is_not_found(tmp_path: Path) -> None:
    """A path that is not there is FileNotFoundError."""
    with pytest.raises(FileNotFoundError, match=r"no such file: .*; give the path of a PNG or JPEG picture"):
        read_picture(tmp_path / "none.png", SHAPE)


def write_bad(path: Path, kind: str) -> None:
    """Write a file that is no picture to learn anything from."""
    whole = path.with_name("whole.png")
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (60, 60), dtype=np.uint8)).save(whole)
    if kind == "folder":
        path.mkdir()
    elif kind == "huge":
        Image.new("1", (10_000, 9_000)).save(path)  # 90 million pixels in 11 kB
    elif kind == "huger":
        Image.new("1", (20_000, 9_000)).save(path)  # where Pillow raises, not warns
    elif kind == "flat":
        Image.new("L", (50, 50), 130).save(path)
    else:
        path.write_bytes({"empty": b"", "text": b"PNG", "cut": whole.read_bytes()[:1000]}[kind])


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("folder", "is a folder; give the path"),
        ("empty", "is no picture of a known kind; give a PNG"),
        ("text", "is no picture of a known kind; give a PNG"),
        ("cut", "cannot be read .*truncated.*; give a whole PNG or JPEG file"),
        ("huge", "has more than 89478485 pixels; make it smaller"),
        ("huger", "has more than 89478485 pixels; make it smaller"),
        ("flat", "nothing stands out in .*; give a picture of one object on a plain background"),
    ],
)
def test_what_is_no_picture_is_refused_in_one_line(tmp_path: Path, kind: str, said: str) -> None:
    """A folder, another file, a part of one, a decompression bomb, one flat colour: what was found, what to do."""
    write_bad(tmp_path / "bad.png", kind)
    with pytest.raises(ValueError, match=said) as caught:
        read_picture(tmp_path / "bad.png", SHAPE)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("framed", [True, False])
@pytest.mark.parametrize(("brands", "kind"), [((b"heic", b"mif1"), "HEIC"), ((b"mif1", b"avif"), "AVIF")])
def test_pictures_of_phones_say_how_to_export_them(
    tmp_path: Path, brands: tuple[bytes, bytes], kind: str, framed: bool
) -> None:
    """They are known by what they hold, whatever their name says."""
    path = tmp_path / "mine.jpg"
    path.write_bytes(b"\0\0\0\x18ftyp" + brands[0] + bytes(4) + b"".join(brands) + bytes(100))
    with pytest.raises(ValueError, match=rf"mine\.jpg is {kind}, which is not read here; export it as JPEG$"):
        read_picture(path, SHAPE, framed=framed)


def test_a_model_of_features_sees_no_pictures(tmp_path: Path) -> None:
    """Where the model was trained on plain features, a picture is refused before it is opened."""
    with pytest.raises(ValueError, match=r"the model takes features of shape \(2,\), not images"):
        read_picture(tmp_path / "any.png", (2,))
