use crate::error::suggestion;

/// Declares an enum whose variants are keywords in TOML. Messages call a keyword by the noun after `as`.
///
/// The enum gets `ALL` (every variant), `as_str`, `Display`, [`FromValue`](crate::FromValue), whose
/// error suggests the most similar keyword, and `serde::Serialize`. The calling crate must depend on
/// serde.
///
/// ```
/// kiln_config::keywords! {
///     /// How rows are set aside for validation.
///     pub enum SplitMethod as "split" {
///         /// The first rows.
///         Head = "head",
///         /// Rows drawn at random.
///         Shuffled = "shuffled",
///     }
/// }
/// assert_eq!(SplitMethod::Head.as_str(), "head");
/// assert_eq!(SplitMethod::ALL.len(), 2);
/// ```
#[macro_export]
macro_rules! keywords {
    ($(#[$outer:meta])* pub enum $name:ident as $noun:literal {
        $($(#[$inner:meta])* $variant:ident = $keyword:literal),+ $(,)?
    }) => {
        $(#[$outer])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum $name {
            $($(#[$inner])* $variant,)+
        }

        impl $name {
            /// All variants, in the order of declaration.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The keyword in TOML.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $keyword,)+
                }
            }
        }

        impl ::std::fmt::Display for $name {
            fn fmt(&self, formatter: &mut ::std::fmt::Formatter<'_>) -> ::std::fmt::Result {
                formatter.write_str(self.as_str())
            }
        }

        impl $crate::FromValue for $name {
            fn from_value(value: &$crate::Value) -> ::std::result::Result<Self, $crate::ConfigError> {
                let keywords: &[&str] = &[$($keyword),+];
                let index = value.keyword($noun, keywords)?;
                Ok(Self::ALL[index])
            }
        }

        impl ::serde::Serialize for $name {
            fn serialize<S: ::serde::Serializer>(
                &self,
                serializer: S,
            ) -> ::std::result::Result<S::Ok, S::Error> {
                serializer.serialize_str(self.as_str())
            }
        }
    };
}

impl crate::Value {
    /// The index of this string among `keywords`, which messages call by `noun`: "optimizer".
    ///
    /// # Errors
    ///
    /// The value is not a string, or not one of the keywords; the error lists all of them and
    /// suggests the most similar one.
    pub fn keyword(&self, noun: &str, keywords: &[&str]) -> Result<usize, crate::ConfigError> {
        let all: Vec<_> = keywords.iter().map(|keyword| format!("\"{keyword}\"")).collect();
        let help = format!("valid values: {}", all.join(", "));
        let crate::Kind::String(text) = &self.kind else {
            return Err(self.expected("a string").help(help));
        };
        keywords.iter().position(|keyword| keyword == text).ok_or_else(|| {
            // A longer string would hide the rest of the message.
            let is_short = text.chars().count() <= 40;
            let found = if is_short { format!("{text:?}") } else { "(a long string)".to_owned() };
            let error = self.error(format!("unknown {noun} {found}")).help(help);
            match suggestion(noun, text, keywords.iter().copied(), '"') {
                Some(suggestion) => error.expected(suggestion),
                None => error,
            }
        })
    }
}
