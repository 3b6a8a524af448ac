"""Exact products of a matrix of grid numbers with a matrix of small integers: two ways that give the same bits.

A grid number is n 2^-bits with an integer |n| < 2^31. Every partial sum of n q is an integer that float64 holds, so the
order in which a library adds them cannot matter. Where the integers are bytes and the processor multiplies bytes
quickly, n is cut into four signed digits, n = d0 + 256 d1 + 256^2 d2 + 256^3 d3, and one product of bytes takes the
place of one in float64, in a fifth of the time. Which way is taken is a matter of speed alone.
"""

import functools

import torch
from torch import Tensor

_DIGITS = 4
_LARGEST_INNER = 2**15  # so many products of two signed bytes stay far within 32 bits
_CENTRE = 128  # a byte q is multiplied as the signed byte q - 128


def operand(integers: Tensor) -> Tensor:
    """Return a matrix of integers, uint8 or int16, as `product` takes it: float64, or int8 that hold q - 128."""
    are_bytes = integers.dtype == torch.uint8 and integers.device.type == "cpu"
    if are_bytes and integers.numel() and max(integers.shape) <= _LARGEST_INNER and _multiplies_bytes():
        return (integers ^ _CENTRE).view(torch.int8)
    return integers.double()


def product(grid_numbers: Tensor, bits: int, right: Tensor) -> Tensor:
    """Return `grid_numbers` (M, N), multiples of 2^-`bits` in float64, times the `operand` (N, P): (M, P), exact.

    The caller sees to it that |n| < 2^31, and that no partial sum of n q reaches 2^53.
    """
    if right.dtype == torch.float64:
        return grid_numbers @ right
    sums = torch._int_mm(_digits(grid_numbers, bits), right).view(_DIGITS, -1).double()
    centred = (_powers(bits) @ sums).view(len(grid_numbers), -1)
    return centred.add_(grid_numbers.sum(1, keepdim=True) * _CENTRE)  # n q = n (q - 128) + 128 n


def _digits(grid_numbers: Tensor, bits: int) -> Tensor:
    """Return the signed digits of `grid_numbers` (M, N) as int8 (4 M, N): all d0 first, then all d1, ..."""
    # Added to 1.5 x 2^(52 - bits), n stands in the lowest bits of the sum. With 128 added to each of its digits they
    # are unsigned bytes, which memory holds one by one.
    n = (grid_numbers + 1.5 * 2.0 ** (52 - bits)).view(torch.int64) + (0x80808080 - (0x4338 << 48))
    unsigned = n.view(torch.uint8).view(*grid_numbers.shape, 8)[..., :_DIGITS]
    return (unsigned.permute(2, 0, 1).reshape(-1, grid_numbers.shape[1]) ^ _CENTRE).view(torch.int8)


@functools.cache
def _powers(bits: int) -> Tensor:
    """Return what a unit of each digit stands for: 2^-bits, 256 2^-bits, ..."""
    return torch.tensor([256.0**digit * 2.0**-bits for digit in range(_DIGITS)], dtype=torch.float64)


@functools.cache
def _multiplies_bytes() -> bool:
    """Say whether torch's product of signed bytes is there, quick, and exact: some processors' overflow half-way."""
    if not (hasattr(torch, "_int_mm") and torch.cpu._is_vnni_supported()):
        return False
    left = torch.tensor([-128, 127], dtype=torch.int8).repeat(20, 512)
    right = torch.tensor([[-128, 127], [127, -128]], dtype=torch.int8).repeat(512, 8)
    return torch.equal(torch._int_mm(left, right).double(), left.double() @ right.double())


def check_sums(device: torch.device) -> None:
    """Raise RuntimeError where products in float64 on `device` are not exact, as where a library only emulates them."""
    left = torch.full((16, 4096), 2.0**40 - 1, dtype=torch.float64, device=device)
    left[:, ::2] -= 2
    # (2^40 - 1) + (2^40 - 3) is 2^41 - 4
    if not bool((left @ torch.ones(4096, 16, dtype=torch.float64, device=device) == (2.0**41 - 4) * 2048).all()):
        raise RuntimeError(
            f"products in float64 are not exact on {device}: its library rounds them; set train.device: cpu, or "
            "switch the library's emulation of float64 off"
        )
