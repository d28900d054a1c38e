use kiln_config::Override;

/// What one axis changes in a run.
#[derive(Debug, Clone)]
pub struct Change {
    /// The key's full dotted path.
    pub path: String,
    /// The new value, under the key as it was written.
    pub value: Override,
}

/// `KEY=VALUE` as it can be given on a command line.
impl std::fmt::Display for Change {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.value.fmt(formatter)
    }
}

impl Change {
    pub(crate) fn new(path: &str, value: &Override) -> Self {
        Self { path: path.to_owned(), value: value.clone() }
    }

    /// Tables before what stands in them.
    pub(crate) fn depth(&self) -> usize {
        self.path.split('.').count()
    }
}

/// The changes as they stand on a command line.
pub(crate) fn words(changes: &[Change]) -> String {
    changes.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
}
