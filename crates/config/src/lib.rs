//! Reads TOML so that every error shows its place: the file, the line and a caret under the value.
//!
//! serde loses the place of a value inside a tagged table (`{ type = "dense", units = -3 }`), and
//! overrides from the command line have no file. Kiln therefore keeps the parsed document as a tree
//! of [`Value`]s that know their places, and every crate reads its own table from it:
//!
//! ```
//! use kiln_config::{ConfigError, Document, Table};
//!
//! struct Training { epochs: usize, batch_size: usize }
//!
//! impl Training {
//!     fn read(table: &mut Table<'_>) -> Result<Self, ConfigError> {
//!         Ok(Self {
//!             epochs: table.required("epochs")?,
//!             batch_size: table.default("batch_size", 32)?,
//!         })
//!     }
//! }
//!
//! let document = Document::parse("experiment.toml", "[training]\nepochs = 10\nbatchsize = 64\n")?;
//! let error = document
//!     .read(|root| root.table("training", Training::read))
//!     .err()
//!     .expect("`batchsize` is not a key");
//! assert!(error.to_string().contains("did you mean `batch_size`?"));
//! # Ok::<(), ConfigError>(())
//! ```
//!
//! Unknown keys are errors: a [`Table`] remembers which keys were read, and reports the first other
//! key together with the most similar known one. [`KeyIndex`] completes the short forms of keys that
//! users write on the command line.
//!
//! All other crates depend on this one, so it also has what each of them needs to handle untrusted
//! files: [`read_bytes`] and [`read_text`] read ordinary files up to a size limit, and
//! [`printable()`] escapes text for a terminal.

mod apply;
mod document;
mod error;
mod extends;
mod file;
mod keys;
mod keywords;
mod overrides;
mod parse;
mod place;
mod printable;
mod read;
mod spelling;
mod synonyms;
mod table;
mod value;

pub use document::{Document, MAX_BYTES};
pub use error::{ConfigError, nearest};
pub use file::{Unreadable, open_file, read_bytes, read_text};
pub use keys::{KeyError, KeyIndex, TABLES_WITHOUT_RESULTS, affects_results};
pub use overrides::Override;
pub use parse::{TomlError, parse_toml};
pub use place::Place;
pub use printable::{is_unprintable, printable};
pub use read::FromValue;
pub use table::Table;
pub use value::{Entry, Kind, Value};
