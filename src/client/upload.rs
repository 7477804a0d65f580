//! Bodies that may be large.
//!
//! Rule: a file is opened anew for each try and streamed, never held in memory.

use std::path::PathBuf;

use bytes::Bytes;
use tokio::fs::File;
use tokio::io::AsyncReadExt as _;
use tokio_util::io::ReaderStream;

/// Bytes read from a file at a time.
const CHUNK: usize = 128 * 1024;

/// What to upload.
#[derive(Debug, Clone)]
pub enum Upload {
    /// These bytes.
    Bytes(Bytes),
    /// The content of a file.
    File(PathBuf),
}

impl Upload {
    /// The body and its length.
    pub(super) async fn open(self) -> Result<(reqwest::Body, u64), (PathBuf, std::io::Error)> {
        match self {
            Self::Bytes(bytes) => {
                let length = bytes.len() as u64;
                Ok((bytes.into(), length))
            }
            Self::File(path) => match open_file(&path).await {
                Ok((file, length)) => {
                    let stream = ReaderStream::with_capacity(file.take(length), CHUNK);
                    Ok((reqwest::Body::wrap_stream(stream), length))
                }
                Err(error) => Err((path, error)),
            },
        }
    }
}

async fn open_file(path: &std::path::Path) -> std::io::Result<(File, u64)> {
    let file = File::open(path).await?;
    let length = file.metadata().await?.len();
    Ok((file, length))
}

impl From<Bytes> for Upload {
    fn from(bytes: Bytes) -> Self {
        Self::Bytes(bytes)
    }
}

impl From<Vec<u8>> for Upload {
    fn from(bytes: Vec<u8>) -> Self {
        Self::Bytes(bytes.into())
    }
}

impl From<PathBuf> for Upload {
    fn from(path: PathBuf) -> Self {
        Self::File(path)
    }
}
