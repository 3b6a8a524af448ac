"""The builds that ours is measured against: the same mathematics in a bare NumPy loop, and a plain Lightning build."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from softmax_regression.data.datasets import Dataset, Examples

Weights = npt.NDArray[np.float32]


def numpy_loop(dataset: Dataset, epochs: int, batch_size: int = 256, learning_rate: float = 0.1) -> float:
    """Train in float32 with nothing around the arithmetic; measure the test set every epoch; return its accuracy.

    Minibatches are gathered from the bytes and divided by 255, as ours are; loss and accuracy are summed, as ours are.
    """
    generator = np.random.default_rng(0)
    images, labels = dataset.train.images.reshape(len(dataset.train), -1), dataset.train.labels.astype(np.int64)
    weight = generator.normal(0, 0.01, (dataset.num_classes, images.shape[1])).astype(np.float32)
    bias = np.zeros(dataset.num_classes, np.float32)
    accuracy = 0.0
    for _ in range(epochs):
        order = generator.permutation(len(images))
        total, correct = 0.0, 0
        for start in range(0, len(order), batch_size):
            chosen = order[start : start + batch_size]
            features = images[chosen].astype(np.float32)
            features /= np.float32(255)
            losses, hits, errors = _forward(features, labels[chosen], weight, bias)
            total, correct = total + losses, correct + hits
            weight -= np.float32(learning_rate / len(chosen)) * (errors.T @ features)
            bias -= np.float32(learning_rate / len(chosen)) * errors.sum(0)
        accuracy = _measure(dataset.test, weight, bias)
    return accuracy


def lightning_build(dataset: Dataset, epochs: int) -> None:
    """Train as most tutorials do: DataLoader, torchvision's ToTensor per image, nn.Linear, cross_entropy, SGD."""
    import pytorch_lightning as pl
    import torch
    from torch import nn
    from torch.utils.data import DataLoader
    from torchvision.transforms import ToTensor

    class Images(torch.utils.data.Dataset[Any]):
        def __init__(self, examples: Examples) -> None:
            self.examples, self.transform = examples, ToTensor()

        def __len__(self) -> int:
            return len(self.examples)

        def __getitem__(self, index: int) -> tuple[Any, int]:
            from PIL import Image

            return self.transform(Image.fromarray(self.examples.images[index])), int(self.examples.labels[index])

    class Plain(pl.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(dataset.train.images[0].size, dataset.num_classes)

        def _loss(self, batch: Any, name: str) -> Any:
            logits = self.layer(batch[0].flatten(1))
            loss = nn.functional.cross_entropy(logits, batch[1])
            self.log(f"{name}_loss", loss, on_step=False, on_epoch=True)
            self.log(f"{name}_accuracy", (logits.argmax(1) == batch[1]).float().mean(), on_step=False, on_epoch=True)
            return loss

        def training_step(self, batch: Any, index: int) -> Any:
            return self._loss(batch, "train")

        def validation_step(self, batch: Any, index: int) -> None:
            self._loss(batch, "test")

        def configure_optimizers(self) -> Any:
            return torch.optim.SGD(self.parameters(), 0.1)

    quiet: dict[str, Any] = {"enable_progress_bar": False, "enable_model_summary": False, "enable_checkpointing": False}
    trainer = pl.Trainer(max_epochs=epochs, accelerator="cpu", logger=False, num_sanity_val_steps=0, **quiet)
    training = DataLoader(Images(dataset.train), 256, shuffle=True)
    trainer.fit(Plain(), training, DataLoader(Images(dataset.test), 256))


def library_accuracy(dataset: Dataset, iterations: int) -> float:
    """Return the test accuracy of scikit-learn's LogisticRegression (lbfgs) on all training examples."""
    import warnings

    from sklearn.linear_model import LogisticRegression

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that it has not converged after so few iterations
        model = LogisticRegression(max_iter=iterations).fit(_features(dataset.train), dataset.train.labels)
    return float(model.score(_features(dataset.test), dataset.test.labels))


# The least that does the job, as a process of its own: read, train ten epochs with autograd, evaluate, print.
MINIMAL_SCRIPT = """
import sys
import numpy as np
import torch
def read(part):
    images = np.load(f"{sys.argv[1]}/{part}-images.npy").reshape(-1, 784)
    labels = np.load(f"{sys.argv[1]}/{part}-labels.npy")
    return torch.from_numpy(images).float() / 255, torch.from_numpy(labels).long()
(x, y), (test_x, test_y) = read("train"), read("test")
model = torch.nn.Linear(784, 10)
optimizer = torch.optim.SGD(model.parameters(), 0.1)
for epoch in range(10):
    for chosen in torch.randperm(len(x)).split(256):
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(model(x[chosen]), y[chosen]).backward()
        optimizer.step()
print((model(test_x).argmax(1) == test_y).float().mean().item())
"""


def _forward(features: Weights, labels: npt.NDArray[np.int64], weight: Weights, bias: Weights) -> tuple[Any, Any, Any]:
    """Return summed loss, hits, and softmax(z) - onehot(y)."""
    logits = features @ weight.T + bias
    rows = np.arange(len(labels))
    hits = np.count_nonzero(logits.argmax(1) == labels)
    logits -= logits.max(1, keepdims=True)
    picked = logits[rows, labels]
    errors = np.exp(logits)
    total = errors.sum(1, keepdims=True)
    losses = float((np.log(total[:, 0]) - picked).sum())
    errors /= total
    errors[rows, labels] -= 1
    return losses, hits, errors


def _measure(examples: Examples, weight: Weights, bias: Weights) -> float:
    hits = 0
    for start in range(0, len(examples), 2048):
        block = slice(start, start + 2048)
        features = examples.images[block].reshape(-1, weight.shape[1]).astype(np.float32) / np.float32(255)
        hits += _forward(features, examples.labels[block].astype(np.int64), weight, bias)[1]
    return hits / len(examples)


def _features(examples: Examples) -> Weights:
    return examples.images.reshape(len(examples), -1).astype(np.float32) / np.float32(255)
