//! The list of augmentations as one setting.

use toml::de::{DeArray, DeTable};

use crate::toml_text::{in_order, text};

/// The key of the list.
pub(crate) const KEY: &str = "augment";

/// The list without transforms.
pub(crate) const NONE: &str = "none";

/// The list in short, with every value that has an effect: `random_flip(mode=horizontal), random_crop(padding=4,
/// fill_mode=nearest)`. `None` if it is not a list of tables with a type.
pub(crate) fn summary(array: &DeArray<'_>) -> Option<String> {
    let transforms = array.iter().map(|transform| one(transform.get_ref().as_table()?));
    let transforms = transforms.collect::<Option<Vec<_>>>()?;
    Some(if transforms.is_empty() { NONE.to_owned() } else { transforms.join(", ") })
}

fn one(transform: &DeTable<'_>) -> Option<String> {
    let kind = transform.get("type")?.get_ref().as_str()?;
    let is = |key, value| {
        transform
            .get(key)
            .and_then(|found| found.get_ref().as_str())
            .is_some_and(|found| found == value)
    };
    let values = in_order(transform)
        .into_iter()
        .filter(|(key, _)| *key != "type")
        // Only constant edges have a value.
        .filter(|(key, _)| *key != "fill_value" || is("fill_mode", "constant"))
        .map(|(key, value)| format!("{key}={}", text(value)));
    let values: Vec<String> = values.collect();
    Some(format!("{kind}({})", values.join(", ")))
}

#[cfg(test)]
mod tests {
    use toml::de::DeValue;

    use super::*;

    fn shown(list: &str) -> Option<String> {
        let text = format!("augment = {list}");
        let table = DeTable::parse(&text).expect("valid TOML");
        match table.get_ref().get("augment")?.get_ref() {
            DeValue::Array(array) => summary(array),
            _ => None,
        }
    }

    #[test]
    fn a_list_is_shown_with_every_value_that_has_an_effect() {
        let list = r#"[{ type = "random_flip", mode = "horizontal" },
            { type = "random_crop", padding = 4, fill_mode = "nearest", fill_value = 0.0 },
            { type = "random_crop", padding = 2, fill_mode = "constant", fill_value = 7.0 }, { type = "mix_up", alpha = 0.2 }]"#;
        let expected = "random_flip(mode=horizontal), random_crop(padding=4, fill_mode=nearest), \
                        random_crop(padding=2, fill_mode=constant, fill_value=7.0), mix_up(alpha=0.2)";
        assert_eq!(shown(list).as_deref(), Some(expected));
        assert_eq!(shown("[]").as_deref(), Some("none"));
        assert_eq!(shown("[1]"), None);
        assert_eq!(shown("[{ mode = 1 }]"), None);
    }
}
