"""Training steps of the convolutional networks of `cargo bench -p kiln-train` in PyTorch: milliseconds, the
best and the median of many.

    python benches/peers/pytorch_networks.py [THREADS [SECONDS [NETWORK…]]]

A step has 32, 64 or 128 images: forward, backward and the update of the configuration's optimizer, in PyTorch's default layout
and in channels_last, which is usually its faster one for convolutions. Each is measured for some seconds.
"""

import statistics
import sys
import time

import torch
from torch import nn


class Residual(nn.Module):
    def __init__(self, layers, shortcut=(), activation=torch.relu):
        super().__init__()
        self.layers, self.shortcut = nn.Sequential(*layers), nn.Sequential(*shortcut)
        self.activation = activation

    def forward(self, x):
        return self.activation(self.layers(x) + self.shortcut(x))


def conv(channels, filters, size=3, stride=1):
    return [nn.Conv2d(channels, filters, size, stride, size // 2, bias=False), nn.BatchNorm2d(filters)]


def small_cnn(_):
    return nn.Sequential(
        nn.Conv2d(1, 32, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(32, 64, 3), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(1600, 128), nn.ReLU(), nn.Dropout(0.5), nn.Linear(128, 10))


def vgg(_):
    return nn.Sequential(
        *conv(1, 32), nn.ReLU(), *conv(32, 32), nn.ReLU(), nn.MaxPool2d(2),
        *conv(32, 64), nn.ReLU(), *conv(64, 64), nn.ReLU(), nn.MaxPool2d(2),
        *conv(64, 128), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(128, 10))


def cnn(_):
    """The network of configs/fashion-mnist-cnn.toml."""
    def stage(channels, filters):
        layers = conv(channels, filters)
        block = Residual([*conv(filters, filters), nn.GELU()], activation=nn.Identity())
        return [layers[0], nn.MaxPool2d(2), layers[1], nn.GELU(), block]
    return nn.Sequential(
        *conv(1, 16), nn.GELU(), *stage(16, 32), *stage(32, 64), *stage(64, 128),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(128, 10))


def resnet(blocks, inputs):
    def block(channels, filters, stride=1):
        layers = [*conv(channels, filters, 3, stride), nn.ReLU(), *conv(filters, filters)]
        return Residual(layers, conv(channels, filters, 1, stride) if stride > 1 else ())
    layers = [*conv(inputs, 16), nn.ReLU()]
    for stage, filters in enumerate((16, 32, 64)):
        before = filters // 2 if stage else filters
        layers += [block(before, filters, 2 if stage else 1)]
        layers += [block(filters, filters) for _ in range(blocks - 1)]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 10))


def sgd(parameters):
    return torch.optim.SGD(parameters, lr=1e-6, momentum=0.9, nesterov=True, weight_decay=5e-4)


def adam(parameters):
    return torch.optim.Adam(parameters, lr=1e-6)


NETWORKS = {
    "fashion-mnist-small-cnn": (small_cnn, adam), "fashion-mnist-vgg": (vgg, sgd),
    "fashion-mnist-resnet8": (lambda inputs: resnet(1, inputs), sgd),
    "fashion-mnist-resnet20": (lambda inputs: resnet(3, inputs), sgd),
    "fashion-mnist-cnn": (cnn, sgd),
}
GRAY, COLOR = (1, 28, 28), (3, 32, 32)


def measure(name, image, batch, seconds):
    make, optimizer = NETWORKS[name]
    labels = torch.arange(batch) % 10
    cells = []
    for layout in (torch.contiguous_format, torch.channels_last):
        network = make(image[0]).to(memory_format=layout)
        images = torch.rand(batch, *image).to(memory_format=layout)
        rule, loss = optimizer(network.parameters()), nn.CrossEntropyLoss()
        times, end = [], time.perf_counter() + seconds
        while time.perf_counter() < end:
            start = time.perf_counter()
            rule.zero_grad(set_to_none=True)
            loss(network(images), labels).backward()
            rule.step()
            times.append(1e3 * (time.perf_counter() - start))
        cells.append(f"{min(times):8.2f} {statistics.median(times):8.2f}")
    channels, height, width = image
    label = f"{name}, {height}×{width}×{channels}, batch {batch}"
    print(f"{label:44} default {cells[0]}   channels_last {cells[1]}", flush=True)


def main():
    torch.set_num_threads(int(sys.argv[1]) if len(sys.argv) > 1 else 1)
    seconds = float(sys.argv[2]) if len(sys.argv) > 2 else 6
    cases = [(name, GRAY) for name in NETWORKS] + [("fashion-mnist-resnet20", COLOR)]
    chosen = sys.argv[3:] or NETWORKS
    for name, image in cases:
        if name not in chosen:
            continue
        for batch in (32, 64, 128):
            measure(name, image, batch, seconds)


if __name__ == "__main__":
    main()
