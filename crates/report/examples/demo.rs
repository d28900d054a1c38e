//! temporary
use kiln_report::*;
use std::path::Path;
fn main() {
    let dir = Path::new("/tmp/report-demo");
    let pixels = std::fs::read(dir.join("t10k-images-idx3")).unwrap()[16..].to_vec();
    let labels = std::fs::read(dir.join("t10k-labels-idx1")).unwrap()[8..].to_vec();
    let names: Vec<String> = [
        "T-shirt/top",
        "Trouser",
        "Pullover",
        "Dress",
        "Coat",
        "Sandal",
        "Shirt",
        "Sneaker",
        "Bag",
        "Ankle boot",
    ]
    .map(String::from)
    .to_vec();
    let mut c = vec![vec![0f64; 784]; 10];
    let mut n = [0f64; 10];
    for i in 0..10000 {
        let l = labels[i] as usize;
        n[l] += 1.0;
        for p in 0..784 {
            c[l][p] += pixels[i * 784 + p] as f64;
        }
    }
    for l in 0..10 {
        for p in 0..784 {
            c[l][p] /= n[l];
        }
    }
    let mut probs = vec![];
    for i in 0..10000 {
        let d: Vec<f64> = (0..10)
            .map(|l| {
                let own = if l == labels[i] as usize { 0.72 } else { 1.0 };
                -(0..784)
                    .map(|p| {
                        let x = pixels[i * 784 + p] as f64 - c[l][p];
                        x * x
                    })
                    .sum::<f64>()
                    / 400000.0
                    * own
            })
            .collect();
        let m = d.iter().cloned().fold(f64::MIN, f64::max);
        let e: Vec<f64> = d.iter().map(|v| (v - m).exp()).collect();
        let s: f64 = e.iter().sum();
        probs.extend(e.iter().map(|v| (v / s) as f32));
    }
    let runs = dir.join("runs");
    let _ = std::fs::remove_dir_all(&runs);
    let run = RunDirectory::create(&runs, "fashion-mnist", None).unwrap();
    let mut h = run.start_history(&["top_3_accuracy"]).unwrap();
    let k: [[f64; 4]; 10] = [
        [0.7183, 0.7682, 0.5231, 0.8130],
        [0.4883, 0.8307, 0.4573, 0.8426],
        [0.4425, 0.8444, 0.4227, 0.8552],
        [0.4162, 0.8545, 0.4021, 0.8610],
        [0.3971, 0.8602, 0.3893, 0.8664],
        [0.3811, 0.8651, 0.3742, 0.8690],
        [0.3683, 0.8697, 0.3821, 0.8640],
        [0.3569, 0.8733, 0.3606, 0.8748],
        [0.3467, 0.8764, 0.3511, 0.8766],
        [0.3375, 0.8800, 0.3560, 0.8732],
    ];
    for (i, r) in k.iter().enumerate() {
        h.append(&EpochRow {
            epoch: i + 1,
            loss: Some(r[0]),
            accuracy: Some(r[1]),
            val_loss: Some(r[2]),
            val_accuracy: Some(r[3]),
            learning_rate: 0.01,
            seconds: 1.234,
            extra: [("top_3_accuracy".to_owned(), 0.95)].into(),
        })
        .unwrap();
    }
    let mut rec = RunRecord {
        name: "fashion-mnist".into(),
        id: run.id(),
        status: Status::Running,
        stop_reason: None,
        seed: 42,
        backend: "flex".into(),
        engine: "burn".into(),
        threads: 1,
        versions: Versions { kiln: "0.1.0".into(), burn: "0.22.1".into() },
        git_commit: Some("402e127".into()),
        dataset: DatasetRecord {
            name: "fashion-mnist".into(),
            fingerprint: "sha256:1234567890abcdef".into(),
            training_rows: 55000,
            validation_rows: 5000,
            test_rows: 10000,
        },
        parameters: 286810,
        started: now(),
        ended: None,
        training_seconds: Some(12.3),
        epochs: 10,
    };
    run.write_record(&rec).unwrap();
    let hist = run.read_history().unwrap();
    rec.end(Status::Finished, "all epochs done");
    let t = Tested {
        class_names: &names,
        labels: &labels,
        probabilities: &probs,
        loss: 0.3646,
        weights: Weights::Last,
        epoch: 10,
        top_k: &[3],
    };
    let clock = std::time::Instant::now();
    finish(
        &run,
        &rec,
        &hist,
        &t,
        TestImages { pixels: &pixels, shape: ImageShape { channels: 1, height: 28, width: 28 } },
    )
    .unwrap();
    println!("finish {:?}", clock.elapsed());
    println!("{}", show(&run, Terminal { width: 100, color: false }).unwrap());
    let out = |f: &str, s: String| std::fs::write(dir.join(f), s).unwrap();
    let make = |n: usize, f: &dyn Fn(f64) -> [Option<f64>; 4]| History {
        rows: (1..=n)
            .map(|e| {
                let v = f(e as f64);
                EpochRow {
                    epoch: e,
                    loss: v[0],
                    accuracy: v[1],
                    val_loss: v[2],
                    val_accuracy: v[3],
                    ..Default::default()
                }
            })
            .collect(),
        ..Default::default()
    };
    out(
        "h1.svg",
        chart::history_chart(
            "one epoch",
            &make(1, &|_| [Some(0.7), Some(0.77), Some(0.5), Some(0.81)]),
        ),
    );
    out(
        "h1000.svg",
        chart::history_chart(
            "a thousand epochs with a name so long that it has to be cut somewhere near the end",
            &make(1000, &|e| {
                [
                    Some(2.3 / e.powf(0.4) + 0.05 * (e * 7.0).sin().abs()),
                    Some(1.0 - 0.9 / e.powf(0.5)),
                    Some(2.4 / e.powf(0.3)),
                    Some(1.0 - 0.9 / e.powf(0.4)),
                ]
            }),
        ),
    );
    out(
        "hgap.svg",
        chart::history_chart(
            "gaps",
            &make(12, &|e| {
                if e == 4.0 || e == 7.0 || e == 9.0 || e == 11.0 {
                    [Some(0.4), Some(0.8), None, None]
                } else {
                    [
                        Some(0.9 / e + 0.1),
                        Some(1.0 - 0.4 / e),
                        Some(1.0 / e + 0.1),
                        Some(0.9 - 0.4 / e),
                    ]
                }
            }),
        ),
    );
    out("hempty.svg", chart::history_chart("none", &History::default()));
    out(
        "hnoval.svg",
        chart::history_chart(
            "50, no validation",
            &make(50, &|e| [Some(2.3 / e), Some(1.0 - 0.4 / e), None, None]),
        ),
    );
    for n in [2usize, 5, 20, 30, 31, 100] {
        let names: Vec<String> = (0..n)
            .map(|i| {
                if n == 2 {
                    ["cat", "dog"][i].to_string()
                } else if n == 5 {
                    [
                        "a very long class name indeed, isn't it",
                        "<script>",
                        "b",
                        "Čepice",
                        "帽子帽子",
                    ][i]
                        .to_string()
                } else {
                    format!("class number {i}")
                }
            })
            .collect();
        let m: Vec<Vec<u64>> = (0..n)
            .map(|i| {
                (0..n)
                    .map(|j| {
                        if i == j {
                            70 + (i as u64 * 37) % 30
                        } else {
                            ((i * 31 + j * 17) % ((i + 2 * j) % 9 + 3)) as u64 / 2
                        }
                    })
                    .collect()
            })
            .collect();
        out(
            &format!("c{n}.svg"),
            chart::confusion_chart(&format!("{n} classes: test accuracy 0.8"), &names, &m),
        );
    }
    std::fs::copy(run.history_chart_path(), dir.join("h10.svg")).unwrap();
    std::fs::copy(run.confusion_chart_path(), dir.join("c10.svg")).unwrap();
    std::fs::copy(run.mistakes_path(), dir.join("mistakes.png")).unwrap();
    std::fs::copy(run.markdown_path(), dir.join("report.md")).unwrap();
    std::process::Command::new("ls").arg("-la").arg(run.path()).status().unwrap();
}
