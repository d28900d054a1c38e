//! Directories of pictures.

use std::fs;
use std::path::Path;

use crate::common::{idx, temporary, valid_files, write_plain};
use image::{GrayImage, Luma, Rgb, RgbImage};
use kiln_data::{
    Broken, DataConfig, DataError, Dataset, FolderError, FormatName, ImageShape, ImageSize, Part,
    SourceError, load,
};

/// Writes a gray picture of 2×2 pixels; the pixels have this value.
fn write_gray(root: &Path, name: &str, value: u8) {
    let path = root.join(name);
    fs::create_dir_all(path.parent().expect("a directory")).expect("writable");
    let picture = GrayImage::from_pixel(2, 2, Luma([value]));
    picture.save_with_format(path, image::ImageFormat::Png).expect("writable");
}

fn write(root: &Path, name: &str, bytes: impl AsRef<[u8]>) {
    let path = root.join(name);
    fs::create_dir_all(path.parent().expect("a directory")).expect("writable");
    fs::write(path, bytes).expect("writable");
}

fn read(root: &Path) -> Result<Dataset, DataError> {
    load(root.to_str().expect("a UTF-8 path"), temporary().path())
}

fn names(dataset: &Dataset) -> Vec<&str> {
    dataset.file_names.iter().flatten().map(String::as_str).collect()
}

#[test]
fn one_tree_is_training() {
    let root = temporary();
    for (name, value) in
        [("b/2.png", 2), ("a/10.png", 10), ("b/1.png", 1), ("a/x/3.png", 3), ("a/2.png", 20)]
    {
        write_gray(root.path(), name, value);
    }
    let dataset = read(root.path()).expect("a dataset");
    assert_eq!(dataset.format, "folder");
    assert_eq!(dataset.class_names, ["a", "b"]);
    assert_eq!(dataset.images.shape, ImageShape { channels: 1, height: 2, width: 2 });
    // In the order of the numbers across the classes, ties by class.
    assert_eq!(names(&dataset), ["b/1.png", "a/2.png", "b/2.png", "a/10.png", "a/x/3.png"]);
    assert_eq!(dataset.images.labels, [1, 0, 1, 0, 0]);
    let first_pixels: Vec<u8> = (0..5).map(|row| dataset.images.image(row)[0]).collect();
    assert_eq!(first_pixels, [1, 20, 2, 10, 3]);
    assert_eq!(dataset.parts.training, 0..5);
    assert!(dataset.parts.validation.is_empty() && dataset.parts.test.is_empty());
    assert_eq!(dataset.notes, [""; 0]);
}

#[test]
fn directories_of_parts_are_found() {
    for (training, validation, test) in [
        ("train", "val", "test"),
        ("Training", "VALID", "Test"),
        ("train", "validation", "testing"),
    ] {
        let root = temporary();
        for (name, value) in [("b/1.png", 1), ("a/1.png", 2)] {
            write_gray(root.path(), &format!("{test}/{name}"), value);
            write_gray(root.path(), &format!("{validation}/{name}"), value + 10);
            write_gray(root.path(), &format!("{training}/{name}"), value + 20);
        }
        let dataset = read(root.path()).expect("a dataset");
        assert_eq!(dataset.class_names, ["a", "b"]);
        assert_eq!(dataset.images.labels, [0, 1, 0, 1, 0, 1]);
        assert_eq!(dataset.parts.of(Part::Training), 0..2);
        assert_eq!(dataset.parts.of(Part::Validation), 2..4);
        assert_eq!(dataset.parts.of(Part::Test), 4..6);
        let first_pixels: Vec<u8> = (0..6).map(|row| dataset.images.image(row)[0]).collect();
        assert_eq!(first_pixels, [22, 21, 12, 11, 2, 1]);
        assert_eq!(names(&dataset)[0], format!("{training}/a/1.png"));
    }
}

