//! Tables of pixels and of image files.

use std::fs;
use std::path::Path;

use crate::common::{gzip, part, temporary, test, train, valid_files, write_plain};
use kiln_data::{
    Channels, DataConfig, DataError, Dataset, FormatName, ImageSize, Layout, Part, read_unlabeled,
};
use tempfile::TempDir;

fn load(path: &Path) -> Result<Dataset, DataError> {
    config(path).load(temporary().path())
}

fn config(path: &Path) -> DataConfig {
    DataConfig::new(path.to_str().expect("UTF-8"))
}

/// A directory with these files.
fn directory(files: &[(&str, &str)]) -> TempDir {
    let directory = temporary();
    for (name, text) in files {
        let path = directory.path().join(name);
        fs::create_dir_all(path.parent().expect("a directory")).expect("writable");
        fs::write(path, text).expect("writable");
    }
    directory
}

/// The error of a directory with this `train.csv`.
fn error_of(table: &str) -> String {
    let directory = directory(&[("train.csv", table)]);
    let error = load(directory.path()).expect_err("invalid").to_string();
    assert!(error.contains("train.csv"), "{error}");
    error
}

/// A table of the images of 2×3 pixels and their labels.
fn table(header: bool, images: &[u8], labels: &[u8]) -> String {
    let pixels: Vec<String> = (0..6).map(|pixel| format!("pixel{pixel}")).collect();
    let mut text = if header { format!("label,{}\n", pixels.join(",")) } else { String::new() };
    for (label, image) in labels.iter().zip(images.chunks(6)) {
        let pixels: Vec<String> = image.iter().map(ToString::to_string).collect();
        text.push_str(&format!("{label},{}\n", pixels.join(",")));
    }
    text
}

#[test]
fn tables_of_pixels_equal_the_idx_files() {
    let original = temporary();
    write_plain(original.path(), &valid_files());
    let original = load(original.path()).expect("valid");
    let [images, labels, test_images, test_labels] = valid_files();
    for (has_header, is_compressed) in [(true, false), (true, true), (false, false)] {
        let directory = temporary();
        for (part, images, labels) in
            [("train", &images, &labels), ("test", &test_images, &test_labels)]
        {
            let text = table(has_header, &images[16..], &labels[8..]);
            let (name, bytes) = if is_compressed {
                (format!("{part}.csv.gz"), gzip(text.as_bytes()))
            } else {
                (format!("{part}.csv"), text.into_bytes())
            };
            fs::write(directory.path().join(name), bytes).expect("writable");
        }
        // The images are not square.
        let error = load(directory.path()).expect_err("not square").to_string();
        assert!(error.contains("data.image = [height, width]"), "{error}");
        let image = Some(ImageSize { height: 2, width: 3 });
        let config = DataConfig { image, ..config(directory.path()) };
        let dataset = config.load(temporary().path()).expect("valid");
        assert_eq!(dataset.format, "csv");
        assert_eq!(train(&dataset), train(&original));
        assert_eq!(test(&dataset), test(&original));
        assert_eq!(dataset.class_names, original.class_names);
        let is_noted = dataset.notes.iter().any(|note| note.contains("no names of columns"));
        assert_eq!(is_noted, !has_header, "{:?}", dataset.notes);
    }
}

#[test]
fn a_single_table_can_state_the_parts() {
    let text =
        "id,p0,class,split\n1,10,dog,test\n2,20,cat,train\n3,30.0,dog,train\n4,40,cat,valid\n";
    let directory = directory(&[("pets.csv", text)]);
    let dataset = load(&directory.path().join("pets.csv")).expect("valid");
    assert_eq!(dataset.class_names, ["cat", "dog"]);
    assert_eq!(
        (train(&dataset).labels, train(&dataset).pixels.to_vec()),
        (vec![0, 1], vec![20, 30])
    );
    assert_eq!(part(&dataset, Part::Validation).pixels.to_vec(), [40]);
    assert_eq!((test(&dataset).labels, test(&dataset).pixels.to_vec()), (vec![1], vec![10]));
    assert_eq!(dataset.notes, ["columns of pets.csv that are not used: `id`"]);
    // The directory of a single table is the same dataset.
    assert_eq!(load(directory.path()).expect("valid").fingerprint, dataset.fingerprint);
}

