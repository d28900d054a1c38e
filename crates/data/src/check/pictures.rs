//! Sizes and modes of picture files that depend on the class, and files that cannot be read.

use std::collections::BTreeMap;
use std::path::Path;

use super::{Examined, Finding, MAX_EXAMPLES, Severity, count, percent};
use crate::{Broken, Dataset, Part};

/// A property identifies a class if at least this share of its images have it, and at most [`RARE`] of the others do.
const COMMON: f64 = 0.9;

/// See [`COMMON`].
const RARE: f64 = 0.1;

/// Classes with fewer images than this have a property in common by chance.
const MIN_IMAGES: usize = 5;

/// A property of pictures.
struct Property {
    kind: &'static str,
    name: &'static str,
    /// The property of an image, as shown to users; `None` if it is not known.
    of: fn(&Dataset, usize) -> Option<String>,
}

/// The properties, the most telling ones first.
const PROPERTIES: [Property; 4] = [
    Property { kind: "color_tells_class", name: "color", of: color },
    Property { kind: "mode_tells_class", name: "mode", of: mode },
    Property { kind: "size_tells_class", name: "size", of: size },
    Property { kind: "file_type_tells_class", name: "file type", of: file_type },
];

fn color(dataset: &Dataset, row: usize) -> Option<String> {
    let shape = dataset.images.shape;
    let image = dataset.images.image(row);
    let (red, others) = image.split_at(shape.height * shape.width);
    let is_gray = others.chunks_exact(red.len()).all(|plane| plane == red);
    (shape.channels == 3).then(|| if is_gray { "gray" } else { "in color" }.to_owned())
}

fn mode(dataset: &Dataset, row: usize) -> Option<String> {
    Some(dataset.info.as_ref()?[row].mode.to_string())
}

fn size(dataset: &Dataset, row: usize) -> Option<String> {
    let info = &dataset.info.as_ref()?[row];
    Some(format!("{}×{}", info.width, info.height))
}

fn file_type(dataset: &Dataset, row: usize) -> Option<String> {
    let extension = Path::new(&dataset.file_names.as_ref()?[row]).extension()?;
    let extension = extension.to_string_lossy().to_lowercase();
    Some(format!(".{}", if extension == "jpeg" { "jpg" } else { &extension }))
}

/// Files that were skipped because they cannot be read.
pub(super) fn unreadable(examined: &Examined<'_>) -> Vec<Finding> {
    let skipped = &examined.dataset.skipped;
    if skipped.is_empty() {
        return Vec::new();
    }
    let all = skipped.len() + examined.dataset.images.len();
    vec![Finding {
        kind: "unreadable_images",
        severity: match examined.config.broken {
            Broken::Skip => Severity::Warning,
            // Only an examination gets this far; a run does not start.
            Broken::Error => Severity::Error,
        },
        message: format!(
            "{} ({}) cannot be read",
            count(skipped.len(), "file"),
            percent(skipped.len(), all)
        ),
        help: "repair or remove them; data.broken=skip trains without them".into(),
        count: skipped.len(),
        examples: skipped
            .iter()
            .take(MAX_EXAMPLES)
            .map(|file| format!("{}: {}", file.path.display(), file.reason))
            .collect(),
    }]
}

/// Classes whose images are recognized by a property of their files. The network learns it instead of what they show.
pub(super) fn telling_properties(examined: &Examined<'_>) -> Vec<Finding> {
    let telling = PROPERTIES.iter().filter_map(|property| telling(examined, property));
    // A gray class also has another mode and often another file type: one finding is enough.
    telling.take(1).collect()
}

fn telling(examined: &Examined<'_>, property: &Property) -> Option<Finding> {
    let name = property.name;
    let labels = &examined.dataset.images.labels;
    let mut by_value: BTreeMap<String, Vec<usize>> = BTreeMap::new();
    let mut of_class = vec![0; examined.dataset.class_names.len()];
    for part in [Part::Training, Part::Validation, Part::Test] {
        for &row in examined.rows(part) {
            let class = usize::from(labels[row as usize]);
            of_class[class] += 1;
            let value = (property.of)(examined.dataset, row as usize)?;
            let counts = by_value.entry(value).or_default();
            counts.resize(of_class.len(), 0);
            counts[class] += 1;
        }
    }
    let total: usize = of_class.iter().sum();
    let mut telling = Vec::new();
    for (value, counts) in &by_value {
        let with_value: usize = counts.iter().sum();
        for (class, (&have, &images)) in counts.iter().zip(&of_class).enumerate() {
            let others = total - images;
            if images >= MIN_IMAGES
                && others >= MIN_IMAGES
                && have as f64 >= COMMON * images as f64
                && (with_value - have) as f64 <= RARE * others as f64
            {
                telling.push((class, value, have, images, with_value - have, others));
            }
        }
    }
    telling.sort_unstable();
    let &(class, value, have, images, elsewhere, others) = telling.first()?;
    Some(Finding {
        kind: property.kind,
        severity: Severity::Warning,
        message: format!(
            "the {name} of the images tells the class: {have} of {images} images of {} are {value}, but only {} of the \
             others{}",
            examined.class_name(class),
            percent(elsewhere, others),
            match telling.len() - 1 {
                0 => String::new(),
                more => format!("; likewise {}", count(more, "other class")),
            }
        ),
        help: format!(
            "get images of all classes from the same source; a network that learns the {name} fails on others"
        ),
        count: telling.len(),
        examples: telling
            .iter()
            .take(MAX_EXAMPLES)
            .map(|(class, value, ..)| format!("{}: {value}", examined.dataset.class_names[*class]))
            .collect(),
    })
}
