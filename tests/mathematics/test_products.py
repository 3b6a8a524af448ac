"""products.py: products of grid numbers and integers are exact, and both ways have the same bits."""

from fractions import Fraction

import pytest
import torch
from torch import Tensor

from softmax_regression.mathematics import products
from softmax_regression.mathematics.products import check_sums, operand, product
from softmax_regression.numerics.elementary import round_to

BITS = 33
needs_bytes = pytest.mark.skipif(not products._multiplies_bytes(), reason="no quick product of bytes on this processor")


def multiples(rows: int, columns: int, seed: int = 0, largest: int = 2**30) -> Tensor:
    """Return random multiples of 2^-BITS, the largest ones among them."""
    generator = torch.Generator().manual_seed(seed)
    n = torch.randint(-largest + 1, largest, (rows, columns), generator=generator)
    n[0, 0], n[-1, -1] = largest - 1, 1 - largest
    return n.double() * 2.0**-BITS


def pixels(rows: int, columns: int, seed: int = 0) -> Tensor:
    """Return random bytes, both ends among them."""
    drawn = torch.randint(256, (rows, columns), generator=torch.Generator().manual_seed(seed)).to(torch.uint8)
    drawn[0, 0], drawn[-1, -1] = 0, 255
    return drawn


@pytest.fixture(params=["bytes", "float64"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Take one of the two ways; that of bytes where the processor has it."""
    if request.param == "float64":
        monkeypatch.setattr(products, "_multiplies_bytes", lambda: False)
    elif not products._multiplies_bytes():
        pytest.skip("no quick product of bytes on this processor")
    return str(request.param)


@pytest.mark.parametrize(
    ("rows", "inner", "columns"), [(1, 1, 1), (2, 3, 1), (10, 784, 17), (10, 33, 256), (640, 64, 5)]
)
def test_a_product_is_that_of_integers(way: str, rows: int, inner: int, columns: int) -> None:
    """It equals the product in Python's integers, whatever the shape."""
    left, right = multiples(rows, inner), pixels(inner, columns)
    found = product(left, BITS, operand(right))
    wanted = (left * 2.0**BITS).long() @ right.long()  # int64: exact while below 2^63
    assert operand(right).dtype == (torch.int8 if way == "bytes" else torch.float64)
    assert torch.equal((found * 2.0**BITS).long(), wanted)
    first = sum(Fraction(value) * int(q) for value, q in zip(left[0].tolist(), right[:, 0].tolist(), strict=True))
    assert Fraction(found[0, 0].item()) == first


def test_a_transposed_operand(way: str) -> None:
    """An operand may be transposed, as for the logits."""
    left, right = multiples(10, 784), pixels(256, 784)
    assert torch.equal(product(left, BITS, operand(right).t()), left @ right.double().t())


@needs_bytes
@pytest.mark.parametrize("digit", [-128, -1, 0, 127])
def test_extreme_digits_and_bytes(digit: int) -> None:
    """Digits and bytes at both ends, in sums as long as any that is taken: nothing overflows."""
    n = sum(digit * 256**place for place in range(3))
    left = torch.full((10, 4096), n * 2.0**-BITS, dtype=torch.float64)
    for byte in (0, 127, 128, 255):
        right = torch.full((4096, 16), byte, dtype=torch.uint8)
        assert (product(left, BITS, operand(right)) * 2.0**BITS == n * byte * 4096).all()


def test_packed_features_go_through_float64() -> None:
    """int16 has no product of bytes: it is exact in float64."""
    left = round_to(torch.linspace(-1, 1, 640, dtype=torch.float64).view(10, 64) * 2.0**-10, 40)
    right = torch.arange(-32768, 32768, 64).to(torch.int16).view(64, 16)
    assert operand(right).dtype == torch.float64
    assert torch.equal((product(left, 40, operand(right)) * 2.0**40).long(), (left * 2.0**40).long() @ right.long())


def test_very_long_rows_go_through_float64() -> None:
    """Sums of more than 32,768 products of bytes could leave the exact range of their halves."""
    assert operand(torch.zeros(1, 2**15 + 1, dtype=torch.uint8)).dtype == torch.float64


def test_the_check_of_sums(monkeypatch: pytest.MonkeyPatch) -> None:
    """It passes here, and fails where a library gives float64 away: as one that multiplies in float32 does."""
    check_sums(torch.device("cpu"))
    multiply = Tensor.__matmul__
    monkeypatch.setattr(Tensor, "__matmul__", lambda a, b: multiply(a.float(), b.float()).double())
    with pytest.raises(RuntimeError, match=r"^products in float64 are not exact on cpu: .*set train.device: cpu.*$"):
        check_sums(torch.device("cpu"))
