"""What the peers have in common: the experiment's data, its command line, and what it leaves.

The experiment is configs/fashion-mnist.toml: 784-300-100-100-100-10, ReLU, Glorot uniform weights and zero biases, SGD
without momentum, batches of 32, the first 5,000 training rows kept for validation, a new order of the rows every epoch,
validation after every epoch, the test set once at the end. As in Kiln, an epoch counts all its rows, the incomplete last
batch too, and keeps the training loss and accuracy of all of its batches.

A peer leaves `history.csv` and `report.json`, and says on standard output, as one line of JSON each, what an epoch's
training took (the shuffle and the steps, without the validation) and, last, how the run ended.
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


def arguments(description, **several):
    """The command line that all peers understand. `several` are options that take values parted by commas."""
    parser = argparse.ArgumentParser(description=description.splitlines()[0])
    parser.add_argument("--data", type=pathlib.Path, default="data/fashion-mnist", help="directory of the four .gz files")
    parser.add_argument("--out", type=pathlib.Path, required=True, help="directory for what the run leaves")
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--seed", type=int, default=42)
    if several:
        for name, kind in several.items():
            parser.add_argument(f"--{name.replace('_', '-')}", type=lambda text, kind=kind: [kind(v) for v in text.split(",")])
    else:
        parser.add_argument("--learning-rate", type=float, default=0.01)
        parser.add_argument("--hidden", type=int, default=3, help="layers of 100 units behind the first of 300")
    return parser.parse_args()


def widths(hidden):
    """The network's layers, from the pixels to the classes."""
    return [784, 300] + [100] * hidden + [CLASSES]


def load(directory):
    """Training, validation and test rows: pixels as float32 between 0 and 1, labels as int32."""
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
    """Times the epochs, tells of them, and keeps the history."""

    def __init__(self, out, steps):
        self.out = out
        self.steps = steps
        self.rows = []
        out.mkdir(parents=True, exist_ok=True)

    def begin_training(self):
        self.begun = time.perf_counter()

    def end_training(self):
        """To be called when the epoch's last step is computed, not only dispatched."""
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
    """Loss and accuracy on the test set, the confusion matrix, and precision and recall of each class."""
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
