"""batches.py: what a pass yields, the order as a pure function of (seed, epoch), features, memory, memory maps."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from softmax_regression.mathematics.batches import EvaluationBatches, Inputs, Minibatches
from softmax_regression.mathematics.sgd import SGD
from softmax_regression.mathematics.softmax import SoftmaxRegression, loss_and_gradients

EXAMPLES = 23
PER_CHUNK = "softmax_regression.mathematics.batches.MINIBATCHES_PER_CHUNK"


@pytest.fixture(autouse=True)
def _two_minibatches_a_chunk(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make chunks so small that an epoch of the examples has several."""
    monkeypatch.setattr(PER_CHUNK, 2)


def images(count: int = EXAMPLES) -> Tensor:
    """Return byte images of 2 x 3 pixels, each different."""
    return torch.arange(count * 6, dtype=torch.int64).remainder(251).to(torch.uint8).view(count, 2, 3)


def loader(**changes: Any) -> Minibatches:
    """Return batches of 4 of the images, labelled with their positions, unless changed."""
    settings: dict[str, Any] = {"batch_size": 4, "seed": 0, "scale": 255.0}
    return Minibatches(images(), torch.arange(EXAMPLES, dtype=torch.uint8), **(settings | changes))


def minibatches(batches: Minibatches, epoch: int = 0) -> list[tuple[Tensor, Tensor]]:
    """Return the minibatches of an epoch, its chunks joined."""
    batches.set_epoch(epoch)
    return [minibatch for chunk in batches for minibatch in chunk]


def order(batches: Minibatches, epoch: int = 0) -> list[int]:
    """Return the labels of an epoch in their order: the positions of the examples."""
    return torch.cat([labels for _, labels in minibatches(batches, epoch)]).tolist()


def test_an_epoch_holds_every_example_once() -> None:
    """An epoch is a permutation of the data, in batches of 4 and a last one of 3, and each image keeps its label."""
    batches = loader()
    epoch = minibatches(batches)
    assert sorted(order(batches)) == list(range(EXAMPLES))
    assert [len(labels) for _, labels in epoch] == [4, 4, 4, 4, 4, 3]
    for stored, labels in epoch:
        assert stored.dtype == torch.uint8
        assert labels.dtype == torch.int64
        assert torch.equal(stored, images()[labels].flatten(1))


def test_lengths(monkeypatch: pytest.MonkeyPatch) -> None:
    """23 examples in batches of 4 are 6 steps; by two to the chunk, 3 chunks, and by five, 2 of 5 and 1."""
    batches = loader()
    assert (batches.steps_per_epoch, len(batches), [len(chunk) for chunk in batches]) == (6, 3, [2, 2, 2])
    assert [len(labels) for _, labels in minibatches(loader(batch_size=100))] == [EXAMPLES]
    monkeypatch.setattr(PER_CHUNK, 5)
    assert [len(chunk) for chunk in loader()] == [5, 1]


def test_a_model_knows_what_it_is_fed_with() -> None:
    """Features, type, scale, and the most examples of a minibatch: no more than there are."""
    inputs = loader().inputs
    assert (inputs.num_features, inputs.dtype, inputs.scale.item(), inputs.batch_size) == (6, torch.uint8, 255.0, 4)
    assert loader(batch_size=100).inputs.batch_size == EXAMPLES
    assert loader(scale=(1.0, 2.0, 4.0, 8.0, 16.0, 32.0)).inputs.scale.tolist() == [1, 2, 4, 8, 16, 32]


def test_order_depends_on_seed_and_epoch_alone() -> None:
    """The same seed and epoch give the same order, whatever came before; others give others."""
    batches = loader()
    first, second = order(batches, 0), order(batches, 1)
    assert order(batches, 0) == first
    assert order(loader(), 1) == second
    others = [order(loader(seed=seed), epoch) for seed in range(3) for epoch in range(3)]
    assert len({tuple(each) for each in others}) == 9


def test_chunks_do_not_change_the_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many minibatches make a chunk, the minibatches are the same."""
    wanted = minibatches(loader())
    for size in (1, 5, 64):
        monkeypatch.setattr(PER_CHUNK, size)
        for ours, theirs in zip(minibatches(loader()), wanted, strict=True):
            assert torch.equal(ours[0], theirs[0])
            assert torch.equal(ours[1], theirs[1])


def test_the_epoch_may_be_set_after_the_iterator_is_asked_for() -> None:
    """Lightning asks for the iterator first and then sets the sampler's epoch; the order is that epoch's."""
    batches = loader()
    iterator = iter(batches)
    batches.sampler.set_epoch(5)
    started = torch.cat([labels for chunk in iterator for _, labels in chunk]).tolist()
    assert started == order(loader(), 5)


def test_bytes_become_features_as_totensor_makes_them() -> None:
    """Every byte becomes the float32 nearest to x / 255, which is what torchvision's ToTensor gives."""
    inputs = Inputs(256, torch.uint8, torch.tensor(255.0, dtype=torch.float64), 1)
    features = inputs.features(torch.arange(256, dtype=torch.uint8).view(1, 256), torch.float32)
    nearest = (np.arange(256) / 255).astype(np.float32)  # the quotient in float64, rounded once
    assert np.array_equal(features.numpy()[0], nearest)


