use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use kiln_store::Checksum;

use crate::combination::RunSummary;
use crate::comparison::Comparison;

/// The largest number of pictures of mistakes in the page.
pub const MAX_PICTURES: usize = 8;
/// The largest size of all of them, in bytes before the Base64 encoding.
pub const MAX_PICTURE_BYTES: usize = 1_000_000;

/// The largest number of combinations in which pictures are looked for: if those of the first ones are missing, as after
/// `kiln clean`, so are the others.
const MAX_TRIES: usize = 4 * MAX_PICTURES;

/// The first bytes of every PNG file.
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
    /// Takes the picture of one run of each combination, the best first, within the limits.
    pub(super) fn new(comparison: &Comparison) -> Self {
        let mut pictures: Vec<Picture> = Vec::new();
        let mut bytes = 0;
        let tested = comparison.combinations.iter().filter(|combination| combination.is_tested());
        for combination in tested.clone().take(MAX_TRIES) {
            if pictures.len() == MAX_PICTURES {
                break;
            }
            // The limit applies to all pictures together.
            let room = (MAX_PICTURE_BYTES - bytes) as u64;
            let mut tested = combination.runs.iter().filter(|run| run.test.is_some());
            let picture = tested.find_map(|run| Some((run, picture(run, room)?)));
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
                "One run of each of the {} best of {all} combinations. The other pictures are omitted to keep this file \
                 small: see mistakes.png in the directories of the runs.",
                pictures.len()
            )
        } else {
            "One run of each combination.".to_owned()
        };
        Self { note, pictures }
    }
}

/// The picture of a run, if it is one and as large as expected.
fn picture(run: &RunSummary, most: u64) -> Option<Vec<u8>> {
    let path = run.directory.mistakes_path();
    let content = kiln_config::read_bytes(&path, most).ok()?;
    let record = run.directory.read_record().ok()?;
    let is_intact = |sum: &Checksum| sum.check_content(&path, &content).is_ok();
    let is_intact = record.files.get("mistakes.png").is_none_or(is_intact);
    (is_intact && content.starts_with(SIGNATURE)).then_some(content)
}
