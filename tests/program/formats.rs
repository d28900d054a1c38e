//! The same images give the same training in every format, byte for byte.

use std::fs;
use std::io::Write as _;
use std::path::Path;

use image::{ColorType, ImageFormat};

use crate::project::Project;
use crate::run_state::history_without_seconds;

const CLASSES: [&str; 3] = ["left", "middle", "right"];

/// One part of the dataset of [`crate::columns`].
struct Part {
    name: &'static str,
    images: Vec<Vec<u8>>,
    labels: Vec<u8>,
}

impl Part {
    fn rows(&self) -> impl Iterator<Item = (usize, &[u8], u8)> {
        let rows = self.images.iter().zip(&self.labels).enumerate();
        rows.map(|(row, (image, label))| (row, image.as_slice(), *label))
    }
}

#[test]
fn folder_of_png_files() {
    assert_trains_like_idx(&[], |directory, parts| {
        fs::write(directory.join("classes.txt"), CLASSES.join("\n")).unwrap();
        for part in parts {
            for (row, image, label) in part.rows() {
                let class = directory.join(part.name).join(CLASSES[usize::from(label)]);
                fs::create_dir_all(&class).unwrap();
                write_png(&class.join(format!("{row}.png")), image);
            }
        }
    });
}

#[test]
fn csv_of_pixels() {
    assert_trains_like_idx(&[], |directory, parts| {
        for part in parts {
            let columns: Vec<String> = (0..16).map(|pixel| format!("pixel{pixel}")).collect();
            let mut table = format!("label,{}\n", columns.join(","));
            for (_, image, label) in part.rows() {
                let pixels: Vec<String> = image.iter().map(ToString::to_string).collect();
                table += &format!("{label},{}\n", pixels.join(","));
            }
            fs::write(directory.join(format!("{}.csv", part.name)), table).unwrap();
        }
    });
}

#[test]
fn csv_of_paths() {
    assert_trains_like_idx(&[], |directory, parts| {
        fs::create_dir(directory.join("images")).unwrap();
        let mut table = String::from("file,label,split\n");
        for part in parts {
            for (row, image, label) in part.rows() {
                let file = format!("images/{}-{row}.png", part.name);
                write_png(&directory.join(&file), image);
                table += &format!("{file},{},{}\n", CLASSES[usize::from(label)], part.name);
            }
        }
        fs::write(directory.join("labels.csv"), table).unwrap();
    });
}

#[test]
fn npy_files() {
    assert_trains_like_idx(&[], |directory, parts| {
        for (name, content) in arrays(parts) {
            fs::write(directory.join(name), content).unwrap();
        }
    });
}

#[test]
fn npz_archive() {
    let project = Project::new();
    let parts = read_idx(&project.path("data/columns"));
    let file = fs::File::create(project.path("data/columns.npz")).unwrap();
    let mut archive = zip::ZipWriter::new(file);
    for (name, content) in arrays(&parts) {
        archive.start_file(name, zip::write::SimpleFileOptions::default()).unwrap();
        archive.write_all(&content).unwrap();
    }
    archive.finish().unwrap();
    assert_same_training(&project, &["data.source=data/columns.npz"]);
}

#[test]
fn cifar_files() {
    assert_trains_like_idx(&["data.image=[4, 4]", "data.channels=1"], |directory, parts| {
        fs::write(directory.join("batches.meta.txt"), CLASSES.join("\n") + "\n").unwrap();
        let [training, test] = parts;
        let records = |part: &Part, first: usize, last: usize| -> Vec<u8> {
            let rows = part.rows().filter(|(row, _, _)| (first..last).contains(row));
            rows.flat_map(|(_, image, label)| [&[label], image].concat()).collect()
        };
        for file in 0..5 {
            let content = records(training, file * 24, (file + 1) * 24);
            fs::write(directory.join(format!("data_batch_{}.bin", file + 1)), content).unwrap();
        }
        fs::write(directory.join("test_batch.bin"), records(test, 0, test.labels.len())).unwrap();
    });
}

