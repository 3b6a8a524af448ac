"""Finding a person's own data: by name in one folder, never outside it; parts by words in names."""

import os
from pathlib import Path

import pytest

from softmax_regression.download.finding import find, named, part_of, some, words_of


def fill(folder: Path, *names: str) -> Path:
    """Make empty files, with the folders above them."""
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    return folder


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("flowers.csv", "table"),
        ("flowers.TSV", "table"),
        ("flowers.parquet", "table"),
        ("flowers.npz", "arrays"),
        ("flowers.safetensors", "arrays"),
        ("flowers/roses/1.JPG", "pictures"),
        ("flowers/train.csv", "table"),
        ("flowers/X.npy", "arrays"),
    ],
)
def test_a_file_or_a_folder_of_that_name(tmp_path: Path, name: str, kind: str) -> None:
    """Each kind is told by its ending, in whatever case; neighbours, hidden files and DVC's own do not matter."""
    fill(tmp_path, name, "README.md", ".gitignore", "flowers.csv.dvc", "flower.csv", "flowers2/a.csv")
    found = find("flowers", tmp_path)
    assert (found.kind, found.files) == (kind, (tmp_path / name,))


@pytest.mark.parametrize(
    "name", ["", ".", "..", "../flowers", "/etc/passwd", "flowers.csv", "sub/flowers", "sub\\flowers", "README", ".git"]
)
def test_a_name_never_leaves_the_folder(tmp_path: Path, name: str) -> None:
    """A name with separators or dots, a hidden one and the README are unknown data sets."""
    fill(tmp_path / "datasets", "flowers.csv", "sub/flowers.csv", ".git/x.csv", "README.md", "../flowers.csv")
    assert named(name, tmp_path / "datasets") == []
    with pytest.raises(ValueError, match=r"^data\.name: unknown data set .*known are fashion_mnist"):
        find(name, tmp_path / "datasets")


@pytest.mark.parametrize("name", ["a.png", "notes"])
def test_what_is_no_file_is_refused_and_not_opened(tmp_path: Path, name: str) -> None:
    """A pipe would be waited for without an end; a link that leads nowhere is a picture that is missing."""
    fill(tmp_path, "flowers/roses/1.png")
    os.mkfifo(tmp_path / "flowers/roses" / name)
    with pytest.raises(ValueError, match=rf"roses/{name} is a pipe, a device or a broken link; take it out of"):
        find("flowers", tmp_path)
    (tmp_path / "flowers/roses" / name).unlink()
    (tmp_path / "flowers/roses" / name).symlink_to("nowhere")
    with pytest.raises(ValueError, match=rf"roses/{name} is a pipe, a device or a broken link; take it out of"):
        find("flowers", tmp_path)


def test_an_unknown_name_has_its_neighbours_named(tmp_path: Path) -> None:
    """The nearest name, of theirs or of the known ones, and all that are there."""
    fill(tmp_path, "flowers.csv", "birds/a/1.png", "notes.txt")
    with pytest.raises(ValueError, match=r"'flower'; did you mean flowers\? .*datasets-0/ there are birds, flowers$"):
        find("flower", tmp_path.rename(tmp_path.with_name("datasets-0")))
    with pytest.raises(ValueError, match=r"'fashion_mnits'; did you mean fashion_mnist\? .*there is none$"):
        find("fashion_mnits", tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["x.csv", "x.parquet"], r"x.csv and .*x.parquet have one name; rename one"),
        (["x.xlsx"], r"x.xlsx is of no kind that is read: .csv, .tsv, .parquet"),
        (["x.csv.dvc"], r"x.csv is not here, only .*x.csv.dvc; run `dvc pull .*x.csv.dvc`"),
        (["x.dvc"], r"x is not here, only .*x.dvc"),
        (["x/a.csv", "x/b/1.png"], r"x holds table \(a.csv\) and pictures \(b/1.png\); keep files of one kind"),
        (["x/.ipynb_checkpoints/1.png", "x/notes.txt"], r"x holds nothing that is read; keep"),
        (["x/train-00000-of-00002.parquet"], r"x holds 1 of the 2 files that train-00000-of-00002.parquet counts"),
    ],
)
def test_what_is_unclear_is_refused(tmp_path: Path, names: list[str], message: str) -> None:
    """Two of one name, other kinds, what is not pulled, mixed folders, missing shards: which, and what to do."""
    with pytest.raises(ValueError, match=message):
        find("x", fill(tmp_path, *names))


def test_of_tables_with_parts_the_others_are_not_read(tmp_path: Path) -> None:
    """Beside train and test tables a sample of answers is no data; whole sets of shards are all read, in order."""
    shards = [f"x/data/{part}-0000{i}-of-00002.parquet" for part in ("test", "train") for i in range(2)]
    found = find("x", fill(tmp_path, *shards, "x/sample.csv", "x/README.md"))
    assert [path.relative_to(tmp_path).as_posix() for path in found.files] == shards
    assert [path.name for path in found.others] == ["README.md", "sample.csv"]


@pytest.mark.parametrize(
    ("names", "part"),
    [
        (["train-00000-of-00002"], "train"),
        (["Training"], "train"),
        (["X_test"], "test"),
        (["eval", "1.png"], "test"),
        (["evaluation.csv"], "test"),
        (["testing"], "test"),
        (["val_images"], "validation"),
        (["dev"], "validation"),
        (["valid"], "validation"),
        (["contest"], None),
        (["y"], None),
    ],
)
def test_parts_by_their_words(names: list[str], part: str | None) -> None:
    """The words of Hugging Face's loaders, apart from other letters, in any case."""
    assert part_of(*names) == part


def test_words_and_lists() -> None:
    """Digits and signs part words; long lists end in a count."""
    assert words_of("X_train-2.Csv", "größe") == ["x", "train", "csv", "größe"]
    assert some([*"abcde"], most=3) == "a, b, c and 2 more"
