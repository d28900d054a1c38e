"""The small convolutional network in Keras on TensorFlow, with `compile` and `fit` as in the library's tutorials."""

import keras_fit  # first, because it chooses the backend

import keras
from keras import layers

import experiment


def main():
    arguments = experiment.arguments(__doc__, learning_rate=0.001)
    network = [
        layers.Conv2D(32, 3, activation="relu"), layers.MaxPooling2D(), layers.Conv2D(64, 3, activation="relu"),
        layers.MaxPooling2D(), layers.Flatten(), layers.Dense(128, activation="relu"), layers.Dropout(0.5),
        layers.Dense(experiment.CLASSES, activation="softmax"),
    ]
    keras_fit.train(arguments, network, keras.optimizers.Adam, image=(28, 28, 1))


if __name__ == "__main__":
    main()
