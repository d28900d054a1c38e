use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::comparison::Comparison;

/// The most pictures of mistakes that the page holds.
pub const MOST_PICTURES: usize = 8;
/// The most bytes that they have, before they are written as text.
pub const MOST_PICTURE_BYTES: usize = 1_000_000;

/// What every PNG file begins with.
const SIGNATURE: &[u8] = b"\x89PNG\r\n\x1a\n";

/// The runs' pictures of their most confident mistakes.
pub(super) struct Mistakes {
    pub(super) note: String,
    pub(super) pictures: Vec<Picture>,
}

/// The picture of one run.
pub(super) struct Picture {
    pub(super) name: String,
    pub(super) alt: String,
    pub(super) base64: String,
}

impl Mistakes {
    /// One run of each of the best combinations that have a picture.
    pub(super) fn new(comparison: &Comparison) -> Self {
        let mut pictures: Vec<Picture> = Vec::new();
        let mut bytes = 0;
        let tested = comparison.combinations.iter().filter(|all| all.is_tested());
        for combination in tested.clone() {
            if pictures.len() == MOST_PICTURES {
                break;
            }
            let picture =
                combination.runs.iter().filter(|run| run.test.is_some()).find_map(|run| {
                    let path = run.directory.mistakes_path();
                    let room = (MOST_PICTURE_BYTES - bytes) as u64;
                    let content = kiln_config::read_bytes(&path, room).ok()?;
                    content.starts_with(SIGNATURE).then_some((run, content))
                });
            let Some((run, content)) = picture else { continue };
            bytes += content.len();
            let name = format!("{}, seed {}", combination.label(&comparison.columns), run.seed);
            pictures.push(Picture {
                alt: format!("The most confident mistakes of {name}"),
                name,
                base64: STANDARD.encode(&content),
            });
        }
        let all = tested.count();
        let note = if pictures.len() < all {
            format!(
                "One run of each of {} combinations, in the order of the ranking; to keep this file small the others’ pictures, \
                 of {all} in all, are not in it. See mistakes.png in their directories.",
                pictures.len()
            )
        } else {
            "One run of each combination.".to_owned()
        };
        Self { note, pictures }
    }
}
