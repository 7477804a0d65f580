//! JSON answers that leave nothing behind in freed memory.
//!
//! Rule: every JSON answer is made here, because credentials, variables and new tokens are such answers. The buffer is
//! as long as the answer before the first byte is written, so that it never moves, and it is wiped when the connection
//! lets go of it.

use std::io;

use axum::body::{Body, Bytes};
use serde::Serialize;
use zeroize::Zeroizing;

/// The value as a JSON body.
pub(super) fn json<T: Serialize>(value: &T) -> Result<Body, serde_json::Error> {
    let mut length = Length(0);
    serde_json::to_writer(&mut length, value)?;
    let mut buffer = Zeroizing::new(Vec::with_capacity(length.0));
    serde_json::to_writer(&mut *buffer, value)?;
    Ok(Body::from(Bytes::from_owner(buffer)))
}

/// Counts what is written.
struct Length(usize);

impl io::Write for Length {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 += bytes.len();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::FileExt;

    use axum::response::IntoResponse;
    use http_body_util::BodyExt;

    use crate::protocol::agent::{CredentialsAnswer, RegistryCredential};
    use crate::protocol::id::IntegrationId;
    use crate::secret::Secret;
    use crate::server::api::Json;

    /// What the needle is hidden with while memory is searched for it, so that the search does not find itself.
    const HIDDEN: u8 = 0x55;

    /// How often the needle stands in this process's writable memory.
    fn in_memory(hidden: &[u8]) -> usize {
        let maps = fs::read_to_string("/proc/self/maps").unwrap();
        let memory = fs::File::open("/proc/self/mem").unwrap();
        let mut found = 0;
        let mut page = vec![0; 1 << 20];
        for line in maps.lines().filter(|line| line.contains(" rw") && !line.contains("[v")) {
            let (from, to) = line.split(' ').next().unwrap().split_once('-').unwrap();
            let (mut at, end) = (u64::from_str_radix(from, 16).unwrap(), u64::from_str_radix(to, 16).unwrap());
            while at < end {
                let most = page.len().min(usize::try_from(end - at).unwrap());
                let Ok(read) = memory.read_at(&mut page[..most], at) else { break };
                page[..read].iter_mut().for_each(|byte| *byte ^= HIDDEN);
                found += page[..read].windows(hidden.len()).filter(|window| *window == hidden).count();
                page.fill(0);
                // A short read: another thread has given the rest back. Going on from here would not get anywhere.
                if read < most || at + read as u64 >= end {
                    break;
                }
                at += (read - hidden.len()) as u64;
            }
        }
        found
    }

    fn hidden_needle() -> Vec<u8> {
        let mut random = [0; 24];
        aws_lc_rs::rand::fill(&mut random).unwrap();
        random.iter().map(|byte| (b'a' + byte % 26) ^ HIDDEN).collect()
    }

    fn answer(hidden: &[u8]) -> CredentialsAnswer {
        let mut text = String::with_capacity(20 * hidden.len());
        // Long, because whoever frees memory writes over its first bytes.
        (0..20).for_each(|_| text.extend(hidden.iter().map(|byte| char::from(byte ^ HIDDEN))));
        let credential = RegistryCredential {
            integration: IntegrationId::generate(),
            name: "acme".to_owned(),
            address: "ghcr.io".parse().unwrap(),
            username: "robot".to_owned(),
            secret: Secret::new(text),
            ca_pem: None,
            token_service: None,
            whole_run: false,
        };
        CredentialsAnswer { credentials: vec![credential], withheld: Vec::new() }
    }

    #[tokio::test]
    async fn nothing_of_an_answer_is_left_in_memory() {
        let hidden = hidden_needle();
        let response = Json(answer(&hidden)).into_response();
        assert!(in_memory(&hidden) > 0, "the search finds nothing");
        assert_eq!(response.headers()["content-type"], "application/json");
        let body = response.into_body().collect().await.unwrap();
        drop(body);
        assert_eq!(in_memory(&hidden), 0);
    }

    #[tokio::test]
    async fn an_answer_is_what_it_was() {
        let body = super::json(&serde_json::json!({"a": "ä\"\n", "b": [1, null]})).unwrap();
        let bytes = body.collect().await.unwrap().to_bytes();
        assert_eq!(bytes, r#"{"a":"ä\"\n","b":[1,null]}"#.as_bytes());
    }
}