@pytest.mark.parametrize("stored", [torch.uint8, torch.int16, torch.float32, torch.float64])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_any_stored_type(stored: torch.dtype, dtype: torch.dtype) -> None:
    """Integers and floats are divided by the scale in the wanted precision, and the stored data stays as it is."""
    raw = images().to(stored)
    before = raw.clone()
    labels = torch.arange(EXAMPLES)
    training = Minibatches(raw, labels, batch_size=4, seed=0, scale=3.0)
    for batches in (minibatches(training), list(EvaluationBatches(raw, labels, batch_size=4))):
        for minibatch, positions in batches:
            features = training.inputs.features(minibatch, dtype)
            assert features.dtype == dtype
            assert torch.equal(features, before[positions].flatten(1).to(dtype) / 3)
    assert torch.equal(raw, before)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_every_feature_may_have_its_own_scale(dtype: torch.dtype) -> None:
    """Column j is divided by its own scale, in the wanted precision."""
    stored = torch.tensor([[1, -2, 3], [4, 5, -32767]], dtype=torch.int16)
    training = Minibatches(stored, torch.zeros(2), batch_size=2, seed=0, scale=(1.0, 4.0, 1024.0))
    features = training.inputs.features(stored, dtype)
    assert features.dtype == dtype
    assert features.tolist() == [[1, -0.5, 3 / 1024], [4, 1.25, -32767 / 1024]]


def test_transposed_and_strided_data() -> None:
    """Data that is a view of another tensor gives what its copy gives."""
    raw, labels = images().permute(0, 2, 1), torch.arange(2 * EXAMPLES)[::2]
    views = Minibatches(raw, labels, batch_size=4, seed=0, scale=1)
    copies = Minibatches(raw.contiguous(), labels.contiguous(), batch_size=4, seed=0, scale=1)
    for ours, theirs in zip(minibatches(views), minibatches(copies), strict=True):
        assert torch.equal(ours[0], theirs[0])
        assert torch.equal(ours[1], theirs[1])


def test_rows_of_the_data_are_a_training_set_of_their_own() -> None:
    """Some rows give, in training and in evaluation, the batches that a copy of these rows gives."""
    rows = torch.tensor([1, 2, 3, 5, 8, 13, 21])
    labels = torch.arange(EXAMPLES, dtype=torch.int16)
    part = Minibatches(images(), labels, rows, batch_size=4, seed=0, scale=1)
    copy = Minibatches(images()[rows], labels[rows], batch_size=4, seed=0, scale=1)
    assert (part.steps_per_epoch, part.inputs.batch_size) == (2, 4)
    assert sorted(order(part)) == rows.tolist()
    assert order(part, 3) == order(copy, 3)
    evaluated = EvaluationBatches(images(), labels, rows, batch_size=3)
    assert [len(kept) for _, kept in evaluated] == [3, 3, 1]
    for ours, theirs in (
        *zip(minibatches(part), minibatches(copy), strict=True),
        *zip(evaluated, EvaluationBatches(images()[rows], labels[rows], batch_size=3), strict=True),
    ):
        assert torch.equal(ours[0], theirs[0])
        assert torch.equal(ours[1], theirs[1])
        assert ours[1].dtype == torch.int64


def test_minibatches_stay_valid() -> None:
    """A minibatch that is kept is not written over by the next."""
    batches = minibatches(loader())
    assert all(torch.equal(stored, images()[labels].flatten(1)) for stored, labels in batches)


def test_a_memory_map_gives_the_same_batches(tmp_path: Path) -> None:
    """Data mapped from a file, behind a header, gives the batches of data in memory, and the file stays as it is."""
    path = tmp_path / "images"
    content = b"a header of 16 B" + images().numpy().tobytes()
    path.write_bytes(content)
    mapped = torch.from_numpy(np.memmap(path, np.uint8, mode="c", offset=16, shape=(EXAMPLES, 2, 3)))
    batches = Minibatches(mapped, torch.arange(EXAMPLES), batch_size=4, seed=0, scale=255)
    for ours, theirs in zip(minibatches(batches), minibatches(loader()), strict=True):
        assert torch.equal(ours[0], theirs[0])
    assert path.read_bytes() == content


