"""Prints the classes of a folder of pictures and the number of pictures in each, as torchvision and Keras find them.

Skips packages that are not installed. The output is one line of JSON per package.

    python benches/peers/image_folder_classes.py photos
"""

import argparse
import collections
import json
import os
import pathlib

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=pathlib.Path, help="directory of one directory per class")
    folder = parser.parse_args().folder
    for count in (torchvision_counts, keras_counts):
        try:
            package, result = count(folder)
        except ImportError:
            continue
        except Exception as error:
            package, result = count.__name__.removesuffix("_counts"), {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps({"package": package} | result, ensure_ascii=False))


def torchvision_counts(folder):
    import torchvision

    pictures = torchvision.datasets.ImageFolder(folder)
    numbers = collections.Counter(pictures.targets)
    return f"torchvision {torchvision.__version__}", summary(pictures.classes, [numbers[row] for row in range(len(pictures.classes))])


def keras_counts(folder):
    import keras
    import tensorflow

    # The pictures are not decoded: only the names and labels are counted.
    pictures = keras.utils.image_dataset_from_directory(folder, batch_size=None, image_size=(8, 8), shuffle=False, verbose=False)
    classes = pictures.class_names
    numbers = collections.Counter(pathlib.Path(path).relative_to(folder).parts[0] for path in pictures.file_paths)
    return f"keras {keras.__version__}, tensorflow {tensorflow.__version__}", summary(classes, [numbers[name] for name in classes])


def summary(classes, counts):
    return {"pictures": sum(counts), "classes": dict(zip(classes, counts))}


if __name__ == "__main__":
    main()
