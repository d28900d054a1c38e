/// A setting that differs between the runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Column {
    /// Its path in `config.toml`: `model.layers.hidden.repeat`.
    pub key: String,
    /// The shortest end of the path that is unambiguous: `hidden.repeat`.
    pub label: String,
}

/// A setting that all runs share.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SharedSetting {
    /// Its path and its label.
    pub column: Column,
    /// Its value as text, without quotes.
    pub value: String,
}
