//! The order in which people sort names: `image2` before `image10`. It does not depend on a language.

use std::cmp::Ordering;

/// Compares names. Digits are compared as numbers, everything else by code points.
pub(crate) fn compare(one: &str, other: &str) -> Ordering {
    let (mut rest, mut other_rest) = (one, other);
    loop {
        let (digits, after) = number(rest);
        let (other_digits, other_after) = number(other_rest);
        if !digits.is_empty() && !other_digits.is_empty() {
            let [value, other_value] =
                [digits, other_digits].map(|digits| digits.trim_start_matches('0'));
            let order = value.len().cmp(&other_value.len()).then_with(|| value.cmp(other_value));
            if order.is_ne() {
                return order;
            }
            (rest, other_rest) = (after, other_after);
            continue;
        }
        let (mut chars, mut other_chars) = (rest.chars(), other_rest.chars());
        match (chars.next(), other_chars.next()) {
            (Some(char), Some(other_char)) if char == other_char => {
                (rest, other_rest) = (chars.as_str(), other_chars.as_str());
            }
            // Names that differ only in leading zeros are still different.
            (None, None) => return one.cmp(other),
            (char, other_char) => return char.cmp(&other_char),
        }
    }
}

/// Compares relative paths with `/`, directory by directory.
pub(crate) fn compare_paths(one: &str, other: &str) -> Ordering {
    let (mut names, mut other_names) = (one.split('/'), other.split('/'));
    loop {
        match (names.next(), other_names.next()) {
            (Some(name), Some(other_name)) => match compare(name, other_name) {
                Ordering::Equal => {}
                order => return order,
            },
            (name, other_name) => return name.is_some().cmp(&other_name.is_some()),
        }
    }
}

/// The digits at the start of a text, and the rest.
fn number(text: &str) -> (&str, &str) {
    let end = text.find(|char: char| !char.is_ascii_digit()).unwrap_or(text.len());
    text.split_at(end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_compared_by_value() {
        let sorted = [
            "",
            "01",
            "1",
            "2",
            "10",
            "100000000000000000000000",
            "a",
            "a1",
            "a1b",
            "a2",
            "a10",
            "b",
            "é",
            "犬1",
            "犬2",
            "犬10",
        ];
        for (index, one) in sorted.iter().enumerate() {
            for (other_index, other) in sorted.iter().enumerate() {
                assert_eq!(compare(one, other), index.cmp(&other_index), "{one:?} {other:?}");
            }
        }
    }

    #[test]
    fn paths_are_compared_by_directory() {
        let sorted = ["2/a", "10/1", "a/2", "a/10", "a b/1", "b"];
        for pair in sorted.windows(2) {
            assert_eq!(compare_paths(pair[0], pair[1]), Ordering::Less, "{pair:?}");
        }
    }
}
