//! Names of archive entries: from raw bytes to a path that stays inside the directory and means nothing to tofu or git.
//!
//! Rule: a name is taken apart once, here; everything after works with checked components.

use super::archive_error::{ArchiveError, Reserved, shown};
use crate::tofu::backend::is_override_name;

/// Longest path, in bytes.
const PATH_MAX: usize = 1024;
/// Longest component, in bytes: what Linux file systems take.
const NAME_MAX: usize = 255;

/// A checked relative path: normal components only, `/` between them.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct EntryPath(String);

impl EntryPath {
    /// Checks `raw`. `None` for the directory itself (`.`, `./`).
    pub(super) fn new(raw: &[u8], depth_limit: u64) -> Result<Option<Self>, ArchiveError> {
        let wrong = |reason| ArchiveError::Name { name: shown(raw), reason };
        let text = std::str::from_utf8(raw).map_err(|_| wrong("it is not UTF-8"))?;
        if text.chars().any(char::is_control) {
            return Err(wrong("it has a control character in it"));
        }
        if text.contains('\\') {
            return Err(wrong("it has a backslash in it"));
        }
        if text.starts_with('/') {
            return Err(wrong("it is absolute"));
        }
        let text = text.strip_prefix("./").unwrap_or(text);
        let text = text.strip_suffix('/').unwrap_or(text);
        if text.is_empty() || text == "." {
            return if raw.is_empty() { Err(wrong("it is empty")) } else { Ok(None) };
        }
        if text.len() > PATH_MAX {
            return Err(wrong("it is too long"));
        }
        for component in text.split('/') {
            check_component(component).map_err(|problem| problem.into_error(raw))?;
        }
        if text.split('/').count() as u64 > depth_limit {
            return Err(wrong("it has too many directories"));
        }
        Ok(Some(Self(text.to_owned())))
    }

    pub(super) fn as_str(&self) -> &str {
        &self.0
    }

    /// The last component.
    pub(super) fn name(&self) -> &str {
        self.0.rsplit_once('/').map_or(self.0.as_str(), |(_, name)| name)
    }

    /// The directory that it is in; `None` at the top.
    pub(super) fn parent(&self) -> Option<&str> {
        self.0.rsplit_once('/').map(|(parent, _)| parent)
    }

    /// Every directory above it, outermost first.
    pub(super) fn ancestors(&self) -> impl Iterator<Item = &str> {
        self.0.match_indices('/').map(|(end, _)| &self.0[..end])
    }

    /// Whether it is a state file: allowed only when empty.
    pub(super) fn is_state(&self) -> bool {
        self.name().to_ascii_lowercase().ends_with(".tfstate")
    }
}

enum Problem {
    Name(&'static str),
    Reserved(Reserved),
}

impl Problem {
    fn into_error(self, raw: &[u8]) -> ArchiveError {
        match self {
            Self::Name(reason) => ArchiveError::Name { name: shown(raw), reason },
            Self::Reserved(reserved) => ArchiveError::Reserved { name: shown(raw), reserved },
        }
    }
}

fn check_component(component: &str) -> Result<(), Problem> {
    match component {
        "" => return Err(Problem::Name("it has an empty component")),
        "." => return Err(Problem::Name("it has a `.` component")),
        ".." => return Err(Problem::Name("it has a `..` component")),
        _ if component.len() > NAME_MAX => return Err(Problem::Name("a component is too long")),
        _ => {}
    }
    let lower = component.to_ascii_lowercase();
    match lower.as_str() {
        ".git" | ".hg" | ".svn" => Err(Problem::Reserved(Reserved::Repository)),
        ".terraform" => Err(Problem::Reserved(Reserved::DataDirectory)),
        _ if is_override_name(&lower) => Err(Problem::Reserved(Reserved::Ours)),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::{ArchiveError, EntryPath, Reserved};

    fn path(raw: &str) -> Option<EntryPath> {
        EntryPath::new(raw.as_bytes(), 8).unwrap()
    }

    #[test]
    fn ordinary_names_are_taken_apart() {
        let entry = path("./modules/net/main.tf").unwrap();
        assert_eq!(entry.as_str(), "modules/net/main.tf");
        assert_eq!(entry.name(), "main.tf");
        assert_eq!(entry.parent(), Some("modules/net"));
        assert_eq!(entry.ancestors().collect::<Vec<_>>(), ["modules", "modules/net"]);
        assert_eq!(path("dir/").unwrap().as_str(), "dir");
        assert!(path("./").is_none() && path(".").is_none());
        assert!(path("täst/ü.tf").is_some());
        for harmless in
            [".terraformrc", ".tofurc", ".terraform.lock.hcl", ".gitignore", ".terraformignore", "git", "...", "a..b"]
        {
            assert!(path(harmless).is_some(), "{harmless}");
        }
    }

    #[test]
    fn names_that_lead_out_or_mean_two_things_are_refused() {
        let long = "a".repeat(256);
        let deep = "a/".repeat(9) + "b";
        for raw in [
            "",
            "/",
            "/etc/passwd",
            "..",
            "../a",
            "a/../b",
            "a/..",
            "a//b",
            "a/./b",
            "././a",
            "a\\b",
            "a\nb",
            "a\0b",
            &long,
            &deep,
        ] {
            assert!(matches!(EntryPath::new(raw.as_bytes(), 8), Err(ArchiveError::Name { .. })), "{raw:?}");
        }
        assert!(EntryPath::new(b"\xff.tf", 8).is_err());
    }

    #[test]
    fn reserved_names_are_refused_in_every_spelling_and_depth() {
        for (raw, expected) in [
            (".git/config", Reserved::Repository),
            ("a/b/.GIT", Reserved::Repository),
            (".hg/hgrc", Reserved::Repository),
            ("x/.Svn/y", Reserved::Repository),
            (".terraform/modules/modules.json", Reserved::DataDirectory),
            ("sub/.Terraform", Reserved::DataDirectory),
            ("nigari_override.tf", Reserved::Ours),
            ("a/NIGARI_Override.tofu.json", Reserved::Ours),
            ("nigari_override.tofu/x", Reserved::Ours),
        ] {
            match EntryPath::new(raw.as_bytes(), 8) {
                Err(ArchiveError::Reserved { reserved, .. }) => assert_eq!(reserved, expected, "{raw}"),
                other => panic!("{raw}: {other:?}"),
            }
        }
    }
}
