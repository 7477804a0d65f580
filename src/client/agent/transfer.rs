//! A claimed run's bytes: configuration, log, artifact.
//!
//! Rule: large things are streamed and carry their digest; a log is appended at an offset that the server confirms.

use std::path::Path;

use bytes::Bytes;
use reqwest::Method;

use super::LeasedRun;
use crate::client::answer::number;
use crate::client::{ClientError, Download, Upload};
use crate::protocol::limits::{ARTIFACT_BYTES, CONFIGURATION_BYTES};
use crate::protocol::run::Phase;
use crate::protocol::{DIGEST_HEADER, OFFSET_HEADER};

impl LeasedRun {
    /// The packed configuration (`.tar.gz`); its digest is checked on the way.
    pub async fn configuration(&self) -> Result<Download, ClientError> {
        let answer = self
            .call(Method::GET, &["configuration"], "download the configuration of")
            .send()
            .await?
            .accepted()
            .await?
            .marked()?;
        Ok(Download::new(answer, CONFIGURATION_BYTES))
    }

    /// Appends to a phase's log at `offset`. Gives the offset that the server wants next, also when it has more or
    /// less than the caller thought (`log_offset`): go on from there.
    pub async fn append_log(&self, phase: Phase, offset: u64, bytes: Bytes) -> Result<u64, ClientError> {
        let end = offset + bytes.len() as u64;
        let answer = self
            .call(Method::PATCH, &["log", phase.word()], "store the log of")
            .header(OFFSET_HEADER, &offset)
            .body("application/octet-stream", bytes)
            .send()
            .await?
            .accepted()
            .await;
        match answer {
            Ok(answer) => {
                let answer = answer.marked()?;
                Ok(number(answer.response.headers(), OFFSET_HEADER).unwrap_or(end))
            }
            Err(error) if error.is_problem("log_offset") => error.next_offset().ok_or(error),
            Err(error) => Err(error),
        }
    }

    /// Uploads the plan's artifact from a file; `digest` is its lower-case hexadecimal SHA-256.
    pub async fn put_artifact(&self, file: &Path, digest: &str) -> Result<(), ClientError> {
        self.call(Method::PUT, &["artifact"], "upload the artifact of")
            .header(DIGEST_HEADER, digest)
            .upload("application/octet-stream", Upload::File(file.to_owned()))
            .await
            .done()
            .await
    }

    /// The approved artifact; its digest is checked on the way.
    pub async fn artifact(&self) -> Result<Download, ClientError> {
        let answer = self
            .call(Method::GET, &["artifact"], "download the artifact of")
            .send()
            .await?
            .accepted()
            .await?
            .marked()?;
        Ok(Download::new(answer, ARTIFACT_BYTES))
    }
}
