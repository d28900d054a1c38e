/// Declares an enum of words: how each is written in TOML stands beside it, once.
///
/// Gives the enum `ALL` (every variant), `as_str`, `Display`, [`FromValue`](crate::FromValue) with
/// the nearest word in its error, and `serde::Serialize` as the word. The crate that uses it needs
/// serde.
///
/// ```
/// kiln_config::keywords! {
///     /// How rows are set aside for validation.
///     pub enum SplitMethod {
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
    ($(#[$outer:meta])* pub enum $name:ident {
        $($(#[$inner:meta])* $variant:ident = $word:literal),+ $(,)?
    }) => {
        $(#[$outer])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum $name {
            $($(#[$inner])* $variant,)+
        }

        impl $name {
            /// Every one, in the order of declaration.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The word as it is written in TOML.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $word,)+
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
                let words: &[&str] = &[$($word),+];
                let index = value.word(words)?;
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
    /// The index of this text among `words`.
    ///
    /// # Errors
    ///
    /// The value is no text, or none of the words; the error names the nearest and all of them.
    pub fn word(&self, words: &[&str]) -> Result<usize, crate::ConfigError> {
        let all = words.iter().map(|word| format!("\"{word}\"")).collect::<Vec<_>>().join(", ");
        let crate::Kind::String(text) = &self.kind else {
            return Err(self.expected(&format!("one of {all}")));
        };
        words.iter().position(|word| word == text).ok_or_else(|| {
            let label = match crate::nearest(text, words.iter().copied()) {
                Some(near) => format!("did you mean \"{near}\"?"),
                None => format!("expected one of {all}"),
            };
            self.error(format!("{} is not known here", self.describe()))
                .expected(label)
                .help(format!("one of {all}"))
        })
    }
}
