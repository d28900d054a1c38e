//! Convolutional networks, from the experiment to the weights in PyTorch.

use serde_json::Value;

use crate::columns;
use crate::project::Project;
use crate::python::python_with;

/// Convolutions, normalizations, pooling, a residual connection and random layers, for the images of 4 × 4 pixels.
pub(crate) const EXPERIMENT: &str = r#"name = "columns"
seed = 4

[data]
source = "columns"
validation = 24

[model]
layers = [
  { type = "conv2d", name = "stem", filters = 4, kernel_size = 3, padding = "same", use_bias = false },
  { type = "batch_normalization", momentum = 0.9 },
  { type = "activation", activation = "relu" },
  { type = "residual", name = "stage", repeat = 2, activation = "relu", layers = [
      { type = "conv2d", filters = 4, kernel_size = 3, padding = "same", use_bias = false },
      { type = "group_normalization", groups = 2 },
    ] },
  { type = "spatial_dropout2d", rate = 0.1 },
  { type = "max_pooling2d" },
  { type = "flatten" },
  { type = "dense", units = "classes", activation = "softmax" },
]

[optimizer]
type = "adam"
learning_rate = 0.03

[training]
epochs = 3
batch_size = 32
weights = "average"
average_decay = 0.9

[test]
flip = true

[checkpoint]
minutes = 1e-9
"#;

fn project() -> Project {
    let project = Project::new();
    project.write("experiment.toml", EXPERIMENT);
    project
}

/// No result depends on the number of threads, so the experiment that a run keeps does not have it. Each run of a sweep has a
/// process of its own, which must know it all the same.
#[test]
fn runs_of_a_sweep_have_the_given_number_of_threads() {
    // By default, the first network has as many threads as there are cores, and the second one has one.
    for project in [project(), Project::new()] {
        project.kiln_ok(&["sweep", "experiment.toml", "device.threads=3", "seed=1,2", "epochs=1"]);
        let records: Vec<_> =
            project.listing().into_iter().filter(|it| it.ends_with("run.json")).collect();
        assert_eq!(records.len(), 2);
        let have_three = || {
            for record in &records {
                assert_eq!(project.read_json(record)["threads"], 3, "{}", record.display());
            }
        };
        have_three();
        // Also if the sweep resumes them.
        for record in &records {
            let run = record.parent().unwrap().to_str().unwrap();
            project.edit_record(run, |record| {
                record["status"] = "interrupted".into();
                record["threads"] = 1.into();
            });
        }
        project.kiln_ok(&["resume", "runs/columns"]);
        have_three();
    }
}

/// Two runs that each have a thread for every core would only wait for each other.
#[test]
fn a_resumed_sweep_divides_the_cores_by_the_threads_of_a_run() {
    let project = project();
    let cores = std::thread::available_parallelism().unwrap();
    let threads = format!("device.threads={cores}");
    project.kiln_ok(&["sweep", "experiment.toml", &threads, "seed=1,2", "epochs=1"]);
    let logs = || -> Vec<_> {
        project.listing().into_iter().filter(|it| it.ends_with("log.jsonl")).collect()
    };
    for log in logs() {
        let run = project.path(log.parent().unwrap());
        std::fs::remove_dir_all(run).unwrap();
    }

    project.kiln_ok(&["resume", "runs/columns"]);
    let mut times: Vec<(String, String)> = Vec::new();
    for log in logs() {
        let text = project.read(&log);
        let time = |message: &str| {
            let mut lines = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
            let line = lines.find(|line| line["message"] == message).unwrap();
            line["timestamp"].as_str().unwrap().to_owned()
        };
        times.push((time("run"), time("ended")));
    }
    times.sort();
    let [(_, end_of_first), (start_of_second, _)] = &*times else { panic!("{times:?}") };
    assert!(end_of_first <= start_of_second, "both at the same time: {times:?}");
}

