use std::process::ExitCode;

use kiln_train::REFERENCE;

use crate::output::print;

/// Prints `configs/reference.toml`, which is compiled into the program.
pub(crate) fn config() -> anyhow::Result<ExitCode> {
    print(REFERENCE.trim_end())?;
    Ok(ExitCode::SUCCESS)
}
