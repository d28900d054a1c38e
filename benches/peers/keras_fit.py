"""The dense experiment in Keras on TensorFlow, with `compile` and `fit` as in the library's tutorials.

The experiment uses the defaults of Keras: Glorot uniform weights, zero biases, shuffling before every epoch.
"""

import os

os.environ["KERAS_BACKEND"] = "tensorflow"
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras

import experiment


class Epochs(keras.callbacks.Callback):
    """Reports the epochs to the log. In `fit`, the training of an epoch ends when its validation begins."""

    def __init__(self, log):
        super().__init__()
        self.log = log

    def on_epoch_begin(self, epoch, logs=None):
        self.log.begin_training()

    def on_test_begin(self, logs=None):
        self.log.end_training()

    def on_epoch_end(self, epoch, logs=None):
        names = ["loss", "accuracy", "val_loss", "val_accuracy"]
        self.log.end_epoch(*(float(logs[name]) for name in names))


def main():
    arguments = experiment.arguments(__doc__)
    _, *hidden, classes = experiment.widths(arguments.hidden)
    layers = [keras.layers.Dense(units, activation="relu") for units in hidden]
    layers.append(keras.layers.Dense(classes, activation="softmax"))
    train(arguments, layers, keras.optimizers.SGD)


def train(arguments, layers, optimizer, image=(784,)):
    """Trains these layers on images of this shape."""
    keras.utils.set_random_seed(arguments.seed)
    (x, y), validation, test = [(images.reshape(-1, *image), labels) for images, labels in experiment.load(arguments.data)]
    model = keras.Sequential([keras.layers.Input(image), *layers])
    model.compile(
        loss="sparse_categorical_crossentropy",
        optimizer=optimizer(arguments.learning_rate),
        metrics=["accuracy"],
    )
    log = experiment.Log(arguments.out, steps=-(-len(x) // experiment.BATCH))
    model.fit(
        x,
        y,
        batch_size=experiment.BATCH,
        epochs=arguments.epochs,
        validation_data=validation,
        verbose=0,
        callbacks=[Epochs(log)],
    )
    log.end_run(model.predict(test[0], verbose=0), test[1])


if __name__ == "__main__":
    main()
