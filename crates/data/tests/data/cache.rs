//! The cache of decoded datasets.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::Barrier;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use image::{GrayImage, ImageFormat};
use kiln_data::{
    Broken, Channels, DataConfig, DataError, Dataset, ImageSize, KnownDatasets, LoadProgress,
    PictureMode, cache_directory, cache_size, remove_cache,
};

use crate::common::{temporary, valid_files, write_plain};

/// Counts the decoded images.
#[derive(Default)]
struct Counter {
    announced: AtomicU64,
    decoded: AtomicU64,
}

impl LoadProgress for Counter {
    fn start(&self, images: u64) {
        self.announced.fetch_add(images, Ordering::Relaxed);
    }

    fn advance(&self, images: u64) {
        self.decoded.fetch_add(images, Ordering::Relaxed);
    }

    fn finish(&self) {}
}

/// A directory with two classes of three BMP files each, of 6×5 pixels. All files have the same length.
fn write_pictures(directory: &Path) {
    for (class, name) in ["cat", "dog"].into_iter().enumerate() {
        fs::create_dir_all(directory.join(name)).expect("writable");
        for number in 0..3 {
            write_picture(directory, &format!("{name}/{number}.bmp"), class as u8 * 100 + number);
        }
    }
}

fn write_picture(directory: &Path, name: &str, gray: u8) {
    let picture = GrayImage::from_fn(6, 5, |x, y| image::Luma([gray + (x * y) as u8]));
    picture.save_with_format(directory.join(name), ImageFormat::Bmp).expect("writable");
}

/// The directory of pictures in a data directory, read at 4×3 pixels.
fn config() -> DataConfig {
    let image = Some(ImageSize { height: 3, width: 4 });
    DataConfig { image, ..DataConfig::new("pictures") }
}

/// Loads a dataset, and counts the decoded images.
fn load(config: &DataConfig, data: &Path) -> (Dataset, u64) {
    let counter = Counter::default();
    let dataset = config.load_with(data, &counter).expect("readable");
    let decoded = counter.decoded.into_inner();
    assert_eq!(counter.announced.into_inner(), decoded);
    (dataset, decoded)
}

fn world() -> (tempfile::TempDir, PathBuf) {
    let directory = temporary();
    let pictures = directory.path().join("pictures");
    write_pictures(&pictures);
    (directory, pictures)
}

#[track_caller]
fn assert_equal(one: &Dataset, other: &Dataset) {
    assert_eq!(one.images, other.images);
    assert_eq!(one.parts, other.parts);
    assert_eq!(one.class_names, other.class_names);
    assert_eq!(one.file_names, other.file_names);
    assert_eq!(one.info, other.info);
    assert_eq!(one.skipped, other.skipped);
    assert_eq!(one.fingerprint, other.fingerprint);
    assert_eq!((&one.name, one.format), (&other.name, other.format));
}

/// The cache files, without those that Kiln uses to find them.
fn cache_files(data: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(cache_directory(data)).expect("a directory");
    let paths = entries.map(|entry| entry.expect("readable").path());
    paths.filter(|path| path.file_name().is_some_and(|name| name.len() > 64)).collect()
}

#[test]
fn a_dataset_is_decoded_once() {
    let (data, _) = world();
    let (first, decoded) = load(&config(), data.path());
    assert_eq!(decoded, 6);
    assert!(first.images.pixels.is_mapped());
    assert_eq!(first.class_names, ["cat", "dog"]);
    assert_eq!(first.images.shape.to_string(), "3×4");

    let (second, decoded) = load(&config(), data.path());
    assert_eq!(decoded, 0);
    assert_equal(&second, &first);
    assert_eq!(second.notes, first.notes);

    let info = first.info.as_ref().expect("decoded pictures");
    assert_eq!((info[0].width, info[0].height), (6, 5));
    let length = fs::metadata(data.path().join("pictures/cat/0.bmp")).expect("readable").len();
    assert_eq!(info[0].bytes, length);
    assert_ne!(info[0].pixel_hash, info[1].pixel_hash);

    let name = cache_files(data.path())[0].file_name().map(|name| name.to_owned());
    let expected = format!("{}-1x3x4-stretch-000000", first.fingerprint);
    assert_eq!(name.as_deref(), Some(expected.as_ref()));
}

#[test]
fn other_settings_have_other_files() {
    let (data, _) = world();
    let (first, _) = load(&config(), data.path());
    let rgb = DataConfig { channels: Some(Channels::Rgb), ..config() };
    let (second, decoded) = load(&rgb, data.path());
    assert_eq!((decoded, second.images.shape.channels), (6, 3));
    assert_eq!(second.fingerprint, first.fingerprint);
    assert_eq!(cache_files(data.path()).len(), 2);
    // What only concerns the split is no reason to decode again.
    let split = DataConfig { split_seed: Some(7), ..rgb };
    assert_eq!(load(&split, data.path()).1, 0);
    assert_eq!(load(&config(), data.path()).1, 0);
}

