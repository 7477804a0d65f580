//! Which files of a directory tofu reads, and in which order.
//!
//! Rule: exactly tofu's own (`dirFiles` in its `parser_config_dir.go`, 1.12.6): sorted by bytes, override files after
//! the others, hidden and editors' files left out, a `.tofu` file instead of the `.tf` file of the same name.

use std::path::{Path, PathBuf};

/// Extensions that tofu reads, longest first.
const EXTENSIONS: [&str; 4] = [".tofu.json", ".tf.json", ".tofu", ".tf"];

/// The files of one directory that tofu reads.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Files {
    /// Read first.
    pub primary: Vec<PathBuf>,
    /// Read after them, in this order, each replacing what it names.
    pub overrides: Vec<PathBuf>,
}

impl Files {
    /// Whether there is nothing for tofu to read.
    pub fn is_empty(&self) -> bool {
        self.primary.is_empty() && self.overrides.is_empty()
    }
}

/// Lists what tofu would read in `directory`. Links count as what they point to.
pub fn list(directory: &Path) -> std::io::Result<Files> {
    let mut names = Vec::new();
    for entry in std::fs::read_dir(directory)? {
        let entry = entry?;
        let Ok(name) = entry.file_name().into_string() else { continue };
        if is_configuration_name(&name) && !entry.path().is_dir() {
            names.push(name);
        }
    }
    names.sort_unstable();
    let mut files = Files::default();
    for name in names.iter().filter(|name| !is_hidden_by_tofu_file(name, &names)) {
        let list = if is_override(name) { &mut files.overrides } else { &mut files.primary };
        list.push(directory.join(name));
    }
    Ok(files)
}

/// Whether tofu reads a file of this name.
pub fn is_configuration_name(name: &str) -> bool {
    let ignored = name.starts_with('.') || name.ends_with('~') || (name.starts_with('#') && name.ends_with('#'));
    !ignored && extension(name).is_some()
}

/// Whether the file's syntax is JSON.
pub fn is_json(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "json")
}

fn is_override(name: &str) -> bool {
    let base = extension(name).map_or(name, |extension| &name[..name.len() - extension.len()]);
    base == "override" || base.ends_with("_override")
}

fn is_hidden_by_tofu_file(name: &str, names: &[String]) -> bool {
    let hiding = match extension(name) {
        Some(".tf") => format!("{}.tofu", &name[..name.len() - ".tf".len()]),
        Some(".tf.json") => format!("{}.tofu.json", &name[..name.len() - ".tf.json".len()]),
        _ => return false,
    };
    names.binary_search(&hiding).is_ok()
}

fn extension(name: &str) -> Option<&'static str> {
    EXTENSIONS.into_iter().find(|extension| name.ends_with(extension))
}

#[cfg(test)]
mod tests {
    use super::{Files, is_configuration_name, list};

    #[test]
    fn the_files_and_their_order_are_tofus() {
        let directory = tempfile::tempdir().unwrap();
        for name in [
            "main.tf",
            "a.tf",
            "a.tofu",
            "b.tf.json",
            "b.tofu.json",
            "c.tf",
            "c.tofu.json",
            ".hidden.tf",
            "x.tf~",
            "#y.tf#",
            "override.tf",
            "zz_override.tofu",
            "Z_override.tf.json",
            "my_override.tf",
            "my_override.tofu",
            "notes.md",
            "t.tftest.hcl",
            "v.tfvars",
            "xoverride.tf",
        ] {
            std::fs::write(directory.path().join(name), "").unwrap();
        }
        std::fs::create_dir(directory.path().join("dir.tf")).unwrap();
        let names = |paths: Vec<std::path::PathBuf>| {
            paths.iter().map(|path| path.file_name().unwrap().to_str().unwrap().to_owned()).collect::<Vec<_>>()
        };
        let Files { primary, overrides } = list(directory.path()).unwrap();
        assert_eq!(names(primary), ["a.tofu", "b.tofu.json", "c.tf", "c.tofu.json", "main.tf", "xoverride.tf"]);
        assert_eq!(names(overrides), ["Z_override.tf.json", "my_override.tofu", "override.tf", "zz_override.tofu"]);
        assert!(list(&directory.path().join("none")).is_err());
    }

    #[test]
    fn a_name_alone_shows_whether_tofu_reads_it() {
        for (name, read) in
            [("a.tf", true), (".tf", false), ("a.tofu.json", true), ("a.json", false), ("a.tf.bak", false)]
        {
            assert_eq!(is_configuration_name(name), read, "{name}");
        }
    }
}
