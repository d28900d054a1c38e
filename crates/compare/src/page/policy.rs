use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest, Sha256};

/// What a browser is to allow the page: its own styles, the one script that it was written with (known by its SHA-256,
/// so that no other can run, however it got into the page), and pictures that are part of it. Nothing is loaded.
pub(super) fn content_security_policy(script: &str) -> String {
    let digest = STANDARD.encode(Sha256::digest(script));
    format!(
        "default-src 'none'; script-src 'sha256-{digest}'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'"
    )
}