def test_the_data_is_neither_copied_nor_converted_whole() -> None:
    """A minibatch reads the stored tensor as it is then: a change made after the loaders were built shows."""
    raw = images()
    training = Minibatches(raw, torch.arange(EXAMPLES), batch_size=4, seed=0, scale=1)
    test = EvaluationBatches(raw, torch.arange(EXAMPLES), batch_size=4)
    raw.fill_(7)
    assert all((stored == 7).all() for stored, _ in [*minibatches(training), *test])


def test_evaluation_keeps_the_order() -> None:
    """Evaluation yields the data from first to last, the last batch short, and has no sampler for Lightning to find."""
    batches = EvaluationBatches(images(), torch.arange(EXAMPLES), batch_size=10)
    assert [len(labels) for _, labels in batches] == [10, 10, 3]
    assert len(batches) == 3
    assert torch.cat([labels for _, labels in batches]).tolist() == list(range(EXAMPLES))
    assert torch.equal(torch.cat([stored for stored, _ in batches]), images().flatten(1))
    assert not hasattr(batches, "sampler")


def test_evaluation_is_shared_out() -> None:
    """Minibatches in turn, the short last one included; where there are fewer of them than sharers, fewer shares."""
    batches = EvaluationBatches(images(), torch.arange(EXAMPLES), batch_size=5)
    shares = batches.shares(3)
    assert [[len(labels) for _, labels in share] for share in shares] == [[5, 5], [5, 3], [5]]
    assert [len(share) for share in shares] == [2, 2, 1]
    everything = torch.cat([labels for share in shares for _, labels in share])
    assert sorted(everything.tolist()) == list(range(EXAMPLES))
    assert [len(share) for share in batches.shares(9)] == [1, 1, 1, 1, 1]


def test_chunks_train_as_the_plain_loop_does() -> None:
    """Trained chunk by chunk, the weights equal those of a plain loop over slices of the shuffled data, bit for bit."""
    batches = loader(batch_size=5, seed=3)
    chunked = SoftmaxRegression(torch.zeros(EXAMPLES, 6), torch.zeros(EXAMPLES))
    plain = SoftmaxRegression(torch.zeros(EXAMPLES, 6), torch.zeros(EXAMPLES))
    for epoch in range(3):
        train(chunked, [(stored / 255, labels) for stored, labels in minibatches(batches, epoch)])
        shuffled = batches.order(epoch)
        slices = [shuffled[start : start + 5] for start in range(0, EXAMPLES, 5)]
        train(plain, [(images()[positions].flatten(1) / 255, positions) for positions in slices])
    assert torch.equal(chunked.weight, plain.weight)
    assert chunked.weight.any()


def train(model: SoftmaxRegression, batches: list[tuple[Tensor, Tensor]]) -> None:
    """Take one plain SGD step a batch."""
    optimizer = SGD(model.parameters(), 0.5)
    for features, labels in batches:
        model.weight.grad = loss_and_gradients(features, labels, model.weight, model.bias).weight
        optimizer.step(batch_size=len(labels))


@pytest.mark.parametrize("count", [2, 3, 5])
def test_shares_of_every_minibatch_make_it_up(count: int) -> None:
    """In their order, each example once; where there are more shares than examples some are empty, and none is left."""
    shares = [minibatches(loader(share=(number, count)), epoch=1) for number in range(count)]
    for whole, *parts in zip(minibatches(loader(), epoch=1), *shares, strict=True):
        assert max(len(labels) for _, labels in parts) - min(len(labels) for _, labels in parts) <= 1
        for tensor, pieces in zip(whole, zip(*parts, strict=True), strict=True):
            assert torch.equal(torch.cat(pieces), tensor)


@pytest.mark.parametrize("rows", [None, torch.arange(0, EXAMPLES, 2)])
def test_evaluation_has_shares_of_every_minibatch(rows: Tensor | None) -> None:
    """All processes go through equally many, the short last one included, whatever is left for them."""
    data = images(), torch.arange(EXAMPLES, dtype=torch.uint8), rows
    parts = [list(EvaluationBatches(*data, batch_size=5, share=(number, 4))) for number in range(4)]
    for whole, *shares in zip(EvaluationBatches(*data, batch_size=5), *parts, strict=True):
        assert torch.equal(torch.cat([stored for stored, _ in shares]), whole[0])
        assert torch.equal(torch.cat([labels for _, labels in shares]), whole[1])