#[test]
fn convolutional_runs_are_reproducible_and_intact() {
    let project = project();
    for engine in ["engine=auto", "engine=generic"] {
        let run = project.train(&[engine]);
        let verified = project.kiln_ok(&["verify", &run]).stdout;
        assert!(verified.starts_with("identical: 3 epochs"), "{verified}");
        project.kiln_ok(&["doctor", &run]);
    }
    // Without the mirror images: they turn the class `left` into `right`.
    let run = project.train(&["flip=false", "epochs=10"]);
    let report = project.read_json(format!("{run}/report.json"));
    assert!(report["accuracy"].as_f64().unwrap() > 0.8, "{report}");
}

#[test]
fn depth_and_width_of_residual_networks_are_axes() {
    let project = project();
    let arguments = ["sweep", "experiment.toml", "stage.repeat=0,1,2", "stem.kernel_size=1,3"];
    let output = project.kiln_ok(&arguments);
    assert!(output.reports_all_finished(6), "{}", output.stdout);
    let compared = project.kiln_ok(&["compare", "runs/columns"]).stdout;
    assert!(compared.contains("kernel_size"), "{compared}");
}

#[test]
fn layers_that_do_not_fit_are_shown_with_their_shapes() {
    let project = project();
    let output =
        project.kiln(&["run", "experiment.toml", "stem.padding=valid", "stem.kernel_size=5"]);
    assert_eq!(output.status, 2);
    for part in [
        "experiment.toml:10:3",
        "layer \"stem\" (conv2d): its window of 5×5 pixels does not fit into its input, 1×4×4",
        "the output would be 4×0×0",
        "set padding = \"same\"",
    ] {
        assert!(output.stderr.contains(part), "{part}: {}", output.stderr);
    }
}

/// The script in the guide, on a network with the same layers as there.
#[test]
fn the_script_of_the_guide_loads_the_weights_into_pytorch() {
    let Some(python) = python_with("torch, safetensors") else { return };
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let page = std::fs::read_to_string(root.join("docs/guide/pytorch.md")).unwrap();
    let script = page.split("```python").nth(1).unwrap().split("```").next().unwrap();
    let (_, script) = script.split_once('\n').unwrap();
    let script = script.replace("nn.Linear(64, 10)", "nn.Linear(64, 3)");

    let project = Project::new();
    let config = std::fs::read_to_string(root.join("configs/fashion-mnist-resnet8.toml")).unwrap();
    project.write("experiment.toml", config);
    let overrides = [
        "source=columns",
        "validation=24",
        "normalize=unit",
        "epochs=1",
        "augment=[]",
        "name=columns",
    ];
    let run = project.train(&overrides);
    let images = std::fs::read(project.path("data/columns/t10k-images-idx3-ubyte")).unwrap();
    let header = columns::idx_header(&[30, 4, 4]).len();
    let pixels: Vec<String> = images[header..].iter().map(u8::to_string).collect();
    let program = format!(
        "{script}\nx = torch.tensor([{}]).reshape(30, 1, 4, 4) / 255\n\
         for row in torch.softmax(open_network({:?})(x), 1).tolist():\n    print(*row)\n",
        pixels.join(","),
        project.path(&run),
    );
    project.write("network.py", program);
    let stdout = python.run(&project.path("network.py"), &[]);
    let predictions = project.read(format!("{run}/predictions.csv"));
    let mut reader = csv::Reader::from_reader(predictions.as_bytes());
    let rows: Vec<csv::StringRecord> = reader.records().map(Result::unwrap).collect();
    assert_eq!((rows.len(), stdout.lines().count()), (30, 30));
    for (row, line) in rows.iter().zip(stdout.lines()) {
        let ours = row.iter().skip(row.len() - 3).map(|x| x.parse::<f64>().unwrap());
        let theirs = line.split(' ').map(|x| x.parse::<f64>().unwrap());
        for (ours, theirs) in ours.zip(theirs) {
            assert!((ours - theirs).abs() < 1e-5, "{row:?}, PyTorch: {line}");
        }
    }
}