#[test]
fn a_changed_file_is_noticed() {
    let (data, pictures) = world();
    let (first, _) = load(&config(), data.path());
    let path = pictures.join("dog/1.bmp");
    let before = fs::metadata(&path).expect("readable");
    write_picture(&pictures, "dog/1.bmp", 7);
    // As `cp --preserve` and `touch` can do.
    let file = File::options().write(true).open(&path).expect("writable");
    file.set_modified(before.modified().expect("known")).expect("settable");
    assert_eq!(file.metadata().expect("readable").len(), before.len());
    let (second, decoded) = load(&config(), data.path());
    assert_eq!(decoded, 6);
    assert_ne!(second.fingerprint, first.fingerprint);
    // The images of both classes alternate.
    assert_ne!(second.images.image(3), first.images.image(3));
    assert_eq!(second.images.image(4), first.images.image(4));

    write_picture(&pictures, "dog/3.bmp", 8);
    assert_eq!(load(&config(), data.path()).1, 7);
    fs::rename(pictures.join("dog/3.bmp"), pictures.join("cat/3.bmp")).expect("movable");
    let (moved, decoded) = load(&config(), data.path());
    assert_eq!((decoded, moved.images.labels), (7, vec![0, 1, 0, 1, 0, 1, 0]));
}

#[test]
fn every_damaged_byte_of_a_cache_file_is_noticed() {
    let (data, _) = world();
    let (mut first, _) = load(&config(), data.path());
    // The file that it maps is written below.
    first.images.pixels = first.images.pixels.to_vec().into();
    let path = cache_files(data.path()).remove(0);
    let content = fs::read(&path).expect("readable");
    // Magic, version, offset, checksum; pixels; table.
    for offset in [0, 8, 16, 40, 4096, 4096 + 71, 4096 + 72, content.len() - 1] {
        let mut damaged = content.clone();
        damaged[offset] ^= 1;
        fs::write(&path, damaged).expect("writable");
        let (second, decoded) = load(&config(), data.path());
        assert_eq!(decoded, 6, "byte {offset}");
        assert_equal(&second, &first);
    }
    for length in [0, 47, 4096, content.len() - 1] {
        fs::write(&path, &content[..length]).expect("writable");
        assert_eq!(load(&config(), data.path()).1, 6, "{length} bytes");
    }
    // A file that was copied is checked, and then trusted.
    let copy = path.with_extension("copy");
    fs::copy(&path, &copy).expect("writable");
    fs::rename(&copy, &path).expect("writable");
    assert_eq!(load(&config(), data.path()).1, 0);
    fs::write(cache_directory(data.path()).join("known.json"), "{").expect("writable");
    assert_eq!(load(&config(), data.path()).1, 6);
    fs::remove_file(&path).expect("removable");
    let (second, decoded) = load(&config(), data.path());
    assert_eq!(decoded, 6);
    assert_equal(&second, &first);
}

#[test]
fn a_killed_process_leaves_nothing_behind() {
    let (data, _) = world();
    let cache = cache_directory(data.path());
    fs::create_dir(&cache).expect("writable");
    fs::write(cache.join("tmp-1-0"), "incomplete").expect("writable");
    fs::write(cache.join("lock"), "").expect("writable");
    assert_eq!(load(&config(), data.path()).1, 6);
    assert!(!cache.join("tmp-1-0").exists());
    assert_eq!(load(&config(), data.path()).1, 0);
}

#[test]
fn one_of_several_processes_decodes() {
    let (data, _) = world();
    let start = Barrier::new(4);
    let counter = Counter::default();
    let datasets: Vec<Dataset> = std::thread::scope(|scope| {
        let load = || {
            start.wait();
            config().load_with(data.path(), &counter).expect("readable")
        };
        let threads: Vec<_> = (0..4).map(|_| scope.spawn(load)).collect();
        threads.into_iter().map(|thread| thread.join().expect("no panic")).collect()
    });
    assert_eq!(counter.decoded.into_inner(), 6);
    datasets.iter().for_each(|dataset| assert_equal(dataset, &datasets[0]));
}

#[test]
fn without_a_cache_images_are_decoded_into_memory() {
    let (data, _) = world();
    // No user can create files in a file.
    fs::write(cache_directory(data.path()), "").expect("writable");
    let (in_memory, decoded) = load(&config(), data.path());
    assert_eq!(decoded, 6);
    assert!(!in_memory.images.pixels.is_mapped());
    let note = in_memory.notes.last().expect("a note");
    assert!(note.contains("not kept in the cache") && note.contains(".cache"), "{note}");

    fs::remove_file(cache_directory(data.path())).expect("removable");
    let (cached, _) = load(&config(), data.path());
    assert!(cached.images.pixels.is_mapped());
    assert_equal(&cached, &in_memory);
}

