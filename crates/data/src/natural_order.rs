//! The natural order of names: `img2` is before `img10`.

use std::cmp::Ordering;

/// Compares texts so that runs of ASCII digits are compared as numbers and everything else by code point. Different texts
/// are never equal: `01` and `1` differ in their number of zeros.
pub(crate) fn compare(left: &str, right: &str) -> Ordering {
    let (mut a, mut b) = (left, right);
    loop {
        match (a.chars().next(), b.chars().next()) {
            (None, None) => return left.cmp(right),
            (None, Some(_)) => return Ordering::Less,
            (Some(_), None) => return Ordering::Greater,
            (Some(x), Some(y)) if x.is_ascii_digit() && y.is_ascii_digit() => {
                let (first, second) = (take_number(&mut a), take_number(&mut b));
                // Without leading zeros, the longer number is the larger one.
                let order = first.len().cmp(&second.len()).then_with(|| first.cmp(second));
                if order != Ordering::Equal {
                    return order;
                }
            }
            (Some(x), Some(y)) if x != y => return x.cmp(&y),
            (Some(x), Some(_)) => {
                a = &a[x.len_utf8()..];
                b = &b[x.len_utf8()..];
            }
        }
    }
}

/// Removes the digits at the start of `text`. Returns them without leading zeros.
fn take_number<'a>(text: &mut &'a str) -> &'a str {
    let end = text.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(text.len());
    let (number, rest) = text.split_at(end);
    *text = rest;
    number.trim_start_matches('0')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_compared_as_numbers() {
        let mut names = ["b", "img10", "img2", "img02", "a", "10", "9", "img2b", "帽子", ""];
        names.sort_by(|left, right| compare(left, right));
        assert_eq!(names, ["", "9", "10", "a", "b", "img02", "img2", "img2b", "img10", "帽子"]);
    }
}
