//! The fenced blocks of a Markdown page.

/// A block between two lines of three backticks.
#[derive(Debug)]
pub(super) struct Fence {
    /// The line of the opening backticks, from 1.
    pub(super) line: usize,
    /// The first word after the backticks, such as `sh`.
    pub(super) language: String,
    /// The words after the language, such as `no-run: downloads 8 GB`.
    pub(super) note: String,
    pub(super) text: String,
    /// Whether only blank lines are between the previous block and this one.
    pub(super) follows: bool,
}

pub(super) fn fences(page: &str) -> Vec<Fence> {
    let mut fences = Vec::new();
    let mut open: Option<Fence> = None;
    let mut follows = false;
    for (index, line) in page.lines().enumerate() {
        match (&mut open, line.strip_prefix("```")) {
            (None, Some(info)) => {
                let (language, note) = info.split_once(' ').unwrap_or((info, ""));
                let (language, note) = (language.to_owned(), note.trim().to_owned());
                open =
                    Some(Fence { line: index + 1, language, note, text: String::new(), follows });
            }
            (Some(_), Some(_)) => {
                fences.extend(open.take());
                follows = true;
            }
            (Some(fence), None) => {
                fence.text.push_str(line);
                fence.text.push('\n');
            }
            (None, None) if line.trim().is_empty() => {}
            (None, None) => follows = false,
        }
    }
    assert!(open.is_none(), "a block is not closed: {open:?}");
    fences
}
