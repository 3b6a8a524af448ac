"""What is known of each data set, by name. A new one is one entry in `DATA_SETS`, and its sources in params.yaml.

An entry either names the files that hold the data set, each with its digest, or makes it from scikit-learn, which is
imported when that is asked for.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from softmax_regression.data.datasets import PARTS, Array
from softmax_regression.data.memory import require


@dataclass(frozen=True)
class Entry:
    """What is known of a data set before it is there. Either `files` or `make` says where it comes from.

    scale: the largest pixel, so that features lie in [0, 1]; 1 for real values that are used as they are.
    class_names, example_shape, sizes (train, test): None where they follow from params; then the data decide. Of
    `files` the last two bound what is received.
    files: part -> (name at the source, digest), gzipped where the name ends in .gz, for `sources.fetch`.
    make: returns part -> array, from settings. Features are uint8, or real values, which are packed (see packing.py).
    settings: the section of `download` in params.yaml that `make` uses, if any; a run records it.
    """

    scale: float
    class_names: tuple[str, ...] | None = None
    example_shape: tuple[int, ...] | None = None
    sizes: tuple[int, int] | None = None
    files: Mapping[str, tuple[str, str]] | None = None
    make: Callable[[Mapping[str, Any]], dict[str, Array]] | None = None
    settings: str | None = None


def _like_mnist(class_names: tuple[str, ...], algorithm: str, *digests: str) -> Entry:
    """Return the entry of a data set that MNIST's shape and file names fit; digests in the order of `PARTS`."""
    names = [f"{split}-{kind}-ubyte.gz" for split in ("train", "t10k") for kind in ("images-idx3", "labels-idx1")]
    files = {p: (n, f"{algorithm}:{d}") for p, n, d in zip(PARTS, names, digests, strict=True)}
    return Entry(scale=255, class_names=class_names, example_shape=(28, 28), sizes=(60_000, 10_000), files=files)


def _split(images: Array, labels: Array, **options: Any) -> dict[str, Array]:
    """Return part -> array by scikit-learn's `train_test_split`; labels become uint8."""
    from sklearn.model_selection import train_test_split

    parts = train_test_split(images, labels.astype(np.uint8), **options)
    return dict(zip(("train-images", "test-images", "train-labels", "test-labels"), parts, strict=True))


def _make_digits(settings: Mapping[str, Any]) -> dict[str, Array]:
    """scikit-learn's digits: 1,797 images, 8x8, values 0 to 16, split 80/20 by class with seed 42."""
    from sklearn.datasets import load_digits

    digits = load_digits()
    return _split(digits.images.astype(np.uint8), digits.target, test_size=0.2, random_state=42, stratify=digits.target)


def _make_classification(settings: Mapping[str, Any]) -> dict[str, Array]:
    """scikit-learn's `make_classification`, split by `test_size`, everything drawn from `random_state`."""
    from sklearn.datasets import make_classification

    arguments = dict(settings)
    samples, features, informative = (arguments[f"n_{name}"] for name in ("samples", "features", "informative"))
    numbers = 4 * samples * features + informative * features  # made, shuffled, split; and the clusters' covariances
    what = f"download.make_classification: {samples:,} samples of {features:,} features"
    require(8 * numbers, what, "lower n_samples")
    test_size, seed = arguments.pop("test_size"), arguments["random_state"]
    try:
        arrays = _split(*make_classification(**arguments), test_size=test_size, random_state=seed)
    except ValueError as error:
        raise ValueError(f"download.make_classification: {error}") from error
    if (found := len(np.unique(arrays["train-labels"]))) < arguments["n_classes"]:
        raise ValueError(
            f"download.make_classification: expected {arguments['n_classes']} classes in the training set, found"
            f" {found}; raise n_samples"
        )
    return arrays


_FASHION = ("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot")
_DIGITS = tuple("0123456789")

DATA_SETS: dict[str, Entry] = {
    # Xiao, Rasul and Vollgraf 2017, arXiv 1708.07747; digests of the published files
    "fashion_mnist": _like_mnist(
        _FASHION,
        "sha256",
        "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
        "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
        "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
        "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",
    ),
    # LeCun, Bottou, Bengio and Haffner 1998; digests from torchvision 0.29
    "mnist": _like_mnist(
        _DIGITS,
        "md5",
        "f68b3c2dcbeaaa9fbdd348bbdeb94873",
        "d53e105ee54ea40749a09fcbcd1e9432",
        "9fb629c4189551a2d022fa330f9573f3",
        "ec29112dd5afa0611ce80d1b7f02629c",
    ),
    # Clanuwat et al. 2018, arXiv 1812.01718; digests from torchvision 0.29
    "kmnist": _like_mnist(
        ("o", "ki", "su", "tsu", "na", "ha", "ma", "ya", "re", "wo"),
        "md5",
        "bdb82020997e1d708af4cf47b453dcf7",
        "e144d726b3acfaa3e44228e80efcd344",
        "5c965bf0a639b31b8f53240b1b52f4d7",
        "7320c461ea6c1c855c0b718fb2a4b134",
    ),
    # UCI's optical recognition of handwritten digits, in scikit-learn
    "digits": Entry(scale=16, class_names=_DIGITS, example_shape=(8, 8), sizes=(1_437, 360), make=_make_digits),
    # two clouds of points a class, in scikit-learn
    "make_classification": Entry(scale=1, make=_make_classification, settings="make_classification"),
}
