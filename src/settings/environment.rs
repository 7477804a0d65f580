//! The process' own environment variables.
//!
//! Rule: nobody else reads them. What a child gets is built elsewhere, from values that come through here by name.

use std::ffi::OsString;
use std::path::PathBuf;

use crate::secret::Secret;

/// A variable that is set and not empty.
pub fn variable(name: &str) -> Option<OsString> {
    std::env::var_os(name).filter(|value| !value.is_empty())
}

/// A variable that names an absolute path; anything else counts as not set, as the XDG rules have it.
pub fn path(name: &str) -> Option<PathBuf> {
    variable(name).map(PathBuf::from).filter(|path| path.is_absolute())
}

/// A directory of the XDG base directory rules: `$<variable>`, or `$HOME/<below>`; without a home, `/var/lib/nigari`.
fn xdg(variable: &str, below: &str) -> PathBuf {
    path(variable)
        .or_else(|| path("HOME").map(|home| home.join(below)))
        .map_or_else(|| PathBuf::from("/var/lib/nigari"), |directory| directory.join("nigari"))
}

/// Where state of this user's nigari is kept.
pub fn state_home() -> PathBuf {
    xdg("XDG_STATE_HOME", ".local/state")
}

/// Where this user's context is kept.
pub fn config_home() -> PathBuf {
    xdg("XDG_CONFIG_HOME", ".config")
}

/// The directory with the state of this service: what systemd made, else `<state home>/<role>`.
pub fn state_directory(role: &str) -> PathBuf {
    path("STATE_DIRECTORY").unwrap_or_else(|| state_home().join(role))
}

/// A systemd credential's file, if the service manager passed one of that name.
pub fn credential(name: &str) -> Option<PathBuf> {
    path("CREDENTIALS_DIRECTORY").map(|directory| directory.join(name)).filter(|file| file.is_file())
}

/// Variables of this process whose names match one of `patterns` (a name, or a prefix that ends with `*`). Values that
/// are no text are left out: nobody could check them.
pub fn matching(patterns: &[String]) -> Vec<(OsString, Secret)> {
    let matches = |name: &str| {
        patterns.iter().any(|pattern| match pattern.strip_suffix('*') {
            Some(prefix) => name.starts_with(prefix),
            None => name == pattern,
        })
    };
    std::env::vars_os()
        .filter(|(name, _)| name.to_str().is_some_and(matches))
        .filter_map(|(name, value)| value.into_string().ok().map(|value| (name, Secret::new(value))))
        .collect()
}

/// The name of this host, or `localhost`.
pub fn host_name() -> String {
    let name = rustix::system::uname().nodename().to_string_lossy().into_owned();
    if name.is_empty() { "localhost".to_owned() } else { name }
}

#[cfg(test)]
mod tests {
    use super::matching;

    #[test]
    fn a_pattern_matches_a_name_or_a_prefix() {
        let names = |patterns: &[&str]| {
            let patterns: Vec<String> = patterns.iter().map(|&pattern| pattern.to_owned()).collect();
            matching(&patterns).into_iter().map(|(name, _)| name).collect::<Vec<_>>()
        };
        assert_eq!(names(&["PATH"]), ["PATH"]);
        assert!(names(&["PAT*"]).contains(&"PATH".into()));
        assert!(names(&["PAT", "ATH*", "path"]).is_empty());
    }
}
