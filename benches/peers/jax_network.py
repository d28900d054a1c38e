"""The network and the training step, shared by the two JAX scripts."""

import jax
import jax.numpy as jnp


def initial(widths, key):
    """Returns Glorot uniform weights and zero biases as a list of pairs, one per layer."""
    glorot = jax.nn.initializers.glorot_uniform()
    shapes = list(zip(widths, widths[1:]))
    return [(glorot(key, shape), jnp.zeros(shape[1])) for key, shape in zip(jax.random.split(key, len(shapes)), shapes)]


def forward(parameters, x):
    *hidden, (weights, biases) = parameters
    for w, b in hidden:
        x = jax.nn.relu(x @ w + b)
    return x @ weights + biases


def losses(parameters, x, y):
    """Returns the sum of the losses and the number of correctly classified samples."""
    logits = forward(parameters, x)
    of_label = jnp.take_along_axis(jax.nn.log_softmax(logits), y[:, None], 1)
    return -of_label.sum(), (logits.argmax(1) == y).sum()


def step(parameters, rate, x, y):
    """Performs one SGD step on the mean loss of a batch. Also returns the sums of loss and correct samples before it."""

    def mean(parameters):
        loss, right = losses(parameters, x, y)
        return loss / len(x), (loss, right)

    gradients, counts = jax.grad(mean, has_aux=True)(parameters)
    return jax.tree.map(lambda p, g: p - rate * g, parameters, gradients), counts


def epoch(parameters, rate, x, y, order, batch):
    """Performs all steps of an epoch: one scan over the complete batches, then the incomplete last batch."""
    whole = len(order) // batch * batch

    def scanned(parameters, rows):
        return step(parameters, rate, x[rows], y[rows])

    parameters, counts = jax.lax.scan(scanned, parameters, order[:whole].reshape(-1, batch))
    loss, right = (count.sum() for count in counts)
    if whole < len(order):
        parameters, last = scanned(parameters, order[whole:])
        loss, right = loss + last[0], right + last[1]
    return parameters, (loss / len(order), right / len(order))
