//! Keeps other processes away from a run while this one works on it.

use kiln_store::{FileLock, LockToken, StoreError};

/// The lock of a run, by its owner.
#[derive(Debug)]
pub enum RunLock {
    /// The run owns the lock and releases it when it ends.
    Run(FileLock),
    /// The caller owns the lock as long as the run lasts. The token, if there is one, shows whether the caller still
    /// owns it.
    Caller(Option<LockToken>),
}

impl RunLock {
    /// Fails if another process has taken over the run. Called before each write, because a process that was suspended
    /// for long enough loses its lock without noticing.
    pub(crate) fn check(&self) -> Result<(), StoreError> {
        match self {
            Self::Run(lock) => lock.token().check(),
            Self::Caller(token) => token.as_ref().map_or(Ok(()), LockToken::check),
        }
    }
}
