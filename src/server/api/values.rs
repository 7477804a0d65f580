//! Checks of what people write: names, user names, secrets, lifetimes.
//!
//! Rule: each refusal names the field, says what is expected, and never repeats a secret.

use super::problem::ApiError;
use crate::protocol::limits::{NAME_CHARACTERS, SECRET_BYTES, USERNAME_BYTES};
use crate::secret::Secret;

/// Longest life of a token that expires.
const LONGEST_LIFE_SECONDS: u64 = 10 * 365 * 24 * 60 * 60;

/// Prefixes of ids: a name must never be taken for one.
const ID_PREFIXES: &[&str] = &["reg-", "ws-", "agent-", "pool-", "tok-"];

/// Bytes of a text that only people read.
const DESCRIPTION_BYTES: usize = 4096;

/// A name that people choose: stands in paths and messages.
pub(super) fn check_name(field: &str, name: &str) -> Result<(), ApiError> {
    let characters = name.chars().count();
    if name.trim().is_empty() {
        return Err(ApiError::invalid(field, "it is empty; hint: give a name"));
    }
    if characters > NAME_CHARACTERS {
        let text = format!("{characters} characters are too many; hint: at most {NAME_CHARACTERS}");
        return Err(ApiError::invalid(field, text));
    }
    if name.trim() != name || name.chars().any(|c| c.is_control() || c == '/') || matches!(name, "." | "..") {
        let text = "it cannot be used in a path; hint: no `/`, no control characters, no blank at its ends";
        return Err(ApiError::invalid(field, text));
    }
    if looks_like_an_id(name) {
        return Err(ApiError::invalid(field, "it looks like an id; hint: choose a name that does not"));
    }
    Ok(())
}

fn looks_like_an_id(name: &str) -> bool {
    let is_id = |rest: &str| rest.len() == 32 && rest.bytes().all(|b| b.is_ascii_hexdigit());
    ID_PREFIXES.iter().any(|prefix| name.strip_prefix(prefix).is_some_and(is_id))
}

/// A workspace's name: also names directories and files.
pub(super) fn check_workspace_name(name: &str) -> Result<(), ApiError> {
    check_name("name", name)?;
    let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
    let begins = name.bytes().next().is_some_and(|b| b.is_ascii_alphanumeric());
    if begins && name.bytes().all(allowed) {
        return Ok(());
    }
    let text = "it is not a workspace's name; hint: letters, digits, `-`, `_`, `.`, beginning with a letter or digit";
    Err(ApiError::invalid("name", text))
}

/// A text that only people read.
pub(super) fn check_description(field: &str, text: &str) -> Result<(), ApiError> {
    if text.len() > DESCRIPTION_BYTES {
        return Err(ApiError::invalid(field, format!("it is too long; hint: at most {DESCRIPTION_BYTES} bytes")));
    }
    if text.chars().any(|c| c.is_control() && !matches!(c, '\n' | '\t')) {
        return Err(ApiError::invalid(field, "it contains a control character; hint: leave it out"));
    }
    Ok(())
}

/// The user name of a registry: `:` ends it in basic authentication (RFC 7617).
pub(super) fn check_username(username: &str) -> Result<(), ApiError> {
    if username.is_empty() {
        let text = "it is empty; hint: many registries take any name with a token, `token` for example";
        return Err(ApiError::invalid("username", text));
    }
    if username.len() > USERNAME_BYTES {
        return Err(ApiError::invalid("username", format!("it is too long; hint: at most {USERNAME_BYTES} bytes")));
    }
    if username.chars().any(|c| c.is_control() || c == ':') {
        let text = "it contains `:` or a control character; hint: give the secret in `secret`, not behind a `:`";
        return Err(ApiError::invalid("username", text));
    }
    Ok(())
}

/// The secret of a registry. Control characters are nearly always a line end that came along by copying, and a
/// registry would refuse the secret with it.
pub(super) fn check_secret(secret: &Secret) -> Result<(), ApiError> {
    if secret.is_empty() {
        return Err(ApiError::invalid("secret", "it is empty; hint: give the password or token"));
    }
    if secret.len() > SECRET_BYTES {
        return Err(ApiError::invalid("secret", format!("it is too long; hint: at most {SECRET_BYTES} bytes")));
    }
    if secret.contains_control() {
        let text = "it contains a line end, a NUL or another control character; hint: give it without, `printf %s` \
                    instead of `echo`";
        return Err(ApiError::invalid("secret", text));
    }
    Ok(())
}

/// When something that lives so many seconds expires.
pub(super) fn expiry(now: i64, seconds: u64) -> Result<i64, ApiError> {
    if !(1..=LONGEST_LIFE_SECONDS).contains(&seconds) {
        let text = "it is out of range; hint: from one second to ten years";
        return Err(ApiError::invalid("expires_in_seconds", text));
    }
    Ok(now.saturating_add(i64::try_from(seconds).unwrap_or(i64::MAX).saturating_mul(1_000_000)))
}

#[cfg(test)]
mod tests {
    use super::{check_name, check_secret, check_username, check_workspace_name, expiry};
    use crate::secret::Secret;

    #[test]
    fn names_that_could_be_something_else_are_refused() {
        let id = format!("ws-{}", "0".repeat(32));
        for name in ["", " ", " a", "a ", "a/b", ".", "..", "a\nb", "a\0", id.as_str(), &"ä".repeat(129)] {
            assert!(check_name("name", name).is_err(), "{name:?}");
        }
        for name in ["a", "Team Netz (ö)", "ws-1", "...", &"ä".repeat(128)] {
            assert!(check_name("name", name).is_ok(), "{name:?}");
        }
    }

    #[test]
    fn a_workspaces_name_is_fit_for_a_directory() {
        for name in ["-a", ".a", "_a", "a b", "ä", "a:b"] {
            assert!(check_workspace_name(name).is_err(), "{name:?}");
        }
        for name in ["a", "0", "net.prod-1_x"] {
            assert!(check_workspace_name(name).is_ok(), "{name:?}");
        }
    }

    #[test]
    fn what_basic_authentication_cannot_carry_is_refused() {
        for username in ["", "a:b", "a\n", "a\0", &"a".repeat(257)] {
            assert!(check_username(username).is_err(), "{username:?}");
        }
        for secret in ["", "a\n", "\ra", "a\0b", "a\u{7f}", "a\tb", &"a".repeat(16 * 1024 + 1)] {
            assert!(check_secret(&Secret::from(secret)).is_err(), "{secret:?}");
        }
    }

    #[test]
    fn odd_but_possible_secrets_pass() {
        for secret in ["a:b", "${x}", "\"'`", "\\", "pä🔑", " ", "%00", &"a".repeat(16 * 1024)] {
            assert!(check_secret(&Secret::from(secret)).is_ok(), "{secret:?}");
        }
    }

    #[test]
    fn a_life_of_nothing_or_of_ages_is_refused() {
        assert!(expiry(0, 0).is_err() && expiry(0, u64::MAX).is_err());
        assert_eq!(expiry(5, 1).unwrap(), 1_000_005);
    }
}
