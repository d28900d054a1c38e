"""The passes of convolutions in PyTorch on one thread, for `cargo bench -p kiln-kernels`: milliseconds, the best of many.

    python benches/peers/pytorch_convolution.py

Times are those of the processor, so that other programs do not count. For each layer: the forward pass, and the backward pass with both gradients, in PyTorch's default layout and in
channels_last. GFLOP/s count two operations for each product, without those with the zeros of the padding.
"""

import time

import torch
from torch.nn.functional import conv2d

# Input channels, filters, size, kernel, stride, groups, batch; as in crates/kernels/benches/convolution.rs.
LAYERS = [
    (1, 32, 28, 3, 1, 1, 32),
    (3, 32, 32, 3, 1, 1, 32),
    (4, 32, 28, 3, 1, 1, 32),
    (16, 16, 28, 3, 1, 1, 32),
    (16, 32, 28, 3, 1, 1, 32),
    (32, 32, 28, 3, 1, 1, 32),
    (32, 64, 14, 3, 1, 1, 32),
    (64, 64, 14, 3, 1, 1, 32),
    (64, 128, 7, 3, 1, 1, 32),
    (128, 128, 8, 3, 1, 1, 32),
    (64, 64, 32, 3, 1, 1, 32),
    (32, 64, 28, 3, 2, 1, 32),
    (64, 128, 14, 1, 1, 1, 32),
    (64, 64, 14, 3, 1, 1, 128),
    (32, 32, 28, 3, 1, 32, 32),
]


def best(function, seconds=0.7):
    function()
    shortest, end = float("inf"), time.perf_counter() + seconds
    while time.perf_counter() < end:
        start = time.process_time()
        function()
        shortest = min(shortest, time.process_time() - start)
    return shortest


def operations(channels, filters, size, kernel, stride, groups, batch):
    padding = kernel // 2
    outputs = (size + 2 * padding - kernel) // stride + 1
    taps = sum(0 <= y * stride + i - padding < size for y in range(outputs) for i in range(kernel))
    return 2 * taps * taps * filters * channels // groups * batch


def main():
    torch.set_num_threads(1)
    print(f"{'layer':44} {'forward':>17} {'channels_last':>17} {'backward':>17} {'channels_last':>17}")
    for layer in LAYERS:
        channels, filters, size, kernel, stride, groups, batch = layer
        work = operations(*layer)
        cells = []
        for last in (False, True):
            layout = torch.channels_last if last else torch.contiguous_format
            x = torch.randn(batch, channels, size, size).to(memory_format=layout).requires_grad_()
            w = torch.randn(filters, channels // groups, kernel, kernel).to(memory_format=layout).requires_grad_()

            def forward():
                return conv2d(x, w, stride=stride, padding=kernel // 2, groups=groups)

            with torch.no_grad():
                cells.append((best(forward), work))
            y = forward()
            gradient = torch.randn_like(y)

            def backward():
                torch.autograd.grad(y, (x, w), gradient, retain_graph=True)

            cells.append((best(backward), 2 * work))
        name = f"{channels}→{filters}, {size}², batch {batch}, kernel {kernel}, stride {stride}, groups {groups}"
        texts = [f"{1e3 * seconds:8.3f} {work / seconds / 1e9:4.0f} GF" for seconds, work in cells]
        print(f"{name:44} " + " ".join(f"{texts[index]:>17}" for index in (0, 2, 1, 3)), flush=True)


if __name__ == "__main__":
    main()
