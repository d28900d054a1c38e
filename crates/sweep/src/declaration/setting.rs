use kiln_config::Override;

/// The value that an axis gives to its key in one run.
#[derive(Debug, Clone)]
pub struct Setting {
    /// The full dotted path of the key.
    pub path: String,
    /// The value, together with the key as it was written.
    pub value: Override,
}

/// Formats the setting as `KEY=VALUE`, as the command line accepts it.
impl std::fmt::Display for Setting {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.value.fmt(formatter)
    }
}

impl Setting {
    pub(crate) fn new(path: &str, value: &Override) -> Self {
        Self { path: path.to_owned(), value: value.clone() }
    }

    /// The number of segments in the key's path. A table has fewer than the keys in it.
    pub(crate) fn depth(&self) -> usize {
        self.path.split('.').count()
    }
}

/// Formats the settings as arguments of the command line, separated by spaces.
pub(crate) fn as_arguments(settings: &[Setting]) -> String {
    settings.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
}