#[test]
fn classes_are_in_natural_order_in_any_script() {
    let root = temporary();
    let classes = ["2", "10", "Zebra", "ape", "ärmel", "кошка", "犬 1", "犬 02", "🐈"];
    for (value, class) in classes.iter().enumerate() {
        write_gray(root.path(), &format!("{class}/ñ {value}.png"), value as u8);
    }
    assert_eq!(read(root.path()).expect("a dataset").class_names, classes);

    // classes.txt decides the order; it may have more classes than there are directories.
    let mut listed: Vec<&str> = classes.iter().rev().copied().collect();
    listed.push("unicorn");
    write(root.path(), "classes.txt", listed.join("\n"));
    let dataset = read(root.path()).expect("a dataset");
    assert_eq!(dataset.class_names, listed);
    assert_eq!(dataset.images.labels[0], 8);

    write(root.path(), "classes.txt", listed[1..].join("\n"));
    let error = read(root.path()).expect_err("a class is missing");
    assert!(
        matches!(&error, DataError::Folder(FolderError::UnlistedClass { class, .. }) if class == "🐈"),
        "{error}"
    );
}

#[test]
fn what_does_not_belong_to_the_dataset_is_ignored_and_named() {
    let root = temporary();
    for name in [
        "a/1.png",
        "b/1.png",
        "b/by-content.data",
        "__MACOSX/a/1.png",
        ".git/1.png",
        "c/.hidden/1.png",
    ] {
        write_gray(root.path(), name, 1);
    }
    for name in [
        "a/Thumbs.db",
        "a/desktop.ini",
        "a/._1.png",
        "b/notes.txt",
        "README.md",
        "LICENSE",
        "stray.png",
    ] {
        write(root.path(), name, "text");
    }
    let dataset = read(root.path()).expect("a dataset");
    assert_eq!(dataset.class_names, ["a", "b"]);
    assert_eq!(names(&dataset), ["a/1.png", "b/1.png", "b/by-content.data"]);
    let notes = dataset.notes.join("\n");
    for expected in [
        "6 hidden files and folders were ignored: ",
        "__MACOSX",
        "1 file is not a PNG, JPEG, WebP, BMP, GIF or TIFF picture and was ignored: b/notes.txt",
        "1 file is outside of the directories of the classes and was ignored: stray.png",
        "1 class directory has no images, so it is not a class: c",
    ] {
        assert!(notes.contains(expected), "{expected}\n{notes}");
    }
    assert!(!notes.contains("README") && !notes.contains("LICENSE"), "{notes}");
}

#[test]
fn problems_of_the_directories_are_errors_with_a_way_out() {
    let root = temporary();
    let path = |name: &str| root.path().join(name);
    write_gray(root.path(), "missing/train/a/1.png", 1);
    write_gray(root.path(), "missing/train/b/1.png", 1);
    write_gray(root.path(), "missing/test/c/1.png", 1);
    let error = read(&path("missing")).expect_err("no training images of c");
    assert!(
        matches!(&error, DataError::Folder(FolderError::ClassNotInTraining { class, part: Part::Test, .. }) if class == "c"),
        "{error}"
    );
    assert!(error.to_string().contains("test"), "{error}");

    write_gray(root.path(), "twice/train/a/1.png", 1);
    write_gray(root.path(), "twice/val/a/1.png", 1);
    write_gray(root.path(), "twice/valid/a/1.png", 1);
    let error = read(&path("twice")).expect_err("two directories");
    assert!(
        matches!(error, DataError::Folder(FolderError::TwoDirectoriesOfPart { .. })),
        "{error}"
    );
    assert!(error.to_string().contains("val and valid"), "{error}");

    write_gray(root.path(), "one/a/1.png", 1);
    let error = read(&path("one")).expect_err("one class");
    assert!(
        matches!(&error, DataError::Folder(FolderError::OneClass { class, .. }) if class == "a"),
        "{error}"
    );

    write_gray(root.path(), "untrained/test/a/1.png", 1);
    let error = read(&path("untrained")).expect_err("no training images");
    assert!(matches!(error, DataError::Folder(FolderError::NoImages { .. })), "{error}");

    write_gray(root.path(), "flat/1.png", 1);
    let error = read(&path("flat")).expect_err("no directories of classes");
    assert!(matches!(error, DataError::Folder(FolderError::NoImages { .. })), "{error}");
    assert!(error.to_string().contains("flat/cat/1.png"), "{error}");

    fs::create_dir_all(path("empty/a")).expect("writable");
    let error = read(&path("empty")).expect_err("no images");
    assert!(matches!(error, DataError::Source(SourceError::UnknownFormat { .. })), "{error}");
    let config = DataConfig {
        format: Some(FormatName::Folder),
        ..DataConfig::new(path("empty").to_str().expect("UTF-8"))
    };
    let error = config.load(temporary().path()).expect_err("no images");
    assert!(matches!(error, DataError::Folder(FolderError::NoImages { .. })), "{error}");

    let mut deep = String::from("deep/a/");
    for _ in 0..70 {
        deep.push_str("d/");
    }
    write_gray(root.path(), "deep/a/1.png", 1);
    write_gray(root.path(), &format!("{deep}1.png"), 1);
    let error = read(&path("deep")).expect_err("too deep");
    assert!(matches!(error, DataError::Folder(FolderError::FolderTooDeep { .. })), "{error}");
}

