"""Where a training computes, and its examples as tensors there."""

import subprocess
import sys

import numpy as np
import pytest
import torch

from softmax_regression.data.datasets import Examples
from softmax_regression.training import devices
from softmax_regression.training.devices import device_named, evaluation_batch, resolved, tensors_on


def test_the_gpu_is_taken_where_there_is_one_and_it_may_be(monkeypatch: pytest.MonkeyPatch) -> None:
    """`auto` and `cuda` name the GPU, `cpu` never does; without a GPU `cuda` is an error and `auto` the CPU."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert [device_named(name).type for name in ("auto", "cuda", "cpu")] == ["cuda", "cuda", "cpu"]
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert device_named("auto").type == "cpu"
    with pytest.raises(RuntimeError, match=r"set train\.device: cpu"):
        device_named("cuda")


def test_auto_is_no_experiment_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is recorded is the device in use: `auto` is `cpu` on a machine without a GPU, `cuda` on one with it."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert [resolved(name) for name in ("auto", "cpu")] == ["cpu", "cpu"]
    with pytest.raises(RuntimeError, match=r"set train\.device: cpu"):
        resolved("cuda")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert [resolved(name) for name in ("auto", "cuda", "cpu")] == ["cuda", "cuda", "cpu"]


@pytest.mark.parametrize(("name", "loaded"), [("cpu", "False"), ("auto", "True")])
def test_torch_is_imported_only_to_look_for_a_gpu(name: str, loaded: str) -> None:
    """Neither the import of the module nor train.device: cpu, the usual one, waits for torch; `auto` has to."""
    code = (
        "import sys; from softmax_regression.training import devices; print('torch' in sys.modules);"
        f" devices.resolved({name!r}); print('torch' in sys.modules)"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.split() == ["False", loaded]


def test_on_the_cpu_nothing_is_copied() -> None:
    """The tensors share the arrays' memory, which may be a memory map larger than the machine's."""
    examples = Examples(np.zeros((2, 3), np.uint8), np.zeros(2, np.uint8))
    images, labels, rows = tensors_on(examples, torch.device("cpu"))
    examples.images[0, 0], examples.labels[1] = 7, 1
    assert images[0, 0] == 7
    assert labels[1] == 1
    assert rows is None


def test_a_part_of_the_examples_is_no_copy() -> None:
    """On the CPU a part shares the arrays' memory and comes with its rows; another device gets these rows alone."""
    examples = Examples(np.arange(6, dtype=np.uint8).reshape(3, 2), np.arange(3, dtype=np.uint8), np.array([0, 2]))
    images, labels, rows = tensors_on(examples, torch.device("cpu"))
    assert rows is not None
    assert (len(images), len(labels), rows.tolist()) == (3, 3, [0, 2])
    images, labels, rows = tensors_on(examples, torch.device("meta"))
    assert (images.shape, labels.shape, rows) == ((2, 2), (2,), None)


@pytest.mark.parametrize(
    ("num_features", "num_classes", "size"),
    [(784, 10, 2048), (768, 1000, 2048), (512, 10_000, 209), (100_000, 10, 20), (10**7, 2, 1)],
)
def test_wide_examples_are_measured_in_smaller_blocks(num_features: int, num_classes: int, size: int) -> None:
    """A block holds at most 2,048 examples, 2^21 features and 2^21 logits, and one example at least."""
    assert evaluation_batch(num_features, num_classes) == size


def test_threads_are_for_large_products(monkeypatch: pytest.MonkeyPatch) -> None:
    """Batches of 256 x 784 with 10 classes are one thread's; of 256 x 512 with 100 classes, all of them."""
    monkeypatch.setattr(devices, "cores", lambda: 3)
    found = [devices.threads_for(number) for number in (1, 256 * 784 * 10, 256 * 512 * 100)]
    assert found == [1, 1, 3]


def test_threads_are_taken_where_they_are_quicker(monkeypatch: pytest.MonkeyPatch) -> None:
    """A large product gets all threads if a trial is quicker with them, else one; a small one is not tried."""
    monkeypatch.setattr(devices, "cores", lambda: 3)
    threads = torch.get_num_threads()
    try:
        for seconds, wanted in (({1: 2.0, 3: 1.0}, 3), ({1: 1.0, 3: 2.0}, 1)):
            monkeypatch.setattr(devices, "_seconds", lambda count, seconds=seconds: seconds[count])
            devices.use_quickest_threads(2**30)
            assert torch.get_num_threads() == wanted
        monkeypatch.delattr(devices, "_seconds")
        devices.use_quickest_threads(2**10)
        assert torch.get_num_threads() == 1
    finally:
        torch.set_num_threads(threads)


def test_the_trial_takes_the_threads_that_it_is_told() -> None:
    """It returns a time, and leaves the threads as they were in it."""
    threads = torch.get_num_threads()
    try:
        for count in (2, 1):
            assert devices._seconds(count) > 0
            assert torch.get_num_threads() == count
    finally:
        torch.set_num_threads(threads)
