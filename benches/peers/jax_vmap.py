"""A sweep of the experiment in JAX. `vmap` trains all learning rates of one depth together; depths run one by one.

Runs of the same depth have the same shapes, so one program can train them on stacked weights and shared batches. Runs of
different depths cannot share a program. Each run writes its own history and test report.
"""

import functools

import jax
import numpy as np

import experiment
import jax_network


def main():
    arguments = experiment.arguments(__doc__, learning_rates=float, hidden=int)
    data = [tuple(map(jax.device_put, part)) for part in experiment.load(arguments.data)]
    for hidden in arguments.hidden:
        train(arguments, hidden, *data)


def train(arguments, hidden, training, validation, test):
    x, y = training
    rates = np.array(arguments.learning_rates, np.float32)
    one = jax_network.initial(experiment.widths(hidden), jax.random.key(arguments.seed))
    parameters = jax.tree.map(lambda p: jax.numpy.stack([p] * len(rates)), one)
    epoch = functools.partial(jax_network.epoch, batch=experiment.BATCH)
    train_epoch = jax.jit(jax.vmap(epoch, (0, 0, None, None, None)), donate_argnums=0)
    losses = jax.jit(jax.vmap(jax_network.losses, (0, None, None)))
    steps = -(-len(x) // experiment.BATCH)
    logs = [experiment.Log(arguments.out / f"{hidden}-{rate}", steps) for rate in arguments.learning_rates]
    generator = np.random.default_rng(arguments.seed)

    for _ in range(arguments.epochs):
        for log in logs:
            log.begin_training()
        order = generator.permutation(len(x)).astype(np.int32)
        parameters, metrics = jax.block_until_ready(train_epoch(parameters, rates, x, y, order))
        for log in logs:
            log.end_training()
        val_losses, rights = losses(parameters, *validation)
        rows = len(validation[0])
        for log, loss, accuracy, val_loss, right in zip(logs, *metrics, val_losses, rights):
            log.end_epoch(float(loss), float(accuracy), float(val_loss) / rows, float(right) / rows)

    forward = jax.jit(jax.vmap(jax_network.forward, (0, None)))
    probabilities = np.asarray(jax.nn.softmax(forward(parameters, test[0])))
    for log, of_one in zip(logs, probabilities):
        log.end_run(of_one, np.asarray(test[1]))


if __name__ == "__main__":
    main()
