//! The dense network of `configs/fashion-mnist.toml`.

use crate::options::Part;
use crate::samples::{Quantity, Subject};
use crate::setting::{Axis, Peer, Setting, at_root};
use crate::targets::Bound::{AtLeast, AtMost};
use crate::targets::{Target, ratio, value};

const ABOUT: &str = "\
Kiln and the Python scripts in `benches/peers` (JAX, PyTorch, Keras) train the same experiment,
`configs/fashion-mnist.toml`: 784-300-100-100-100-10, ReLU, SGD 0.01, batch size 32, 10 epochs, 55,000 training images.
The sweep has 4 learning rates × 3 depths.
";

const PEERS: &[Peer] = &[
    Peer {
        subject: Subject::Jax,
        packages: &["jax", "jaxlib"],
        script: "jax_scan.py",
        sweep_script: Some("jax_vmap.py"),
    },
    Peer {
        subject: Subject::PyTorch,
        packages: &["torch"],
        script: "pytorch_eager.py",
        sweep_script: None,
    },
    Peer {
        subject: Subject::Keras,
        packages: &["keras", "tensorflow-cpu"],
        script: "keras_fit.py",
        sweep_script: None,
    },
];

const TARGETS: &[Target] = &[
    ratio(Quantity::Step, Subject::Kiln, Subject::Jax, AtMost(0.75)),
    ratio(Quantity::Step, Subject::Kiln, Subject::PyTorch, AtMost(0.40)),
    ratio(Quantity::Step, Subject::Kiln, Subject::Keras, AtMost(0.22)),
    ratio(Quantity::Run, Subject::Kiln, Subject::Jax, AtMost(0.45)),
    ratio(Quantity::Run, Subject::Kiln, Subject::PyTorch, AtMost(0.33)),
    ratio(Quantity::Run, Subject::Kiln, Subject::Keras, AtMost(0.15)),
    ratio(Quantity::RunsPerHour, Subject::Kiln, Subject::PyTorch, AtLeast(2.5)),
    ratio(Quantity::RunsPerHour, Subject::Kiln, Subject::Jax, AtLeast(2.0)),
    // The inverse ratio of the speeds is the ratio of the times: the sweep's time over that of single runs.
    ratio(Quantity::RunsPerHour, Subject::KilnOneByOne, Subject::Kiln, AtMost(0.55)),
    value(Quantity::PeakMemory, AtMost(150.0)),
    ratio(Quantity::PeakMemory, Subject::Kiln, Subject::PyTorch, AtMost(0.25)),
    value(Quantity::Help, AtMost(15.0)),
    value(Quantity::Summary, AtMost(40.0)),
    value(Quantity::ValidationShare, AtMost(5.0)),
    // A fast run is worthless if it does not learn.
    value(Quantity::ValidationAccuracy, AtLeast(0.85)),
];

pub(crate) fn setting() -> Setting {
    Setting {
        name: "dense",
        heading: "# Side-by-side benchmark: a dense network",
        about: ABOUT,
        config: at_root("configs/fashion-mnist.toml"),
        data: at_root("data"),
        batch: 32,
        step_epochs: 5,
        run_epochs: 10,
        sweep_epochs: 10,
        axes: [
            Axis {
                key: "learning_rate",
                option: "--learning-rate",
                values: &["0.003", "0.01", "0.03", "0.1"],
            },
            Axis { key: "hidden.repeat", option: "--hidden", values: &["1", "2", "3"] },
        ],
        parts: &Part::ALL,
        peers: PEERS,
        targets: TARGETS,
    }
}