#[test]
fn all_broken_files_are_reported_or_skipped() {
    let (data, pictures) = world();
    fs::write(pictures.join("cat/1.bmp"), "BM").expect("writable");
    let png = pictures.join("dog/0.bmp");
    GrayImage::new(20, 20).save_with_format(&png, ImageFormat::Png).expect("writable");
    let length = fs::metadata(&png).expect("readable").len();
    File::options().write(true).open(&png).expect("writable").set_len(length - 20).expect("short");
    let Err(DataError::BrokenImages { files, .. }) = config().load(data.path()) else {
        panic!("broken images");
    };
    let paths: Vec<_> = files.iter().map(|file| file.path.to_string_lossy()).collect();
    assert_eq!(paths, ["dog/0.bmp", "cat/1.bmp"]);
    assert!(cache_files(data.path()).is_empty());

    let skip = DataConfig { broken: Broken::Skip, ..config() };
    let (first, _) = load(&skip, data.path());
    assert_eq!(first.skipped, files);
    assert_eq!(first.images.labels, [0, 1, 0, 1]);
    let names = first.file_names.clone().expect("names");
    assert_eq!(names, ["cat/0.bmp", "dog/1.bmp", "cat/2.bmp", "dog/2.bmp"]);
    let (second, decoded) = load(&skip, data.path());
    assert_eq!(decoded, 0);
    assert_equal(&second, &first);
    fs::remove_file(pictures.join("cat/1.bmp")).expect("removable");
    fs::remove_file(pictures.join("dog/0.bmp")).expect("removable");
    let (without, _) = load(&config(), data.path());
    assert_eq!(without.images, first.images);
    assert_eq!(without.fingerprint, first.fingerprint);
    assert!(without.skipped.is_empty());
}

#[test]
fn arrays_are_cached_if_they_are_resized() {
    let data = temporary();
    let directory = data.path().join("arrays");
    fs::create_dir(&directory).expect("writable");
    write_plain(&directory, &valid_files());
    let plain = DataConfig::new("arrays");
    let (original, decoded) = load(&plain, data.path());
    assert_eq!(decoded, 0);
    assert!(!original.images.pixels.is_mapped() && !cache_directory(data.path()).exists());

    let wide = DataConfig {
        image: Some(ImageSize { height: 2, width: 3 }),
        channels: Some(Channels::Rgb),
        ..plain
    };
    let (resized, decoded) = load(&wide, data.path());
    assert_eq!(decoded, 6);
    assert!(resized.images.pixels.is_mapped());
    assert_eq!(resized.fingerprint, original.fingerprint);
    let image = original.images.image(5);
    assert_eq!(resized.images.image(5), [image, image, image].concat());
    let info = resized.info();
    assert_eq!(*info, *original.info());
    assert_eq!((info[0].width, info[0].mode), (3, PictureMode::Gray));
    let (again, decoded) = load(&wide, data.path());
    assert_eq!(decoded, 0);
    assert_equal(&again, &resized);
}

#[test]
fn summaries_depend_on_the_settings() {
    let (data, _) = world();
    let mut known = KnownDatasets::default();
    let rgb = DataConfig { channels: Some(Channels::Rgb), ..config() };
    let summary = known.summary(&config(), data.path()).expect("readable");
    assert_eq!(summary.shape.channels, 1);
    assert_eq!(known.summary(&rgb, data.path()).expect("readable").shape.channels, 3);
    assert_eq!(known.summary(&config(), data.path()).expect("readable"), summary);
}

/// Files that change right after they were read, within one tick of a coarse clock, may keep their stamp.
#[test]
fn files_that_were_just_written_are_not_remembered() {
    let data = temporary();
    let directory = data.path().join("arrays");
    fs::create_dir(&directory).expect("writable");
    // A stamp counts when it is 100 ms old, and the clock of the file system may be 10 ms behind.
    let certainly_new = Duration::from_millis(90);
    for _ in 0..1000 {
        let start = Instant::now();
        write_plain(&directory, &valid_files());
        let mut known = KnownDatasets::default();
        known.summary(&DataConfig::new("arrays"), data.path()).expect("readable");
        // Otherwise the machine did something else in between.
        if start.elapsed() < certainly_new {
            assert_eq!(known, KnownDatasets::default());
            return;
        }
    }
    panic!("reading a small dataset never took less than {certainly_new:?}");
}

#[test]
fn the_cache_can_be_removed() {
    let (data, _) = world();
    assert_eq!(remove_cache(data.path()).expect("nothing to do"), 0);
    let (dataset, _) = load(&config(), data.path());
    let size = cache_size(data.path());
    assert!(size > 4096);
    assert_eq!(remove_cache(data.path()).expect("removable"), size);
    assert!(!cache_directory(data.path()).exists());
    // What is mapped remains.
    assert_eq!(dataset.images.image(0).len(), 12);
    assert_equal(&load(&config(), data.path()).0, &dataset);
}
