//! What the credential helper and the agent say to each other: `get HOST` and a line end; then one byte, and the text
//! that the helper prints as it is.
//!
//! Rule: nothing longer than its limit is read. The format is Docker's (docker-credential-helpers): JSON of `ServerURL`,
//! `Username`, `Secret`, or on a failure a text for people.

use serde::Serialize;
use zeroize::Zeroizing;

use crate::secret::{Secret, serialize_exposed};

/// The environment variable that names the socket to the program.
pub const SOCKET_VARIABLE: &str = "NIGARI_HELPER_SOCKET";

/// The socket's name in its directory.
pub(super) const SOCKET: &str = "socket";

/// What comes before the host.
pub(super) const GET: &str = "get ";

/// Longest host that is asked for, in bytes: names end at 253 (RFC 1035).
pub(super) const LONGEST_HOST: u64 = 512;

/// Longest question that is read, in bytes, with its line end.
pub(super) const LONGEST_QUESTION: usize = 1024;

/// Longest answer, in bytes: a secret has 16 KiB at most, and JSON writes one byte in six at most.
pub(super) const LONGEST_ANSWER: u64 = 256 * 1024;

/// Before a credential: the program ends well.
pub(super) const FOUND: u8 = b'+';

/// Before a text: the program fails with it.
pub(super) const FAILED: u8 = b'-';

/// The text by which every client knows that there is no credential, and then goes on without
/// (docker-credential-helpers, `credentials/error.go`).
pub(super) const NOT_FOUND: &str = "credentials not found in native keychain";

#[derive(Serialize)]
struct Credential<'a> {
    #[serde(rename = "ServerURL")]
    server_url: &'a str,
    #[serde(rename = "Username")]
    username: &'a str,
    #[serde(rename = "Secret", serialize_with = "serialize_exposed")]
    secret: &'a Secret,
}

/// An answer with a credential.
pub(super) fn found(server_url: &str, username: &str, secret: &Secret) -> Zeroizing<Vec<u8>> {
    // Large enough at once: growing would leave copies behind.
    let capacity = (server_url.len() + username.len() + secret.len()) * 6 + 128;
    let mut answer = Zeroizing::new(Vec::with_capacity(capacity));
    answer.push(FOUND);
    // Strings into memory: neither can fail.
    let _ = serde_json::to_writer(&mut *answer, &Credential { server_url, username, secret });
    answer
}

/// An answer without one.
pub(super) fn failed(text: &str) -> Zeroizing<Vec<u8>> {
    let mut answer = Zeroizing::new(vec![FAILED]);
    answer.extend_from_slice(text.as_bytes());
    answer
}

#[cfg(test)]
mod tests {
    use super::found;
    use crate::secret::Secret;

    #[test]
    fn odd_secrets_come_back_and_the_answer_never_grew() {
        for secret in ["a:b", "${x}%{y}", "\"q\\'", "pä🔑", "\u{1}\u{1f}", &"\u{7}".repeat(4096)] {
            let answer = found("https://h:1", "u", &Secret::from(secret));
            let value: serde_json::Value = serde_json::from_slice(&answer[1..]).unwrap();
            assert_eq!((value["Secret"].as_str(), value["ServerURL"].as_str()), (Some(secret), Some("https://h:1")));
            let capacity = ("https://h:1".len() + 1 + secret.len()) * 6 + 128;
            assert!(answer.len() <= capacity && answer.capacity() >= capacity);
        }
    }
}
