"""Reads event files with TensorBoard's own reader and prints them as JSON: python tensorboard.py DIRECTORY"""
import json
import sys
from pathlib import Path

# This file has the name of a module that it imports.
sys.path.pop(0)

from google.protobuf import json_format
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams import plugin_data_pb2

[root] = sys.argv[1:]
found = {}
for file in sorted(Path(root).rglob("*tfevents*")):
    # 0: keeps all values.
    sizes = {"scalars": 0, "images": 0, "tensors": 0}
    events = EventAccumulator(str(file), size_guidance=sizes)
    events.Reload()
    tags = events.Tags()
    hyperparameters = {}
    for tag, content in events.summary_metadata.items():
        if content.plugin_data.plugin_name == "hparams":
            data = plugin_data_pb2.HParamsPluginData.FromString(content.plugin_data.content)
            hyperparameters[tag] = json_format.MessageToDict(data)
    found[str(file.parent.relative_to(root))] = {
        "scalars": {
            tag: [[event.step, event.value] for event in events.Scalars(tag)] for tag in tags["scalars"]
        },
        "images": {tag: [[image.width, image.height] for image in events.Images(tag)] for tag in tags["images"]},
        "hyperparameters": hyperparameters,
    }
print(json.dumps(found))
