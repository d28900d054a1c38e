use unicode_width::UnicodeWidthStr;

/// The terminal that a text is formatted for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Terminal {
    /// The width in characters; tables are made to fit.
    pub width: u16,
    /// Whether the terminal supports colors and bold text.
    pub color: bool,
}

impl Terminal {
    /// Breaks lines of sentences at spaces, so that they fit the width. A longer word has a line of its own.
    ///
    /// The text must not have escape codes, which have no width on the screen.
    #[must_use]
    pub fn wrap(self, text: &str) -> String {
        let mut lines = String::with_capacity(text.len() + 8);
        for line in text.lines() {
            let mut used = 0;
            for (place, word) in line.split(' ').enumerate() {
                let width = word.width();
                if place > 0 && used + 1 + width > usize::from(self.width) {
                    lines.push('\n');
                    used = 0;
                } else if place > 0 {
                    lines.push(' ');
                    used += 1;
                }
                lines.push_str(word);
                used += width;
            }
            lines.push('\n');
        }
        lines
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_break_at_spaces() {
        let wrap = |width, text| Terminal { width, color: false }.wrap(text);
        assert_eq!(wrap(9, "one two three\nfour"), "one two\nthree\nfour\n");
        assert_eq!(wrap(7, "one two"), "one two\n");
        assert_eq!(wrap(4, "a longer word"), "a\nlonger\nword\n");
        assert_eq!(wrap(10, "  indented text"), "  indented\ntext\n");
        // Each of these characters is two columns wide.
        assert_eq!(wrap(9, "帽子 帽子 帽子"), "帽子 帽子\n帽子\n");
    }
}