/// The images that `kiln run` tested, in a table without labels.
#[test]
fn a_table_without_labels_is_classified_like_the_test_images() {
    let project = Project::new();
    let run = project.train(&["normalize=standardize"]);
    let [_, part] = read_idx(&project.path("data/columns"));
    let columns: Vec<String> = (0..16).map(|pixel| format!("pixel{pixel}")).collect();
    let mut table = format!("{}\n", columns.join(","));
    for (_, image, _) in part.rows() {
        let pixels: Vec<String> = image.iter().map(ToString::to_string).collect();
        table += &format!("{}\n", pixels.join(","));
    }
    project.write("test.csv", &table);
    let output = project.kiln_ok(&["predict", &run, "test.csv", "--csv"]);
    let found: Vec<Vec<&str>> =
        output.stdout.lines().skip(1).map(|line| line.split(',').collect()).collect();
    let predictions = project.read(format!("{run}/predictions.csv"));
    let expected: Vec<Vec<&str>> =
        predictions.lines().skip(1).map(|line| line.split(',').collect()).collect();
    assert_eq!(found.len(), part.labels.len());
    for (row, (found, expected)) in found.iter().zip(&expected).enumerate() {
        assert_eq!(found[0], format!("test.csv#{row}"));
        // The probability of each class, to the last digit.
        assert_eq!(found[3..], expected[expected.len() - 3..], "{predictions}");
    }
    project.write(
        "bad.csv",
        table.replacen("\n0", "\nx", 1).replacen("pixel0", "pixelA", 1) + "1,2\n",
    );
    let output = project.kiln(&["predict", &run, "bad.csv", "test.csv"]);
    assert_eq!(output.status, 1);
    assert!(output.stderr.contains("bad.csv:"), "{}", output.stderr);
    assert_eq!(output.stdout.lines().count(), part.labels.len());
}

#[test]
fn the_files_of_a_folder_are_counted() {
    let project = Project::new();
    for (class, row) in [("cat", 1), ("cat", 2), ("dog", 3)] {
        fs::create_dir_all(project.path("photos").join(class)).unwrap();
        write_png(&project.path(format!("photos/{class}/{row}.png")), &[row; 16]);
    }
    project.write("photos/cat/list.txt", "1.png");
    let output = project.kiln_ok(&["data", "verify", "photos"]);
    let counts = "folder: 3 training, 0 validation and 0 test images of 4×4, 2 classes";
    assert!(output.stdout.lines().any(|line| line == counts), "{}", output.stdout);
    assert!(output.stderr.contains("note: 1 file is not a"), "{}", output.stderr);
}

#[test]
fn every_broken_file_has_a_line_and_no_name_can_add_one() {
    let project = Project::new();
    for class in ["cat", "dog"] {
        fs::create_dir_all(project.path("photos").join(class)).unwrap();
        write_png(&project.path("photos").join(class).join("good.png"), &[0; 16]);
    }
    project.write("photos/cat/text.png", "not a picture");
    project.write("photos/dog/two\nlines.png", "");
    let output = project.kiln(&["run", "experiment.toml", "data.source=photos"]);
    assert_eq!(output.status, 1, "{}", output.stderr);
    let lines: Vec<&str> = output.stderr.lines().filter(|line| line.starts_with("  ")).collect();
    let [cat, dog] = lines.as_slice() else { panic!("{}", output.stderr) };
    assert!(cat.starts_with("  cat/text.png: not a "), "{cat}");
    assert_eq!(*dog, "  dog/two\\u{a}lines.png: the file is empty");
}

