/// Why a text cannot be the name or id of a run, which is the name of its directory.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NameError {
    /// The text is empty.
    #[error("it is empty")]
    Empty,
    /// File systems usually allow 255 bytes; the limit leaves room for suffixes.
    #[error("it is {bytes} bytes long; at most {LONGEST} are allowed")]
    TooLong {
        /// Its length in bytes of UTF-8.
        bytes: usize,
    },
    /// A leading dot hides a directory or leaves it; other programs read a leading dash as an option.
    #[error("it must not begin with `{0}`; begin with a letter or a digit")]
    Beginning(char),
    /// Separators, spaces, control characters and everything with a meaning in a shell or a web page.
    #[error(
        "`{}` is not allowed in it; use letters, digits, `.`, `_` and `-`",
        crate::escape::control(.0.encode_utf8(&mut [0; 4]))
    )]
    Character(char),
}

const LONGEST: usize = 100;

/// Checks that `name` can be the name or id of a run: 1 to 100 bytes of letters and digits of any script, `.`, `_`
/// and `-`, not starting with a dot or dash.
///
/// # Errors
///
/// The first problem.
pub fn check_name(name: &str) -> Result<(), NameError> {
    if name.is_empty() {
        return Err(NameError::Empty);
    }
    // Before the length: a long path is better explained by its separators.
    if let Some(character) = name.chars().find(|character| !is_allowed(*character)) {
        return Err(NameError::Character(character));
    }
    if let Some(first @ ('.' | '-')) = name.chars().next() {
        return Err(NameError::Beginning(first));
    }
    if name.len() > LONGEST {
        return Err(NameError::TooLong { bytes: name.len() });
    }
    Ok(())
}

fn is_allowed(character: char) -> bool {
    character.is_alphanumeric() || matches!(character, '.' | '_' | '-')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_people_give_are_allowed() {
        for name in ["fashion-mnist", "a", "lr_0.01", "7", "Übung-3", "実験", &"x".repeat(100)] {
            assert_eq!(check_name(name), Ok(()), "{name}");
        }
    }

    #[test]
    fn names_that_leave_the_directory_or_break_a_listing_are_refused() {
        use NameError::{Beginning, Character, Empty, TooLong};
        for (name, problem) in [
            ("", Empty),
            ("../escape", Character('/')),
            ("a/b", Character('/')),
            ("a\\b", Character('\\')),
            ("..", Beginning('.')),
            (".hidden", Beginning('.')),
            ("-rf", Beginning('-')),
            ("two words", Character(' ')),
            ("line\nbreak", Character('\n')),
            ("nul\0", Character('\0')),
            ("\u{1b}[31m", Character('\u{1b}')),
            ("<script>", Character('<')),
            ("C:", Character(':')),
            (&"x".repeat(101), TooLong { bytes: 101 }),
        ] {
            assert_eq!(check_name(name), Err(problem), "{name:?}");
        }
        assert_eq!(
            Character('\n').to_string(),
            "`\\u{a}` is not allowed in it; use letters, digits, `.`, `_` and `-`"
        );
    }
}
