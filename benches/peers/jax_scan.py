"""The experiment in JAX. Each epoch is compiled into one `lax.scan`.

This is the fastest common way to train a network of this size in Python, because no Python code runs between the first
and the last step of an epoch. The time of the first epoch, and of the whole run, includes the compilation.
"""

import functools

import jax
import numpy as np

import experiment
import jax_network


def main():
    arguments = experiment.arguments(__doc__)
    (x, y), validation, test = [tuple(map(jax.device_put, part)) for part in experiment.load(arguments.data)]
    parameters = jax_network.initial(experiment.widths(arguments.hidden), jax.random.key(arguments.seed))
    train_epoch = jax.jit(functools.partial(jax_network.epoch, batch=experiment.BATCH), donate_argnums=0)
    losses = jax.jit(jax_network.losses)
    log = experiment.Log(arguments.out, steps=-(-len(x) // experiment.BATCH))
    # NumPy draws the order, because JAX's permutation sorts and is slower.
    generator = np.random.default_rng(arguments.seed)

    for _ in range(arguments.epochs):
        log.begin_training()
        order = generator.permutation(len(x)).astype(np.int32)
        parameters, metrics = jax.block_until_ready(train_epoch(parameters, arguments.learning_rate, x, y, order))
        log.end_training()
        val_loss, right = losses(parameters, *validation)
        rows = len(validation[0])
        log.end_epoch(*map(float, metrics), float(val_loss) / rows, float(right) / rows)

    probabilities = jax.nn.softmax(jax_network.forward(parameters, test[0]))
    log.end_run(probabilities, np.asarray(test[1]))


if __name__ == "__main__":
    main()
