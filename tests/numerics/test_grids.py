"""grids.py: the sums fit into 53 bits, and a training that does not fit is refused by the param's name."""

import pytest

from softmax_regression.numerics.grids import PIXEL_BITS, choose_grids, packed_bits


def test_fashion_mnist() -> None:
    """784 pixels, 10 classes, batches of 256: the weights' multiples and the errors' fill 30 bits."""
    grids = choose_grids(PIXEL_BITS, 784, 10, 256)
    assert (grids.weight_bits, grids.error_bits, grids.class_bits, grids.largest_weight) == (33, 30, 48, 0.125)


@pytest.mark.parametrize(
    ("num_features", "bits"), [(1, 15), (768, 15), (8192, 15), (8193, 14), (16_384, 14), (100_000, 11), (2**20, 8)]
)
def test_many_packed_features_have_fewer_bits(num_features: int, bits: int) -> None:
    """15 bits up to 8,192 features; each doubling then costs one, so that a logit keeps its 20 bits."""
    assert packed_bits(num_features) == bits
    assert choose_grids(bits, num_features, 10, 256).weight_bits - bits >= 20


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("num_features", [1, 2, 64, 784, 8192, 100_000])
@pytest.mark.parametrize("batch_size", [1, 256, 60_000, 2**18])
@pytest.mark.parametrize("num_classes", [2, 10, 1000, 10_000])
def test_every_sum_fits(packed: bool, num_features: int, batch_size: int, num_classes: int) -> None:
    """The largest possible sums, counted in steps of their grid, are integers that float64 holds."""
    feature_bits = packed_bits(num_features) if packed else PIXEL_BITS
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
        (15, 10_000, 1, "model.implementation: exact sums at most 8192 features of 15 bits, found 10000"),
        (
            PIXEL_BITS,
            784,
            2**25 + 1,
            "train.batch_size: exact sums at most 33554432 examples of 8 bits, found 33554433",
        ),
        (15, 64, 300_000, "train.batch_size: exact sums at most 262144 examples of 15 bits, found 300000"),
    ],
)
def test_what_does_not_fit_is_refused(feature_bits: int, num_features: int, batch_size: int, message: str) -> None:
    """The error names the param, what fits, what was found, and the way out; one less would fit."""
    with pytest.raises(ValueError, match=f"^{message}; .*model.implementation: scratch$"):
        choose_grids(feature_bits, num_features, 10, batch_size)
