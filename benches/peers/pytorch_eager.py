"""The dense experiment in PyTorch, eager mode, one thread.

Eager mode is the default of PyTorch. One thread, because both programs are measured on one core.
"""

import torch
from torch import nn

import experiment


def main():
    arguments = experiment.arguments(__doc__)
    train(arguments, lambda: network(experiment.widths(arguments.hidden)), torch.optim.SGD)


def train(arguments, network, optimizer, image=(784,), layout=torch.contiguous_format):
    """Trains what `network()` returns, on images of this shape and memory layout."""
    torch.set_num_threads(1)
    torch.manual_seed(arguments.seed)
    (x, y), validation, test = [
        (torch.from_numpy(images).reshape(-1, *image).contiguous(memory_format=layout), torch.from_numpy(labels).long())
        for images, labels in experiment.load(arguments.data)
    ]
    model = network().to(memory_format=layout)
    optimizer = optimizer(model.parameters(), lr=arguments.learning_rate)
    log = experiment.Log(arguments.out, steps=-(-len(x) // experiment.BATCH))

    for _ in range(arguments.epochs):
        model.train()
        log.begin_training()
        loss_sum, right = 0.0, 0
        for rows in torch.randperm(len(x)).split(experiment.BATCH):
            labels = y[rows]
            logits = model(x[rows])
            loss = nn.functional.cross_entropy(logits, labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            loss_sum += loss.item() * len(rows)
            right += (logits.argmax(1) == labels).sum().item()
        log.end_training()
        log.end_epoch(loss_sum / len(x), right / len(x), *evaluate(model, *validation))

    log.end_run(logits_of(model, test[0]).softmax(1).numpy(), test[1].numpy())


def network(widths):
    layers = []
    for inputs, outputs in zip(widths, widths[1:]):
        layer = nn.Linear(inputs, outputs)
        nn.init.xavier_uniform_(layer.weight)
        nn.init.zeros_(layer.bias)
        layers += [layer, nn.ReLU()]
    return nn.Sequential(*layers[:-1])


@torch.inference_mode()
def logits_of(model, x):
    """In parts of 1,000 images, because the feature maps of all would not fit into the cache, or into memory."""
    model.eval()
    return torch.cat([model(part) for part in x.split(1000)])


@torch.inference_mode()
def evaluate(model, x, y):
    logits = logits_of(model, x)
    loss = nn.functional.cross_entropy(logits, y)
    return loss.item(), (logits.argmax(1) == y).double().mean().item()


if __name__ == "__main__":
    main()
