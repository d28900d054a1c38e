//! The bytes of a result do not depend on the processor.

use std::process::Command;

use crate::convolution;
use crate::project::Project;

/// The program on an emulated processor without AVX-512, the oldest one that the fused engine's vector instructions need.
/// On a processor with AVX-512, this compares both. Skipped without `qemu-x86_64` (Debian's package qemu-user).
#[test]
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
#[expect(clippy::print_stderr, reason = "says what was skipped")]
fn an_emulated_processor_computes_the_same_bytes() {
    const EMULATOR: &str = "qemu-x86_64";
    if Command::new(EMULATOR).arg("--version").output().is_err() {
        eprintln!("skipped: {EMULATOR} is not installed");
        return;
    }
    let dense: &[&str] = &[
        "hidden.activation=gelu",
        "optimizer={type=\"adam\"}",
        "augment=[{type=\"random_rotation\",factor=0.1},{type=\"mix_up\"}]",
        "label_smoothing=0.1",
    ];
    let convolutional = Project::new();
    convolutional.write("experiment.toml", convolution::EXPERIMENT);
    for (project, overrides) in [(Project::new(), dense), (convolutional, &[])] {
        let native = project.train(overrides);
        let arguments = [["run", "experiment.toml", "--runs", "emulated"].as_slice(), overrides];
        let output = Command::new(EMULATOR)
            .args(["-cpu", "Haswell", env!("CARGO_BIN_EXE_kiln")])
            .args(arguments.concat())
            .current_dir(project.path("."))
            .output()
            .unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{stderr}");
        let stdout = String::from_utf8(output.stdout).unwrap();
        let emulated = stdout.lines().last().unwrap();
        for file in ["model.safetensors", "predictions.csv"] {
            let [native, emulated] = [native.as_str(), emulated]
                .map(|run| std::fs::read(project.path(run).join(file)).unwrap());
            assert!(native == emulated, "{file} differs: {overrides:?}");
        }
        // The other column is the time.
        let [native, emulated] = [native.as_str(), emulated].map(|run| {
            let history = project.read(format!("{run}/history.csv"));
            let mut reader = csv::Reader::from_reader(history.as_bytes());
            let time = reader.headers().unwrap().iter().position(|name| name == "seconds").unwrap();
            let rows = reader.records().map(|row| {
                let row = row.unwrap();
                let values = row.iter().enumerate().filter(|(column, _)| *column != time);
                values.map(|(_, value)| value.to_owned()).collect::<Vec<String>>()
            });
            rows.collect::<Vec<_>>()
        });
        assert_eq!(native, emulated, "{overrides:?}");
    }
}
