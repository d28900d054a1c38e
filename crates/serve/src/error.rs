use std::io;
use std::net::SocketAddr;

/// Why the server cannot start or continue.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServeError {
    /// The address is not one of this machine, or may not be used.
    #[error("cannot listen on {address}: {cause}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// The operating system's error.
        cause: io::Error,
    },

    /// No port from the given one on is free.
    #[error("the ports {first} to {last} of {address} are in use")]
    NoFreePort {
        /// The address.
        address: std::net::IpAddr,
        /// The port that was asked for.
        first: u16,
        /// The last port that was tried.
        last: u16,
    },

    /// The operating system refused something that the server needs.
    #[error("cannot {action}: {cause}")]
    Io {
        /// The action, as it follows "cannot".
        action: &'static str,
        /// The operating system's error.
        cause: io::Error,
    },
}

/// The result type of this crate.
pub type Result<T, E = ServeError> = std::result::Result<T, E>;