#[test]
fn test_images_without_labels_are_not_scored() {
    let directory = directory(&[
        ("train.csv", "label,pixel0\n0,1\n1,2\n"),
        ("test.csv", "pixel0\n3\n4\n"),
        ("sample_submission.csv", "ImageId,Label\n1,0\n"),
    ]);
    let dataset = load(directory.path()).expect("valid");
    assert!(dataset.parts.test.is_empty());
    assert!(dataset.notes[0].contains("test.csv has no labels"), "{:?}", dataset.notes);
    let path = directory.path().join("test.csv");
    let unlabeled = read_unlabeled(&path, &config(&path)).expect("valid");
    assert_eq!((unlabeled.shape.to_string(), unlabeled.pixels), ("1×1".to_owned(), vec![3, 4]));
    let path = directory.path().join("train.csv");
    assert_eq!(read_unlabeled(&path, &config(&path)).expect("valid").pixels, [1, 2]);
    // Like the images of a training that resized them.
    let (image, channels) = (Some(ImageSize { height: 2, width: 2 }), Some(Channels::Rgb));
    let larger = read_unlabeled(&path, &DataConfig { image, channels, ..config(&path) });
    assert_eq!(larger.expect("valid").pixels, [[1; 12], [2; 12]].concat());
}

#[test]
fn colors_are_asked_for() {
    let table = "label,a,b,c\n0,1,2,3\n";
    assert!(error_of(table).contains("data.layout"));
    let directory = directory(&[("train.csv", table)]);
    let config = DataConfig { layout: Some(Layout::Nchw), ..config(directory.path()) };
    let dataset = config.load(temporary().path()).expect("valid");
    assert_eq!(train(&dataset).shape.to_string(), "3×1×1");
}

#[test]
fn errors_of_tables_name_the_line() {
    let error = error_of("label,pixel0\n0,1\n1,256\n");
    assert!(error.contains("train.csv:3: column 2 (`pixel0`) has `256`"), "{error}");
    let error = error_of("label,pixel0\n0,0.5\n");
    assert!(error.contains(":2:") && error.contains("from 0 to 255"), "{error}");
    let error = error_of("label,pixel0\n0,1,2\n");
    assert!(error.contains(":2: the line has 3 columns"), "{error}");
    let error = error_of("label,pixel0\n,1\n");
    assert!(error.contains(":2: the label is empty"), "{error}");
    let error = error_of("label,pixel0\n-1,1\n");
    assert!(error.contains("has label -1"), "{error}");
    let error = error_of("digit,pixel0\n1,1\n");
    assert!(
        error.contains("data.labels = \"NAME\"") && error.contains("columns: digit"),
        "{error}"
    );
    let error = error_of("");
    assert!(error.contains("empty"), "{error}");
    let error = error_of("label,pixel0\n");
    assert!(error.contains("no training images"), "{error}");
    let error = error_of("label,pixel0,split\n1,1,dev\n");
    assert!(error.contains("`dev` is not a part"), "{error}");
    // A class that no training image has.
    let both =
        directory(&[("train.csv", "label,pixel0\ncat,1\n"), ("test.csv", "label,pixel0\ndog,1\n")]);
    let error = load(both.path()).expect_err("an unknown class").to_string();
    assert!(error.contains("test.csv") && error.contains("`dog`"), "{error}");
}

