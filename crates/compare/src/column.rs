/// A setting that differs between the runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Column {
    /// Its path in `config.toml`: `model.layers.hidden.repeat`.
    pub key: String,
    /// The shortest suffix of the path that is unambiguous: `hidden.repeat`.
    pub label: String,
    /// The type that implies its value in some or all combinations. Only settings next to a `type` that differs have one.
    pub implied_by: Option<ImpliedBy>,
}

/// The types that imply the value of a setting: with `optimizer.type = "adam"`, `beta_1` may be 0.9 in all runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImpliedBy {
    /// The index of the type among [`Comparison::columns`](crate::Comparison::columns).
    pub type_column: usize,
    /// The types for which the setting has the same value in all combinations, or no combination has it.
    pub types: Vec<Option<String>>,
    /// Whether these are all types of the comparison, so that the setting distinguishes no rows that the type does not.
    pub always: bool,
}

impl Column {
    pub(crate) fn new(key: &str, label: &str) -> Self {
        Self { key: key.to_owned(), label: label.to_owned(), implied_by: None }
    }

    /// Whether the type next to the setting decides its value in all combinations.
    #[must_use]
    pub fn is_implied(&self) -> bool {
        self.implied_by.as_ref().is_some_and(|implied| implied.always)
    }

    /// Whether the type in these settings decides the value of this one.
    pub(crate) fn is_implied_in(&self, settings: &[Option<String>]) -> bool {
        self.implied_by.as_ref().is_some_and(|implied| {
            settings.get(implied.type_column).is_some_and(|kind| implied.types.contains(kind))
        })
    }
}

/// A setting that all runs share.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SharedSetting {
    /// Its path and its label.
    pub column: Column,
    /// Its value as text, without quotes.
    pub value: String,
}
