use std::path::PathBuf;

/// The path of Chromium, if it is installed.
pub(crate) fn chromium() -> Option<PathBuf> {
    let named = std::env::var_os("KILN_CHROMIUM").map(PathBuf::from);
    let on_path = || {
        let path = std::env::var_os("PATH")?;
        let directories: Vec<PathBuf> = std::env::split_paths(&path).collect();
        ["chromium", "chromium-browser", "google-chrome"]
            .iter()
            .flat_map(|name| directories.iter().map(move |directory| directory.join(name)))
            .find(|candidate| candidate.is_file())
    };
    let found = named.or_else(on_path);
    if found.is_none() {
        let problem = "Chromium is not installed; set KILN_CHROMIUM to its path";
        assert!(std::env::var_os("KILN_REQUIRE_CHROMIUM").is_none(), "{problem}");
        #[expect(clippy::print_stderr, reason = "a skipped test has no other output")]
        {
            eprintln!("skipped: {problem}");
        }
    }
    found
}
