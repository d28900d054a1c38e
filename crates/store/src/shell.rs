/// Quotes an argument for a POSIX shell, if necessary.
#[must_use]
pub fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || "_-./=,:@%+".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::quoted;

    #[test]
    fn only_what_a_shell_would_change_is_quoted() {
        assert_eq!(quoted("hidden.repeat=2"), "hidden.repeat=2");
        assert_eq!(quoted("optimizer={type = \"adam\"}"), "'optimizer={type = \"adam\"}'");
        assert_eq!(quoted("it's"), r"'it'\''s'");
        assert_eq!(quoted(""), "''");
    }
}