#[test]
fn files_that_do_not_belong_to_the_dataset_are_named() {
    let project = Project::new();
    for (class, row) in [("cat", 1), ("cat", 2), ("cat", 3), ("dog", 4), ("dog", 5), ("dog", 6)] {
        fs::create_dir_all(project.path("photos").join(class)).unwrap();
        write_png(&project.path(format!("photos/{class}/{row}.png")), &[row; 16]);
    }
    project.write("photos/cat/list.txt", "1.png");
    project.write("photos/stray.jpg", "");
    let split = ["data.validation=2", "data.test=2", "data.split=stratified"];
    let output = project
        .kiln(&[&["run", "experiment.toml", "data.source=photos"], split.as_slice()].concat());
    for file in ["cat/list.txt", "stray.jpg"] {
        let is_named = |line: &str| line.starts_with("note: 1 file is ") && line.ends_with(file);
        assert!(output.stderr.lines().any(is_named), "{}", output.stderr);
    }
}

/// Writes the dataset into a directory of its own and asserts that the experiment trains on it as on the IDX files.
fn assert_trains_like_idx(overrides: &[&str], write: impl FnOnce(&Path, &[Part; 2])) {
    let project = Project::new();
    let parts = read_idx(&project.path("data/columns"));
    fs::create_dir(project.path("data/other")).unwrap();
    write(&project.path("data/other"), &parts);
    assert_same_training(&project, &[&["data.source=data/other"], overrides].concat());
}

fn assert_same_training(project: &Project, overrides: &[&str]) {
    let (expected, actual) = (project.train(&[]), project.train(overrides));
    assert_ne!(expected, actual, "the other source is another experiment");
    let history = |run: &str| history_without_seconds(&project.read(format!("{run}/history.csv")));
    assert_eq!(history(&actual), history(&expected));
    let tensors =
        |run: &str| tensors(&fs::read(project.path(run).join("model.safetensors")).unwrap());
    assert!(tensors(&actual) == tensors(&expected), "the weights differ");
}

/// A safetensors file without its header, which also contains the names of the classes.
fn tensors(file: &[u8]) -> Vec<u8> {
    let (length, rest) = file.split_first_chunk().unwrap();
    rest[usize::try_from(u64::from_le_bytes(*length)).unwrap()..].to_vec()
}

fn read_idx(directory: &Path) -> [Part; 2] {
    [("train", "train"), ("test", "t10k")].map(|(name, prefix)| {
        let read = |file: &str| fs::read(directory.join(format!("{prefix}-{file}"))).unwrap();
        let images = read("images-idx3-ubyte")[16..].chunks(16).map(<[u8]>::to_vec).collect();
        Part { name, images, labels: read("labels-idx1-ubyte")[8..].to_vec() }
    })
}

fn write_png(path: &Path, image: &[u8]) {
    image::save_buffer_with_format(path, image, 4, 4, ColorType::L8, ImageFormat::Png).unwrap();
}

/// The arrays of the dataset with the names of Keras.
fn arrays(parts: &[Part; 2]) -> Vec<(String, Vec<u8>)> {
    let of = |part: &Part| {
        let rows = part.labels.len();
        [
            (
                format!("x_{}.npy", part.name),
                npy(&format!("({rows}, 4, 4)"), &part.images.concat()),
            ),
            (format!("y_{}.npy", part.name), npy(&format!("({rows},)"), &part.labels)),
        ]
    };
    parts.iter().flat_map(of).collect()
}

/// A file of version 1.0 of the NPY format that contains unsigned bytes.
fn npy(shape: &str, content: &[u8]) -> Vec<u8> {
    let mut header = format!("{{'descr': '|u1', 'fortran_order': False, 'shape': {shape}, }}");
    // The content begins at a multiple of 64 bytes.
    header += &" ".repeat(63 - (10 + header.len()) % 64);
    header.push('\n');
    let length = u16::try_from(header.len()).unwrap();
    [b"\x93NUMPY\x01\x00", length.to_le_bytes().as_slice(), header.as_bytes(), content].concat()
}
