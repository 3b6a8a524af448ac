"""Print a digest of the weights after each epoch of the default training: with torch and NumPy alone, in a process.

python digest_of_training.py IMAGES LABELS EPOCHS [NAME=NUMBER ...], the two .npy files as the download stage leaves
them. What must not change a digest can be tried: `threads`; `columns`, a seed to shuffle the features with; `batch`, a
seed to shuffle each minibatch with; `shares`, the number of parts whose gradients are summed; `bytes`, 0 for products
in float64.
"""

import hashlib
import itertools
import sys
from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from softmax_regression.mathematics import products
from softmax_regression.mathematics.batches import Minibatches
from softmax_regression.mathematics.exact import ExactSoftmaxRegression
from softmax_regression.mathematics.sgd import SGD
from softmax_regression.mathematics.softmax import RunningSums, initial_weights
from softmax_regression.numerics.grids import PIXEL_BITS, choose_grids

SEED, BATCH_SIZE, LEARNING_RATE, INIT_STD = 0, 256, 0.1, 0.01


def digests(images: Tensor, labels: Tensor, epochs: int, **options: int) -> Iterator[str]:
    """Yield the digest of weight, bias, mean loss and accuracy after each epoch."""
    torch.set_num_threads(options.get("threads", 1))
    if options.get("bytes", 1) == 0:
        products._multiplies_bytes = lambda: False  # type: ignore[assignment]
    num_features, num_classes = images[0].numel(), int(labels.max()) + 1
    columns = _shuffled(num_features, options.get("columns"))
    weight, bias = initial_weights(
        num_features, num_classes, stream=f"weights of seed {SEED} layer 0", init_std=INIT_STD, bias=True
    )
    grids = choose_grids(PIXEL_BITS, num_features, num_classes, BATCH_SIZE)
    unit = 1 / torch.tensor(255.0, dtype=torch.float64)
    model = ExactSoftmaxRegression(weight[:, columns], bias, unit, grids)
    assert model.bias is not None
    optimizer = SGD(model.parameters(), LEARNING_RATE)
    stored = images.flatten(1)[:, columns]
    batches = Minibatches(stored, labels, batch_size=BATCH_SIZE, seed=SEED, scale=255.0)
    for epoch in range(epochs):
        batches.set_epoch(epoch)
        sums = RunningSums()
        for pixels, classes in itertools.chain.from_iterable(batches):
            order = _shuffled(len(classes), options.get("batch"))
            gradients = []
            for part in order.chunk(options.get("shares", 1)):
                likelihood, *both = model.likelihood_and_gradients(pixels[part], classes[part])
                sums.add(model.losses(likelihood), likelihood.correct)
                gradients.append(both)
            gradient, model.bias.grad = (sum(parts) for parts in zip(*gradients, strict=True))
            model.weight.grad = gradient * model.unit
            optimizer.step(batch_size=len(classes))
        in_order = torch.empty_like(model.weight)
        in_order[:, columns] = model.weight.detach()
        figures = f"{float(sums.mean_loss).hex()} {float(sums.accuracy).hex()}"
        yield digest(in_order, model.bias) + " " + hashlib.sha256(figures.encode()).hexdigest()[:16]


def digest(*arrays: Tensor) -> str:
    """Return 16 hexadecimal digits that stand for the bits of some arrays."""
    hasher = hashlib.sha256()
    for array in arrays:
        hasher.update(array.detach().contiguous().numpy().tobytes())
    return hasher.hexdigest()[:16]


def _shuffled(count: int, seed: int | None) -> Tensor:
    order = np.arange(count)
    return torch.from_numpy(order if seed is None else np.random.default_rng(seed).permutation(order))


def main() -> None:
    """Read the files and print a line an epoch."""
    images, labels, epochs, *options = sys.argv[1:]
    stored, classes = (torch.from_numpy(np.load(path)) for path in (images, labels))
    named = dict(option.split("=") for option in options)
    for line in digests(stored, classes, int(epochs), **{name: int(value) for name, value in named.items()}):
        print(line, flush=True)


if __name__ == "__main__":
    main()
