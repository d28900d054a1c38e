"""Computes an ONNX file with ONNX Runtime and prints the largest difference from predictions.csv.

python onnx.py FILE IMAGES PREDICTIONS floats|bytes|normalized probabilities|logits

IMAGES is an IDX file; predictions are in its order. `normalized` divides by 255.
"""
import csv
import json
import sys

# This file has the name of a module that it imports.
sys.path.pop(0)

import numpy as np
import onnx
import onnxruntime

file, images, predictions, values, output = sys.argv[1:]
model = onnx.load(file)
onnx.checker.check_model(model, full_check=True)
metadata = {entry.key: entry.value for entry in model.metadata_props}
classes = json.loads(metadata["kiln.class_names"])
shape = [int(metadata[f"kiln.{side}"]) for side in ("channels", "height", "width")]

with open(images, "rb") as source:
    content = source.read()
pixels = np.frombuffer(content, np.uint8, offset=4 + 4 * content[3]).reshape([-1, *shape])
inputs = {"bytes": pixels, "floats": pixels.astype(np.float32)}
inputs["normalized"] = inputs["floats"] / np.float32(255)
with open(predictions, newline="") as source:
    rows = list(csv.DictReader(source))
expected = np.array([[float(row[name]) for name in classes] for row in rows])

session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
[description] = session.get_inputs()
assert description.name == "image" and description.shape == ["n", *shape], description
[description] = session.get_outputs()
assert description.name == output and description.shape == ["n", len(classes)], description


def probabilities(batch):
    [found] = session.run(None, {"image": batch})
    if output == "logits":
        found = np.exp(found - found.max(axis=1, keepdims=True))
        found /= found.sum(axis=1, keepdims=True)
    return found


for size in (1, 7, len(pixels)):
    batches = [inputs[values][at : at + size] for at in range(0, len(pixels), size)]
    found = np.concatenate([probabilities(batch) for batch in batches])
    print(np.abs(found - expected).max())
