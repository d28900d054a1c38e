use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest, Sha256};

/// The Content-Security-Policy of the page. It allows inline styles, pictures that are part of the file, and the page's own
/// script. The script is identified by its SHA-256 digest, so that a script which a hostile name brings into the page
/// cannot run. Nothing is loaded.
pub(super) fn content_security_policy(script: &str) -> String {
    let digest = digest(script);
    format!(
        "default-src 'none'; script-src 'sha256-{digest}'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'"
    )
}

/// The policy of the live page, whose server has further scripts, pictures and events. No other page may contain it.
pub(super) fn live(script: &str) -> String {
    let digest = digest(script);
    format!(
        "default-src 'none'; script-src 'self' 'sha256-{digest}'; style-src 'unsafe-inline'; img-src 'self' data:; \
         connect-src 'self'; worker-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
}

fn digest(script: &str) -> String {
    STANDARD.encode(Sha256::digest(script))
}
