"""Reads a folder of pictures as PyTorch's tutorials do: `ImageFolder` and `DataLoader` of torchvision with worker processes.

Every picture is decoded, resized with antialiasing to a square, converted to a tensor and normalized. Prints one line of
JSON per epoch with the pictures per second that the training loop would receive. The first line is that of the listing.

    python benches/peers/image_folder.py photos --size 64 --epochs 2
"""

import argparse
import json
import os
import pathlib
import time

import PIL.Image
import torch
import torchvision
from torchvision import transforms


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=pathlib.Path, help="directory of one directory per class")
    parser.add_argument("--size", type=int, default=64, help="height and width of the tensors")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--epochs", type=int, default=1)
    parser.add_argument("--max-pixels", type=int, default=50_000_000, help="skip larger pictures, as Kiln does")
    arguments = parser.parse_args()
    PIL.Image.MAX_IMAGE_PIXELS = None
    torch.set_num_threads(1)
    torch.manual_seed(42)

    start = time.perf_counter()
    size = (arguments.size, arguments.size)
    pictures = torchvision.datasets.ImageFolder(
        arguments.folder,
        transforms.Compose(
            [transforms.Resize(size, antialias=True), transforms.ToTensor(), transforms.Normalize([0.5] * 3, [0.5] * 3)]
        ),
        is_valid_file=lambda path: has_at_most(arguments.max_pixels, path),
    )
    listing = time.perf_counter() - start
    versions = {"torch": torch.__version__, "torchvision": torchvision.__version__}
    print(json.dumps({"pictures": len(pictures), "classes": len(pictures.classes), "listing_seconds": listing} | versions))

    loader = torch.utils.data.DataLoader(
        pictures,
        batch_size=arguments.batch_size,
        shuffle=True,
        num_workers=arguments.workers,
        persistent_workers=arguments.workers > 0,
    )
    for epoch in range(arguments.epochs):
        start = time.perf_counter()
        count = sum(len(labels) for _, labels in loader)
        seconds = time.perf_counter() - start
        load = os.getloadavg()[0]
        print(json.dumps({"epoch": epoch + 1, "seconds": seconds, "pictures_per_second": count / seconds, "load": load}), flush=True)


def has_at_most(pixels, path):
    if not path.lower().endswith(torchvision.datasets.folder.IMG_EXTENSIONS):
        return False
    with PIL.Image.open(path) as picture:
        return picture.width * picture.height <= pixels


if __name__ == "__main__":
    main()
