"""Shared by all scripts: the data of the experiment, the command line, and the files that a run writes.

The dense experiment is configs/fashion-mnist.toml: 784-300-100-100-100-10, ReLU, Glorot uniform weights and zero biases, SGD
without momentum, batches of 32. The small convolutional network is benches/small-cnn.toml, with Adam. The first 5,000 training
images are used for validation. The training images are shuffled
before every epoch, validation runs after every epoch, and the test set is evaluated once at the end. As in Kiln, an epoch
includes the incomplete last batch, and its training loss and accuracy are averages over all its batches.

A script writes `history.csv` and `report.json`. On standard output it prints one line of JSON per epoch with the training
time (shuffling and steps, without validation) and a last line with the result of the run.
"""

import argparse
import csv
import gzip
import json
import pathlib
import time

import numpy as np

BATCH = 32
CLASSES = 10
VALIDATION_ROWS = 5000


def arguments(description, learning_rate=0.01, **several):
    """Parses the command line of a script. `several` maps options that take comma-separated lists to their types."""
    parser = argparse.ArgumentParser(description=description.splitlines()[0])
    parser.add_argument("--data", type=pathlib.Path, default="data/fashion-mnist", help="directory of the four .gz files")
    parser.add_argument("--out", type=pathlib.Path, required=True, help="output directory")
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--seed", type=int, default=42)
    if several:
        for name, kind in several.items():
            parser.add_argument(f"--{name.replace('_', '-')}", type=lambda text, kind=kind: [kind(v) for v in text.split(",")])
    else:
        parser.add_argument("--learning-rate", type=float, default=learning_rate)
        parser.add_argument("--hidden", type=int, default=3, help="number of hidden layers of 100 units of the dense network, after the first, which has 300")
    return parser.parse_args()


def widths(hidden):
    """Returns the width of each layer, from the pixels to the classes."""
    return [784, 300] + [100] * hidden + [CLASSES]


def load(directory):
    """Returns training, validation and test images with labels: float32 pixels from 0 to 1, int32 labels."""
    images, labels = read(directory, "train")
    test = read(directory, "t10k")
    head = VALIDATION_ROWS
    return (images[head:], labels[head:]), (images[:head], labels[:head]), test


def read(directory, part):
    with gzip.open(directory / f"{part}-images-idx3-ubyte.gz") as file:
        pixels = np.frombuffer(file.read(), np.uint8, offset=16).reshape(-1, 784)
    with gzip.open(directory / f"{part}-labels-idx1-ubyte.gz") as file:
        labels = np.frombuffer(file.read(), np.uint8, offset=8)
    return pixels / np.float32(255), labels.astype(np.int32)


class Log:
    """Times and prints the epochs and collects the history."""

    def __init__(self, out, steps):
        self.out = out
        self.steps = steps
        self.rows = []
        out.mkdir(parents=True, exist_ok=True)

    def begin_training(self):
        self.begun = time.perf_counter()

    def end_training(self):
        """Call this after the last step of the epoch has been computed, not only dispatched."""
        self.seconds = time.perf_counter() - self.begun

    def end_epoch(self, loss, accuracy, val_loss, val_accuracy):
        row = dict(epoch=len(self.rows) + 1, loss=loss, accuracy=accuracy, val_loss=val_loss, val_accuracy=val_accuracy)
        self.rows.append(row | dict(seconds=self.seconds))
        print(json.dumps(self.rows[-1] | dict(ms_a_step=self.seconds * 1e3 / self.steps)), flush=True)

    def end_run(self, probabilities, labels):
        """Writes the history and the test report."""
        report = test_report(probabilities, labels)
        write_history(self.out / "history.csv", self.rows)
        (self.out / "report.json").write_text(json.dumps(report, indent=2))
        val_accuracy = self.rows[-1]["val_accuracy"]
        print(json.dumps(dict(done=True, val_accuracy=val_accuracy, test_accuracy=report["accuracy"])), flush=True)


def write_history(path, rows):
    with open(path, "w", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)


def test_report(probabilities, labels):
    """Returns loss, accuracy, the confusion matrix, and the precision and recall of each class."""
    probabilities = np.asarray(probabilities, np.float64)
    predicted = probabilities.argmax(1)
    of_label = probabilities[np.arange(len(labels)), labels]
    confusion = np.zeros((CLASSES, CLASSES), int)
    np.add.at(confusion, (labels, predicted), 1)
    right = confusion.diagonal()
    return dict(
        examples=len(labels),
        loss=float(-np.log(np.maximum(of_label, 1e-30)).mean()),
        accuracy=float(right.sum() / len(labels)),
        precision=(right / np.maximum(confusion.sum(0), 1)).tolist(),
        recall=(right / np.maximum(confusion.sum(1), 1)).tolist(),
        confusion=confusion.tolist(),
    )
