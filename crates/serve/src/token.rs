//! The token that is required where others can reach the server.

use std::fmt::Write;
use std::fs::File;
use std::hint::black_box;
use std::io::Read;

use crate::error::{Result, ServeError};

/// The number of random bytes of a token.
const BYTES: usize = 32;

/// Random text that only those know who were given the address.
pub(crate) struct Token(String);

impl Token {
    pub(crate) fn new() -> Result<Self> {
        random::<BYTES>().map(Self)
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    /// Compares in a time that does not depend on where the texts differ.
    pub(crate) fn is(&self, given: &str) -> bool {
        let (own, given) = (self.0.as_bytes(), given.as_bytes());
        let differences = own.iter().zip(given).fold(0, |all, (own, given)| all | (own ^ given));
        own.len() == given.len() && black_box(differences) == 0
    }
}

/// Random bytes of the operating system, in hexadecimal.
pub(crate) fn random<const N: usize>() -> Result<String> {
    let mut bytes = [0; N];
    let read = File::open("/dev/urandom").and_then(|mut source| source.read_exact(&mut bytes));
    read.map_err(|cause| ServeError::Io { action: "read random numbers", cause })?;
    let mut text = String::with_capacity(2 * N);
    for byte in bytes {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_random_and_compared_completely() {
        let (one, other) = (Token::new().expect("a token"), Token::new().expect("a token"));
        assert_eq!(one.as_str().len(), 2 * BYTES);
        assert!(one.is(one.as_str()));
        assert!(!one.is(other.as_str()));
        let mut longer = one.as_str().to_owned();
        longer.push('0');
        for wrong in ["", &one.as_str()[1..], longer.as_str()] {
            assert!(!one.is(wrong), "{wrong}");
        }
    }
}