#[test]
fn other_formats_are_not_taken_for_directories_of_pictures() {
    let root = temporary();
    write_plain(root.path(), &valid_files());
    write_gray(root.path(), "preview/1.png", 1);
    assert_eq!(read(root.path()).expect("a dataset").format, "idx");

    let root = temporary();
    write(root.path(), "data.npz", "PK");
    write(root.path(), "labels.csv", "label,pixel0");
    write(root.path(), "nested/array.npy", idx(&[1], &[1]));
    let error = read(root.path()).expect_err("no pictures");
    assert!(
        !matches!(
            error,
            DataError::Folder(FolderError::NoImages { .. })
                | DataError::Folder(FolderError::OneClass { .. })
        ),
        "{error}"
    );
}

#[cfg(unix)]
#[test]
fn symbolic_links_are_followed_inside_of_the_dataset() {
    use std::os::unix::fs::symlink;
    let (root, other) = (temporary(), temporary());
    write_gray(other.path(), "1.png", 9);
    write_gray(root.path(), "a/1.png", 1);
    write_gray(root.path(), "b/1.png", 2);
    let path = |name: &str| root.path().join(name);
    symlink(path("a/1.png"), path("b/2.png")).expect("a link");
    symlink("a", path("c")).expect("a link");
    symlink(other.path(), path("d")).expect("a link");
    symlink(other.path().join("1.png"), path("a/outside.png")).expect("a link");
    symlink("nowhere", path("a/broken.png")).expect("a link");
    symlink("..", path("b/up")).expect("a link");
    symlink("../b", path("a/over")).expect("a link");

    let dataset = read(root.path()).expect("a dataset");
    assert_eq!(dataset.class_names, ["a", "b", "c"]);
    let mut found = names(&dataset);
    found.sort_unstable();
    let expected = [
        "a/1.png",
        "a/over/1.png",
        "a/over/2.png",
        "b/1.png",
        "b/2.png",
        "c/1.png",
        "c/over/1.png",
        "c/over/2.png",
    ];
    assert_eq!(found, expected);
    let notes = dataset.notes.join("\n");
    for name in ["d", "a/outside.png", "a/broken.png", "b/up"] {
        assert!(notes.contains(name), "{name}\n{notes}");
    }
}

#[test]
fn all_broken_images_are_reported_before_anything_else_happens() {
    let root = temporary();
    for number in 0..30 {
        write_gray(root.path(), &format!("a/{number}.png"), 1);
        write_gray(root.path(), &format!("b/{number}.png"), 2);
    }
    let intact = fs::read(root.path().join("a/0.png")).expect("just written");
    write(root.path(), "a/3.png", &intact[..intact.len() / 2]);
    write(root.path(), "b/7.png", "<html>404</html>");
    write(root.path(), "b/8.jpg", "");
    let error = read(root.path()).expect_err("broken images");
    let text = error.to_string();
    for expected in ["3 images", "a/3.png", "b/7.png", "b/8.jpg", "empty", "data.broken"] {
        assert!(text.contains(expected), "{expected}: {text}");
    }
    let DataError::BrokenImages { files, .. } = error else { panic!("{error}") };
    assert_eq!(files.len(), 3);

    let config = DataConfig {
        broken: Broken::Skip,
        ..DataConfig::new(root.path().to_str().expect("a UTF-8 path"))
    };
    let dataset = config.load(temporary().path()).expect("a dataset");
    assert_eq!(dataset.images.len(), 58);
    assert_eq!(dataset.file_names.as_ref().map(Vec::len), Some(58));
    assert_eq!(dataset.parts.training, 0..58);
    let skipped: Vec<_> =
        dataset.skipped.iter().map(|file| file.path.to_str().expect("UTF-8")).collect();
    assert_eq!(skipped, ["a/3.png", "b/7.png", "b/8.jpg"]);
}

