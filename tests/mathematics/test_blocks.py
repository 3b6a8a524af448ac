"""blocks.py: blocks are views that fit into a cache and make up the whole."""

import pytest
import torch

from softmax_regression.mathematics.blocks import CACHED, in_cache


@pytest.mark.parametrize(
    ("shape", "dim", "sizes"),
    [
        ((10, 784), 0, [10]),
        ((10, 10_000), 0, [3, 3, 3, 1]),
        ((3, CACHED), 0, [1, 1, 1]),
        ((3, CACHED + 1), 0, [1, 1, 1]),
        ((64, 10, 256), -2, [2, 2, 2, 2, 2]),
        ((CACHED + 1,), 0, [CACHED, 1]),
        ((0, 3), 0, [0]),
    ],
)
def test_blocks_are_small(shape: tuple[int, ...], dim: int, sizes: list[int]) -> None:
    """A block has as many rows as fit, one at least; what fits as a whole is one block."""
    tensor = torch.zeros(shape, dtype=torch.int8)
    assert [block.shape[dim] for (block,) in in_cache(tensor, dim=dim)] == sizes


def test_blocks_are_views_of_each_tensor() -> None:
    """What is written into blocks is in the whole; a second tensor of the same length is cut as the first."""
    first, second = torch.arange(100_000).view(100, 1000), torch.zeros(100)
    for block, sums in in_cache(first, second):
        sums.copy_(block.sum(1))
        block.zero_()
    assert not first.any()
    assert torch.equal(second, torch.arange(100_000).view(100, 1000).sum(1).float())
