//! Reads TOML so that every error shows its place: the file, the line and a caret under the value.
//!
//! serde loses the place of a value inside a tagged table (`{ type = "dense", units = -3 }`), and
//! overrides from the command line have no file at all. So Kiln keeps the parsed document as a tree
//! of [`Value`]s that each know where they were written, and every crate reads its own table from it:
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
//! What was not asked for is an error: a [`Table`] remembers which keys were read, and the one that
//! nobody wanted is reported with the nearest of those that somebody did.
//!
//! What every crate needs for text from anywhere is here, too: [`read_bytes`] and [`read_text`] take an ordinary file of a
//! bounded size and nothing else, and [`printable()`] makes words safe for a terminal.

mod document;
mod error;
mod file;
mod keys;
mod keywords;
mod overrides;
mod parse;
mod place;
mod printable;
mod read;
mod table;
mod value;

pub use document::{Document, MOST_BYTES};
pub use error::{ConfigError, nearest};
pub use file::{Unreadable, read_bytes, read_text};
pub use keys::{KeyError, KeyIndex};
pub use overrides::Override;
pub use parse::{NotToml, parse_toml};
pub use place::Place;
pub use printable::{is_unprintable, printable};
pub use read::FromValue;
pub use table::Table;
pub use value::{Entry, Kind, Value};
