//! Calls of the library for Parquet files, which panics on some damaged files.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind, set_hook, take_hook};
use std::path::Path;
use std::sync::Once;

use parquet::errors::ParquetError;

use super::arrays::invalid;
use crate::DataError;

thread_local! {
    /// Whether this thread is in the library, so that a panic is an error and not printed.
    static IS_IN_LIBRARY: Cell<bool> = const { Cell::new(false) };
}

/// Calls the library. `path` is the file that it reads.
///
/// # Errors
///
/// The library returns an error, or panics.
pub(super) fn call<T>(
    path: &Path,
    library: impl FnOnce() -> Result<T, ParquetError>,
) -> Result<T, DataError> {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let other = take_hook();
        set_hook(Box::new(move |panic| {
            if !IS_IN_LIBRARY.get() {
                other(panic);
            }
        }));
    });
    IS_IN_LIBRARY.set(true);
    // After a panic, everything that the library has touched is dropped.
    let result = catch_unwind(AssertUnwindSafe(library));
    IS_IN_LIBRARY.set(false);
    let damaged = |reason: &str| {
        let problem =
            format!("the file is damaged or not a Parquet file ({reason}); download it again");
        invalid(path, "", problem)
    };
    match result {
        Ok(result) => result.map_err(|error| damaged(&error.to_string())),
        Err(_) => Err(damaged("its values do not fit its metadata")),
    }
}
