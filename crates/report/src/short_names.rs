use std::borrow::Cow;
use std::collections::HashSet;

/// The separators of the parts of a name: `flatten, 300 relu, 100 relu`.
const SEPARATOR: &str = ", ";

/// The names with at most `longest` characters each, so that they stay distinguishable where possible.
///
/// If a name is too long, the parts that all names begin or end with are replaced by `…` in all of them. What is still
/// too long is cut in the middle.
#[must_use]
pub fn short_names<T: AsRef<str>>(names: &[T], longest: usize) -> Vec<String> {
    let names: Vec<&str> = names.iter().map(AsRef::as_ref).collect();
    if names.iter().all(|name| is_within(name, longest)) {
        return names.iter().map(|name| (*name).to_owned()).collect();
    }
    let names = without_common_ends(&names);
    // The share of the characters that are kept at the beginning. Names that differ only near one end need another one
    // than most.
    let shares = [0.6, 0.3, 0.9, 0.0, 1.0];
    let attempts = [true, false].into_iter().flat_map(|words| shares.map(|share| (share, words)));
    let attempts = attempts.map(|(share, words)| -> Vec<String> {
        names.iter().map(|name| cut(name, longest, share, words)).collect()
    });
    let distinct = |names: &Vec<String>| names.iter().collect::<HashSet<_>>().len();
    // The first of the best: `max_by_key` returns the last one.
    let attempts: Vec<_> = attempts.collect();
    attempts.into_iter().rev().max_by_key(distinct).unwrap_or_default()
}

fn is_within(name: &str, longest: usize) -> bool {
    name.chars().nth(longest).is_none()
}

/// The names without the parts that all begin or end with. Each keeps at least one part.
fn without_common_ends<'a>(names: &[&'a str]) -> Vec<Cow<'a, str>> {
    let parts: Vec<Vec<&str>> = names.iter().map(|name| name.split(SEPARATOR).collect()).collect();
    let shortest = parts.iter().map(Vec::len).min().unwrap_or(0);
    let is_common = |part: &dyn Fn(&[&'a str]) -> &'a str| {
        parts.windows(2).all(|two| part(&two[0]) == part(&two[1]))
    };
    let limit = if names.windows(2).all(|two| two[0] == two[1]) { 0 } else { shortest - 1 };
    let first = (0..limit).take_while(|index| is_common(&|parts| parts[*index])).count();
    let last = (0..limit - first)
        .take_while(|index| is_common(&|parts| parts[parts.len() - 1 - index]))
        .count();
    let shorter = |(name, parts): (&&'a str, &Vec<&'a str>)| {
        if first + last == 0 {
            return Cow::Borrowed(*name);
        }
        let before = if first > 0 { "… " } else { "" };
        let after = if last > 0 { " …" } else { "" };
        Cow::Owned(format!("{before}{}{after}", parts[first..parts.len() - last].join(SEPARATOR)))
    };
    names.iter().zip(&parts).map(shorter).collect()
}

/// At most `longest` characters; `…` replaces the middle of a longer name, after `share` of the characters that stay.
/// With `words`, short pieces of words next to it go as well.
fn cut(name: &str, longest: usize, share: f64, words: bool) -> String {
    if is_within(name, longest) {
        return name.to_owned();
    }
    let characters: Vec<char> = name.chars().collect();
    let kept = longest.saturating_sub(1);
    let before = (kept as f64 * share).round() as usize;
    let (head, tail) = (&characters[..before], &characters[characters.len() - (kept - before)..]);
    let is_space = |character: &char| *character == ' ';
    let (head, tail) = if words {
        let end = head.iter().rposition(is_space).filter(|end| 3 * end >= 2 * head.len());
        let start = tail.iter().position(is_space).filter(|start| 3 * start <= tail.len());
        (&head[..end.unwrap_or(head.len())], &tail[start.unwrap_or(0)..])
    } else {
        (head, tail)
    };
    let (head, tail): (String, String) = (head.iter().collect(), tail.iter().collect());
    format!("{}…{}", head.trim_end_matches([' ', ',']), tail.trim_start())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_names_stay_as_they_are() {
        assert_eq!(short_names(&["a, b", "a, c"], 4), ["a, b", "a, c"]);
        assert_eq!(short_names::<&str>(&[], 4), Vec::<String>::new());
    }

    #[test]
    fn what_all_begin_or_end_with_is_cut_first() {
        let names = [
            "flatten, 300 relu, dropout 0.2, 100 relu, classes softmax",
            "flatten, 300 relu, 100 relu, classes softmax",
            "flatten, 300 relu, 50 tanh, 50 tanh, 100 relu, classes softmax",
        ];
        assert_eq!(
            short_names(&names, 30),
            ["… dropout 0.2, 100 relu …", "… 100 relu …", "… 50 tanh, 50 tanh, 100 relu …"]
        );
    }

    #[test]
    fn each_name_keeps_a_part() {
        assert_eq!(
            short_names(&["a, b, a", "a, a"], 4),
            ["… b, a", "… a"].map(|name| cut(name, 4, 0.6, true))
        );
    }

    #[test]
    fn long_names_are_cut_where_they_are_alike() {
        let names = ["one long name that ends in a", "one long name that ends in b"];
        assert_eq!(short_names(&names, 12), ["one lon…in a", "one lon…in b"]);
        let middle = ["xxxxxxxxxxxxxxxxAyyyyy", "xxxxxxxxxxxxxxxxByyyyy"];
        let short = short_names(&middle, 10);
        assert_ne!(short[0], short[1], "{short:?}");
    }

    #[test]
    fn pieces_of_words_are_cut_off() {
        let names = ["batch_normalization, 100 relu, 50 tanh, 50 tanh", "dropout"];
        assert_eq!(short_names(&names, 28)[0], "batch_normalizat…50 tanh");
    }

    #[test]
    fn no_name_is_longer_than_the_limit() {
        for longest in 1..20 {
            let names =
                ["帽子 and more than that, or less", "b, c", "", "x, y, z, 1234567890123456"];
            for name in short_names(&names, longest) {
                assert!(name.chars().count() <= longest, "{name} {longest}");
            }
        }
    }
}
