"""Is there memory for it? Asked before it is taken."""

import psutil
import pytest

from softmax_regression.data.memory import require


def test_what_fits_is_let_through() -> None:
    """A megabyte."""
    require(2**20, "pictures", "lower data.resize")


def test_more_than_is_available_is_one_line_with_both_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    """What needs it, how much, how much there is, what to do; what is available counts, not what is installed."""
    memory = psutil.virtual_memory()._replace(available=1000)
    monkeypatch.setattr(psutil, "virtual_memory", lambda: memory)
    with pytest.raises(
        ValueError, match=r"^5 pictures need 1,001 bytes of memory, 1,000 are available; lower data\.resize$"
    ):
        require(1001, "5 pictures", "lower data.resize")
    require(1000, "5 pictures", "lower data.resize")
