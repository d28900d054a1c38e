//! The version of the program.

use std::sync::LazyLock;

/// The optional features that this build has.
const FEATURES: [(&str, bool); 3] = [
    ("cuda", cfg!(feature = "cuda")),
    ("parquet", cfg!(feature = "parquet")),
    ("wgpu", cfg!(feature = "wgpu")),
];

/// `0.1.0`, and in parentheses the commit and the features of the build, if there are any.
///
/// The environment variable `KILN_COMMIT` sets the commit, as `just release` does. A build without it does not ask Git, so
/// that a new commit does not rebuild the program.
pub(crate) static VERSION: LazyLock<String> = LazyLock::new(|| {
    let features = FEATURES.iter().filter(|(_, is_enabled)| *is_enabled).map(|(name, _)| *name);
    text(env!("CARGO_PKG_VERSION"), option_env!("KILN_COMMIT"), &features.collect::<Vec<_>>())
});

fn text(version: &str, commit: Option<&str>, features: &[&str]) -> String {
    let commit =
        commit.filter(|commit| !commit.is_empty()).map(|commit| format!("commit {commit}"));
    let features = (!features.is_empty()).then(|| format!("features {}", features.join(", ")));
    let details: Vec<String> = commit.into_iter().chain(features).collect();
    if details.is_empty() {
        return version.to_owned();
    }
    format!("{version} ({})", details.join("; "))
}

#[cfg(test)]
mod tests {
    use super::text;

    #[test]
    fn the_version_has_what_is_known_of_the_build() {
        assert_eq!(text("0.1.0", None, &[]), "0.1.0");
        assert_eq!(text("0.1.0", Some(""), &[]), "0.1.0");
        assert_eq!(text("0.1.0", Some("1a2b3c"), &[]), "0.1.0 (commit 1a2b3c)");
        assert_eq!(text("0.1.0", None, &["parquet"]), "0.1.0 (features parquet)");
        let all = text("0.1.0", Some("1a2b3c"), &["cuda", "wgpu"]);
        assert_eq!(all, "0.1.0 (commit 1a2b3c; features cuda, wgpu)");
    }
}
