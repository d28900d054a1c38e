"""The small convolutional network in PyTorch, eager mode, one thread.

The layout `channels_last` is the faster one for this network: see `pytorch_networks.py`.
"""

import torch
from torch import nn

import experiment
import pytorch_eager


def main():
    arguments = experiment.arguments(__doc__, learning_rate=0.001)
    pytorch_eager.train(arguments, network, torch.optim.Adam, image=(1, 28, 28), layout=torch.channels_last)


def network():
    return nn.Sequential(
        nn.Conv2d(1, 32, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(32, 64, 3), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(1600, 128), nn.ReLU(), nn.Dropout(0.5), nn.Linear(128, 10))


if __name__ == "__main__":
    main()
