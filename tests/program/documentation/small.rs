//! The files that the pages' commands need, with little data so that the commands are quick in a debug build.

use std::fs::{self, File};
use std::io::Read;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use flate2::read::GzDecoder;

use crate::columns::idx_header;

/// Kiln calls a dataset by the name of its directory, so the output is that of the real dataset.
const DATASET: &str = "small/fashion-mnist";
const TRAINING_IMAGES: u32 = 300;
const TEST_IMAGES: u32 = 50;
/// In place of the 5,000 of the shipped configurations.
const VALIDATION_IMAGES: u32 = 100;

const CLASSES: &str =
    "T-shirt/top\nTrouser\nPullover\nDress\nCoat\nSandal\nShirt\nSneaker\nBag\nAnkle boot\n";

/// `cargo` as the pages use it. The binary is built already, and the tests are running.
const CARGO: &str = "#!/bin/sh\n\
    case \"$*\" in\n\
    \"run --release -- \"*) shift 3; exec kiln \"$@\" ;;\n\
    \"test --workspace\") ;;\n\
    *) echo \"unexpected: cargo $*\" >&2; exit 1 ;;\n\
    esac\n";

/// Writes a copy of the shipped configurations that trains on a few images, the dataset, and `kiln` and `cargo` in `bin`.
pub(super) fn write(directory: &Path) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    copy_configs(&root.join("configs"), &directory.join("configs"));
    fs::create_dir(directory.join("data")).unwrap();
    symlink(root.join("data/fashion-mnist"), directory.join("data/fashion-mnist")).unwrap();

    let small = directory.join(DATASET);
    fs::create_dir_all(&small).unwrap();
    fs::write(small.join("classes.txt"), CLASSES).unwrap();
    for (part, count) in [("train", TRAINING_IMAGES), ("t10k", TEST_IMAGES)] {
        let images = [count, 28, 28];
        write_head(root, &small, &format!("{part}-images-idx3-ubyte"), &images);
        write_head(root, &small, &format!("{part}-labels-idx1-ubyte"), &images[..1]);
    }
    write_pictures(directory, &small);
    write_folder(&directory.join("photos"), &small);

    let bin = directory.join("bin");
    fs::create_dir(&bin).unwrap();
    symlink(env!("CARGO_BIN_EXE_kiln"), bin.join("kiln")).unwrap();
    fs::write(bin.join("cargo"), CARGO).unwrap();
    fs::set_permissions(bin.join("cargo"), fs::Permissions::from_mode(0o755)).unwrap();
}

fn copy_configs(from: &Path, to: &Path) {
    fs::create_dir(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let target = to.join(path.file_name().unwrap());
        if path.is_dir() {
            copy_configs(&path, &target);
        } else {
            fs::write(target, shortened(&fs::read_to_string(path).unwrap())).unwrap();
        }
    }
}

/// An experiment or a sweep that is quick in a debug build: little data, few epochs and seeds, and Burn's engine, because
/// Burn is optimized in debug builds and Kiln's own engine is not.
pub(super) fn shortened(text: &str) -> String {
    let is_experiment = text.contains("[optimizer]") && !text.contains("[device]");
    let device = if is_experiment { "\n[device]\nengine = \"generic\"\n" } else { "" };
    let source = format!("source = \"./{DATASET}\"");
    let validation = format!("validation = {VALIDATION_IMAGES}");
    let text = text
        .replace("source = \"fashion-mnist\"", &source)
        .replace("validation = 5000", &validation)
        .replace("epochs = 10\n", "epochs = 3\n")
        .replace("seed = [1, 2, 3]", "seed = [1, 2]");
    text + device
}

/// Writes the first images or labels of a committed file.
fn write_head(root: &Path, target: &Path, name: &str, dimensions: &[u32]) {
    let original = File::open(root.join(format!("data/fashion-mnist/{name}.gz"))).unwrap();
    let old_header = 4 + 4 * dimensions.len();
    let values: u32 = dimensions.iter().product();
    let mut bytes = Vec::new();
    let length = (old_header + values as usize) as u64;
    GzDecoder::new(original).take(length).read_to_end(&mut bytes).unwrap();
    let content = [idx_header(dimensions), bytes.split_off(old_header)].concat();
    fs::write(target.join(name), content).unwrap();
}

/// Pictures to classify, as a reader has them: two test images.
fn write_pictures(directory: &Path, dataset: &Path) {
    let images = fs::read(dataset.join("t10k-images-idx3-ubyte")).unwrap();
    for (index, name) in ["boot.png", "shirt.png"].into_iter().enumerate() {
        let pixels = images[16 + 784 * index..][..784].to_vec();
        let picture = image::GrayImage::from_raw(28, 28, pixels).unwrap();
        picture.save(directory.join(name)).unwrap();
    }
}

/// A directory of pictures of three classes and several sizes: training images of shoes, trousers and bags.
fn write_folder(photos: &Path, dataset: &Path) {
    let images = fs::read(dataset.join("train-images-idx3-ubyte")).unwrap();
    let labels = fs::read(dataset.join("train-labels-idx1-ubyte")).unwrap();
    for (row, (pixels, label)) in images[16..].chunks(784).zip(&labels[8..]).enumerate() {
        let Some(class) = [(1, "trousers"), (7, "shoes"), (8, "bags")]
            .into_iter()
            .find_map(|(number, name)| (number == *label).then_some(name))
        else {
            continue;
        };
        let picture = image::GrayImage::from_raw(28, 28, pixels.to_vec()).unwrap();
        let size = 28 + row as u32 % 3 * 14;
        let picture =
            image::imageops::resize(&picture, size, size, image::imageops::FilterType::Triangle);
        fs::create_dir_all(photos.join(class)).unwrap();
        picture.save(photos.join(class).join(format!("{row}.png"))).unwrap();
    }
}
