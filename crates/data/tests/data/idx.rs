//! IDX files of colors and with wider labels, and other names of the files.

use std::fs;
use std::path::Path;

use crate::common::{FILES, idx, temporary, test, train, valid_files, write_plain};
use kiln_data::{DataConfig, DataError, Dataset, Layout};

fn load(directory: &Path) -> Result<Dataset, DataError> {
    DataConfig::new(directory.to_str().expect("UTF-8")).load(temporary().path())
}

fn original() -> Dataset {
    let directory = temporary();
    write_plain(directory.path(), &valid_files());
    load(directory.path()).expect("valid")
}

#[test]
fn images_can_have_channels() {
    let [_, labels, _, test_labels] = valid_files();
    let pixels: Vec<u8> = (0..36).map(|value| value * 7).collect();
    let gray = [
        idx(&[4, 2, 3, 1], &pixels[..24]),
        labels.clone(),
        idx(&[2, 2, 3, 1], &pixels[24..]),
        test_labels.clone(),
    ];
    let directory = temporary();
    write_plain(directory.path(), &gray);
    assert_eq!(train(&load(directory.path()).expect("valid")), train(&original()));

    let pixels: Vec<u8> = (0..54).collect();
    let color =
        [idx(&[4, 1, 3, 3], &pixels[..36]), labels, idx(&[2, 1, 3, 3], &pixels[36..]), test_labels];
    let directory = temporary();
    write_plain(directory.path(), &color);
    let error = load(directory.path()).expect_err("1 or 3 channels").to_string();
    assert!(error.contains("train-images") && error.contains("data.layout = \"nhwc\""), "{error}");
    let source = directory.path().to_str().expect("UTF-8");
    let config = DataConfig { layout: Some(Layout::Nhwc), ..DataConfig::new(source) };
    let dataset = config.load(temporary().path()).expect("valid");
    assert_eq!(dataset.images.shape.to_string(), "3×1×3");
    assert_eq!(train(&dataset).image(0), [0, 3, 6, 1, 4, 7, 2, 5, 8]);
}

#[test]
fn labels_can_have_16_and_32_bits() {
    for (code, bytes) in [(0x0b_u8, 2), (0x0c, 4)] {
        let mut files = valid_files();
        for file in [1, 3] {
            let labels = files[file][8..].to_vec();
            let wide: Vec<u8> = labels
                .iter()
                .flat_map(|label| u32::from(*label).to_be_bytes()[4 - bytes..].to_vec())
                .collect();
            files[file] = idx(&[u32::try_from(labels.len()).expect("few")], &wide);
            files[file][2] = code;
        }
        let directory = temporary();
        write_plain(directory.path(), &files);
        let dataset = load(directory.path()).expect("valid");
        assert_eq!(train(&dataset), train(&original()));
        assert_eq!(test(&dataset), test(&original()));

        // 300 classes, and a negative label.
        for (label, expected) in [(300_i32, None), (-1, Some("row 0 (byte 8) has label -1"))] {
            files[1].splice(8..8 + bytes, label.to_be_bytes()[4 - bytes..].to_vec());
            write_plain(directory.path(), &files);
            match (load(directory.path()), expected) {
                (Ok(dataset), None) => {
                    assert_eq!(train(&dataset).labels, [300, 1, 2, 1]);
                    assert_eq!(dataset.class_names.len(), 301);
                }
                (Err(error), Some(text)) => assert!(error.to_string().contains(text), "{error}"),
                (result, _) => panic!("{label}: {:?}", result.map(|dataset| dataset.class_names)),
            }
        }
    }
}

#[test]
fn files_can_have_a_dot_or_be_in_a_directory_of_their_name() {
    let directory = temporary();
    for (name, content) in FILES.iter().zip(valid_files()) {
        let dotted = name.replace("-idx", ".idx");
        fs::write(directory.path().join(dotted), content).expect("writable");
    }
    let dotted = load(directory.path()).expect("valid");
    assert_eq!(dotted.fingerprint, original().fingerprint);

    let directory = temporary();
    for (name, content) in FILES.iter().zip(valid_files()) {
        fs::create_dir(directory.path().join(name)).expect("writable");
        fs::write(directory.path().join(name).join(name), content).expect("writable");
    }
    let inside = load(directory.path()).expect("valid");
    assert_eq!(inside.fingerprint, original().fingerprint);
}
