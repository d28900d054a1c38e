//! The small convolutional network of `benches/small-cnn.toml`.

use crate::options::Part;
use crate::samples::{Quantity, Subject};
use crate::setting::{Axis, Peer, Setting, at_root};
use crate::targets::Bound::{AtLeast, AtMost};
use crate::targets::{Target, ratio, value};

const ABOUT: &str = "\
Kiln and the Python scripts in `benches/peers` (PyTorch, Keras) train the same experiment, `benches/small-cnn.toml`: two
convolutions (32 and 64 filters of 3 × 3, ReLU), each with max pooling, a dense layer of 128 units, dropout, Adam 0.001, batch size
32, 5 epochs, 55,000 training images. PyTorch uses the layout `channels_last`. The sweep has 4 learning rates × 3 seeds of one
epoch each.
";

const PEERS: &[Peer] = &[
    Peer {
        subject: Subject::PyTorch,
        packages: &["torch"],
        script: "pytorch_small_cnn.py",
        sweep_script: None,
    },
    Peer {
        subject: Subject::Keras,
        packages: &["keras", "tensorflow-cpu"],
        script: "keras_small_cnn.py",
        sweep_script: None,
    },
];

const TARGETS: &[Target] = &[
    ratio(Quantity::Step, Subject::Kiln, Subject::PyTorch, AtMost(0.50)),
    ratio(Quantity::Step, Subject::Kiln, Subject::Keras, AtMost(0.40)),
    ratio(Quantity::Run, Subject::Kiln, Subject::PyTorch, AtMost(0.45)),
    ratio(Quantity::Run, Subject::Kiln, Subject::Keras, AtMost(0.35)),
    ratio(Quantity::RunsPerHour, Subject::Kiln, Subject::PyTorch, AtLeast(2.0)),
    ratio(Quantity::PeakMemory, Subject::Kiln, Subject::PyTorch, AtMost(0.30)),
    value(Quantity::ValidationShare, AtMost(5.0)),
    value(Quantity::ValidationAccuracy, AtLeast(0.90)),
];

pub(crate) fn setting() -> Setting {
    Setting {
        name: "small-cnn",
        heading: "# Side-by-side benchmark: a small convolutional network",
        about: ABOUT,
        config: at_root("benches/small-cnn.toml"),
        data: at_root("data"),
        batch: 32,
        step_epochs: 2,
        run_epochs: 5,
        sweep_epochs: 1,
        axes: [
            Axis {
                key: "learning_rate",
                option: "--learning-rate",
                values: &["0.0003", "0.001", "0.003", "0.01"],
            },
            Axis { key: "seed", option: "--seed", values: &["1", "2", "3"] },
        ],
        parts: &[Part::Step, Part::Run, Part::Sweep, Part::Evaluation],
        peers: PEERS,
        targets: TARGETS,
    }
}
