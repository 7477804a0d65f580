//! What tofu says about its CLI configuration before anything else, as plain text even with `-json`.
//!
//! Rule: tofu goes on after an error there, with the host's own logins back in reach, so an error is fatal for us. A
//! mere warning is not; its text goes to standard output, the heading and every error to standard error (tried with
//! 1.12.6).

/// The heading, on standard error.
const HEADING: &str = "There are some problems with the CLI configuration:";
/// What ends the list when there was an error in it.
const AFTER_ERRORS: &str = "As a result of the above problems, OpenTofu may not behave as intended.";

/// What was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Problems {
    /// Nothing was said.
    None,
    /// Only warnings.
    Warnings,
    /// At least one error, with tofu's text. The step must not go on.
    Errors(String),
}

/// Looks for problems in what a tofu command wrote to its standard error (colours may be in it).
pub fn find(stderr: &str) -> Problems {
    let Some((_, after)) = stderr.split_once(HEADING) else {
        return Problems::None;
    };
    let (listed, errors) = match after.split_once(AFTER_ERRORS) {
        Some((listed, _)) => (listed, true),
        None => (after, after.lines().any(|line| line.starts_with("Error: "))),
    };
    if !errors {
        return Problems::Warnings;
    }
    let lines: Vec<&str> = listed.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    Problems::Errors(lines.join("\n"))
}

#[cfg(test)]
mod tests {
    use super::{Problems, find};

    #[test]
    fn an_error_is_found_with_its_text() {
        let stderr = "There are some problems with the CLI configuration:\n\nError: Error parsing /x.tfrc: At 1:5: \
                      Unknown token: 1:5 ASSIGN =\n\nAs a result of the above problems, OpenTofu may not behave as \
                      intended.\n\n\n- m in m\nError: something later\n";
        assert_eq!(
            find(stderr),
            Problems::Errors("Error: Error parsing /x.tfrc: At 1:5: Unknown token: 1:5 ASSIGN =".to_owned())
        );
        assert!(matches!(find(&stderr[..120]), Problems::Errors(_)), "also when the end was cut off");
    }

    #[test]
    fn a_warning_alone_is_no_error() {
        assert_eq!(find("There are some problems with the CLI configuration:\n"), Problems::Warnings);
        let shown =
            "There are some problems with the CLI configuration:\n\nWarning: Unable to open\n\nIt does not exist.\n";
        assert_eq!(find(shown), Problems::Warnings);
    }

    #[test]
    fn other_errors_are_not_ours() {
        assert_eq!(find(""), Problems::None);
        assert_eq!(find("Error: Failed to download module\n"), Problems::None);
    }
}
