"""grids.py: the sums fit into 53 bits, and a training that does not fit is refused by the param's name."""

import pytest

from softmax_regression.numerics.grids import PACKED_BITS, PIXEL_BITS, choose_grids


def test_fashion_mnist() -> None:
    """784 pixels, 10 classes, batches of 256: the weights' multiples and the errors' fill 30 bits."""
    grids = choose_grids(PIXEL_BITS, 784, 10, 256)
    assert (grids.weight_bits, grids.error_bits, grids.class_bits, grids.largest_weight) == (33, 30, 48, 0.125)


@pytest.mark.parametrize("feature_bits", [PIXEL_BITS, PACKED_BITS])
@pytest.mark.parametrize("num_features", [1, 2, 64, 784, 8192])
@pytest.mark.parametrize("batch_size", [1, 256, 60_000, 2**18])
@pytest.mark.parametrize("num_classes", [2, 10, 1000])
def test_every_sum_fits(feature_bits: int, num_features: int, batch_size: int, num_classes: int) -> None:
    """The largest possible sums, counted in steps of their grid, are integers that float64 holds."""
    grids = choose_grids(feature_bits, num_features, num_classes, batch_size)
    largest_feature = 2**feature_bits
    largest_multiple = grids.largest_weight * 2**grids.weight_bits
    assert largest_multiple <= 2**30
    assert num_features * largest_multiple * largest_feature <= 2**53
    assert batch_size * 2**grids.error_bits * largest_feature <= 2**53
    assert num_classes * 2**grids.class_bits < 2**53
    assert min(grids.error_bits, grids.weight_bits - feature_bits) >= 20


@pytest.mark.parametrize(
    ("feature_bits", "num_features", "batch_size", "message"),
    [
        (
            PIXEL_BITS,
            2**20 + 1,
            1,
            "model.implementation: exact sums at most 1048576 features of 8 bits, found 1048577",
        ),
        (PACKED_BITS, 10_000, 1, "model.implementation: exact sums at most 8192 features of 15 bits, found 10000"),
        (
            PIXEL_BITS,
            784,
            2**25 + 1,
            "train.batch_size: exact sums at most 33554432 examples of 8 bits, found 33554433",
        ),
        (PACKED_BITS, 64, 300_000, "train.batch_size: exact sums at most 262144 examples of 15 bits, found 300000"),
    ],
)
def test_what_does_not_fit_is_refused(feature_bits: int, num_features: int, batch_size: int, message: str) -> None:
    """The error names the param, what fits, what was found, and the way out; one less would fit."""
    with pytest.raises(ValueError, match=f"^{message}; .*model.implementation: scratch$"):
        choose_grids(feature_bits, num_features, 10, batch_size)