#[test]
fn labels_have_any_column() {
    let directory = directory(&[("train.csv", "digit,pixel0\n1,7\n")]);
    let config = DataConfig { labels: Some("digit".into()), ..config(directory.path()) };
    let dataset = config.load(temporary().path()).expect("valid");
    assert_eq!((train(&dataset).labels, train(&dataset).pixels.to_vec()), (vec![1], vec![7]));
}

#[test]
fn missing_image_files_are_all_listed() {
    let directory = directory(&[
        ("labels.csv", "file,label\na.png,x\nb.png,y\nc.png,x\n"),
        ("images/b.png", ""),
    ]);
    let error = load(directory.path()).expect_err("missing files");
    let DataError::MissingImages { missing, .. } = &error else { panic!("{error}") };
    assert_eq!(*missing, ["a.png (line 2)", "c.png (line 4)"]);
    assert!(error.to_string().contains("2 of its images do not exist: a.png (line 2)"), "{error}");
}

#[test]
fn paths_stay_inside() {
    for path in ["../secret.png", "/etc/passwd", "images/../../secret.png"] {
        let text = format!("file,label\n{path},x\n");
        let directory = directory(&[("labels.csv", &text)]);
        let error = load(directory.path()).expect_err("outside").to_string();
        assert!(error.contains("labels.csv:2:") && error.contains("outside"), "{error}");
    }
    #[cfg(unix)]
    {
        let outside = directory(&[("secret.png", "")]);
        let directory = directory(&[("labels.csv", "file,label\nlink.png,x\n")]);
        let link = directory.path().join("link.png");
        std::os::unix::fs::symlink(outside.path().join("secret.png"), link).expect("writable");
        let error = load(directory.path()).expect_err("outside").to_string();
        assert!(error.contains("outside"), "{error}");
    }
}

#[test]
fn two_tables_for_one_part_are_an_error() {
    let directory =
        directory(&[("train.csv", "label,pixel0\n0,1\n"), ("my_train.csv", "label,pixel0\n0,1\n")]);
    let error = load(directory.path()).expect_err("two tables").to_string();
    assert!(error.contains("my_train.csv and train.csv"), "{error}");
    let config =
        DataConfig { format: Some(FormatName::Csv), ..config(&directory.path().join("train.csv")) };
    config.load(temporary().path()).expect("one table");
}

#[test]
fn names_of_columns_can_be_numbers() {
    for table in [
        "label,0,1,2,3\n1,5,6,7,8\n",
        "0,1,2,3,label\n5,6,7,8,1\n",
        ",label,0,1,2,3\n0,1,5,6,7,8\n",
    ] {
        let directory = directory(&[("train.csv", table)]);
        let dataset = load(directory.path()).expect("valid");
        assert_eq!(
            (train(&dataset).labels, train(&dataset).pixels.to_vec()),
            (vec![1], vec![5, 6, 7, 8])
        );
    }
}

#[test]
fn tables_of_image_files_equal_the_idx_files() {
    let original = temporary();
    write_plain(original.path(), &valid_files());
    let original = load(original.path()).expect("valid");
    let (directory, data) = (temporary(), temporary());
    fs::create_dir(directory.path().join("images")).expect("writable");
    let mut table = String::from("label,split,file\n");
    // The parts are mixed; within each, the order is that of the table.
    for (part, images) in [("test", test(&original)), ("train", train(&original))] {
        for row in 0..images.len() {
            let name = format!("{part} {row}, 帽子.png");
            let path = directory.path().join("images").join(&name);
            image::save_buffer(path, images.image(row), 3, 2, image::ColorType::L8)
                .expect("writable");
            table.push_str(&format!("{},{part},\"{name}\"\n", images.labels[row]));
        }
    }
    fs::write(directory.path().join("labels.csv"), table).expect("writable");
    let dataset = config(directory.path()).load(data.path()).expect("valid");
    assert_eq!(train(&dataset), train(&original));
    assert_eq!(test(&dataset), test(&original));
    let names = dataset.file_names.expect("names");
    assert_eq!(names[0], "images/train 0, 帽子.png");
}