/// The header of the broken one is intact.
#[test]
fn a_skipped_picture_decides_neither_the_size_nor_the_channels() {
    for (width, height) in [(2, 2), (9, 5)] {
        let root = temporary();
        (1..5).for_each(|row| {
            write_gray(root.path(), &format!("{}/{row}.png", ["a", "b"][row % 2]), 7)
        });
        let path = root.path().join("a/0.png");
        RgbImage::from_fn(width, height, |x, y| Rgb([9, x as u8 * 20, y as u8 * 20]))
            .save(&path)
            .expect("writable");
        let whole = fs::read(&path).expect("a picture");
        fs::write(&path, &whole[..whole.len() - 20]).expect("writable");
        let config = DataConfig {
            broken: Broken::Skip,
            ..DataConfig::new(root.path().to_str().expect("a UTF-8 path"))
        };
        let dataset = config.load(temporary().path()).expect("a dataset");
        assert_eq!(dataset.images.shape, ImageShape { channels: 1, height: 2, width: 2 });
        assert_eq!((dataset.images.len(), dataset.skipped.len()), (4, 1));
    }
}

#[test]
fn sizes_and_channels_are_those_of_the_images_or_of_the_configuration() {
    let root = temporary();
    write_gray(root.path(), "a/1.png", 1);
    write_gray(root.path(), "b/1.png", 2);
    RgbImage::from_pixel(2, 2, Rgb([1, 2, 3])).save(root.path().join("b/2.png")).expect("writable");
    let dataset = read(root.path()).expect("a dataset");
    assert_eq!(dataset.images.shape, ImageShape { channels: 3, height: 2, width: 2 });

    RgbImage::from_pixel(30, 20, Rgb([1, 2, 3]))
        .save(root.path().join("a/2.png"))
        .expect("writable");
    let error = read(root.path()).expect_err("different sizes");
    let text = error.to_string();
    for expected in ["2×2 (a/1.png)", "30×20 (a/2.png)", "data.image = [64, 64]"] {
        assert!(text.contains(expected), "{expected}: {text}");
    }
    let config = DataConfig {
        image: Some(ImageSize { height: 4, width: 5 }),
        channels: Some(kiln_data::Channels::Gray),
        ..DataConfig::new(root.path().to_str().expect("a UTF-8 path"))
    };
    let dataset = config.load(temporary().path()).expect("a dataset");
    assert_eq!(dataset.images.shape, ImageShape { channels: 1, height: 4, width: 5 });
    assert_eq!(dataset.images.pixels.len(), 4 * 20);
}

#[test]
fn the_fingerprint_depends_on_the_content_and_not_on_the_place() {
    let (one, other) = (temporary(), temporary());
    for root in [&one, &other] {
        write_gray(root.path(), "a/1.png", 1);
        write_gray(root.path(), "b/1.png", 2);
    }
    let fingerprint = |root: &Path| read(root).expect("a dataset").fingerprint;
    let original = fingerprint(one.path());
    assert_eq!(original, fingerprint(other.path()));
    write_gray(other.path(), "b/1.png", 3);
    assert_ne!(original, fingerprint(other.path()));
    write_gray(other.path(), "b/1.png", 2);
    assert_eq!(original, fingerprint(other.path()));
    fs::rename(other.path().join("b"), other.path().join("c")).expect("writable");
    assert_ne!(original, fingerprint(other.path()));
}
