//! The socket between agent and launcher: frames of a length and JSON, and the descriptors that come with the first.
//!
//! Rule: no frame is read that announces more than its limit, and a buffer that held a frame is zeroed.

use std::io::{self, IoSlice, IoSliceMut, Read as _, Write};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags,
    recvmsg, sendmsg,
};
use serde::Serialize;
use serde::de::DeserializeOwned;
use zeroize::Zeroizing;

/// Bytes before each frame: its length, little-endian.
pub(super) const HEADER: usize = 4;

/// Why a message did not come or go.
#[derive(Debug, thiserror::Error)]
pub(super) enum ChannelError {
    #[error("message of {length} bytes is longer than {limit}")]
    TooLong { length: usize, limit: usize },
    #[error("message cannot be written as JSON")]
    Encode(#[source] serde_json::Error),
    #[error("message is not what was expected")]
    Decode(#[source] serde_json::Error),
    #[error("cannot use the launcher's socket")]
    Socket(#[from] io::Error),
    #[error("other side closed the socket")]
    Closed,
    #[error("expected {expected} descriptors, got {got}")]
    Descriptors { expected: usize, got: usize },
}

/// Counts what is written, so that a frame with secrets is never grown, which would leave copies behind.
struct Length(usize);

impl Write for Length {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 += bytes.len();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// One frame, header included.
pub(super) fn encode(message: &impl Serialize, limit: usize) -> Result<Zeroizing<Vec<u8>>, ChannelError> {
    let mut length = Length(0);
    serde_json::to_writer(&mut length, message).map_err(ChannelError::Encode)?;
    let Length(length) = length;
    let header = u32::try_from(length).ok().filter(|_| length <= limit);
    let header = header.ok_or(ChannelError::TooLong { length, limit })?;
    let mut frame = Zeroizing::new(Vec::with_capacity(HEADER + length));
    frame.extend_from_slice(&header.to_le_bytes());
    serde_json::to_writer(&mut *frame, message).map_err(ChannelError::Encode)?;
    Ok(frame)
}

/// How long the frame is that `header` announces.
pub(super) fn announced(header: [u8; HEADER], limit: usize) -> Result<usize, ChannelError> {
    let length = usize::try_from(u32::from_le_bytes(header)).unwrap_or(usize::MAX);
    if length > limit { Err(ChannelError::TooLong { length, limit }) } else { Ok(length) }
}

/// The message in a frame without its header.
pub(super) fn decode<M: DeserializeOwned>(frame: &[u8]) -> Result<M, ChannelError> {
    serde_json::from_slice(frame).map_err(ChannelError::Decode)
}

/// Collects a frame as its bytes come, without ever waiting.
#[derive(Debug, Default)]
pub(super) struct Incoming {
    header: Vec<u8>,
    /// Its length, and what came of it. Made at its full size: growing would leave copies of secrets in freed memory.
    body: Option<(usize, Zeroizing<Vec<u8>>)>,
}

impl Incoming {
    /// How many bytes the next read may take at most, so that it never takes some of the next frame.
    pub(super) fn missing(&self) -> usize {
        self.body.as_ref().map_or(HEADER - self.header.len(), |(length, body)| length - body.len())
    }

    /// Takes at most [`Self::missing`] bytes; gives the message when it is whole.
    pub(super) fn take<M: DeserializeOwned>(&mut self, bytes: &[u8], limit: usize) -> Result<Option<M>, ChannelError> {
        match &mut self.body {
            None => {
                self.header.extend_from_slice(bytes);
                if let Ok(header) = <[u8; HEADER]>::try_from(&*self.header) {
                    let length = announced(header, limit)?;
                    self.body = Some((length, Zeroizing::new(Vec::with_capacity(length))));
                }
            }
            Some((_, body)) => body.extend_from_slice(bytes),
        }
        match &self.body {
            Some((length, body)) if body.len() == *length => {
                let message = decode(body);
                *self = Self::default();
                message.map(Some)
            }
            Some(_) | None => Ok(None),
        }
    }
}

/// Waits for a whole message, on a socket that blocks; never takes a byte more than its frame.
pub(super) fn receive<M: DeserializeOwned>(socket: &mut UnixStream, limit: usize) -> Result<M, ChannelError> {
    let mut incoming = Incoming::default();
    loop {
        let mut buffer = Zeroizing::new(vec![0; incoming.missing()]);
        let count = match socket.read(&mut buffer) {
            Ok(0) => return Err(ChannelError::Closed),
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error.into()),
        };
        if let Some(message) = incoming.take(buffer.get(..count).unwrap_or_default(), limit)? {
            return Ok(message);
        }
    }
}

/// Sends one byte and `descriptors` (at most [`MOST_DESCRIPTORS`]) with it.
pub(super) fn send_descriptors(socket: impl AsFd, descriptors: &[BorrowedFd<'_>]) -> Result<(), ChannelError> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST_DESCRIPTORS))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !control.push(SendAncillaryMessage::ScmRights(descriptors)) {
        return Err(ChannelError::Descriptors { expected: MOST_DESCRIPTORS, got: descriptors.len() });
    }
    sendmsg(socket, &[IoSlice::new(&[0])], &mut control, SendFlags::NOSIGNAL).map_err(io::Error::from)?;
    Ok(())
}

/// Most descriptors that go with one byte.
const MOST_DESCRIPTORS: usize = 4;

/// Receives what [`send_descriptors`] sent, exactly `COUNT` of them; they are closed on exec.
pub(super) fn receive_descriptors<const COUNT: usize>(socket: impl AsFd) -> Result<[OwnedFd; COUNT], ChannelError> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST_DESCRIPTORS))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut byte = [0; 1];
    let received = recvmsg(socket, &mut [IoSliceMut::new(&mut byte)], &mut control, RecvFlags::CMSG_CLOEXEC)
        .map_err(io::Error::from)?;
    if received.bytes == 0 {
        return Err(ChannelError::Closed);
    }
    let mut descriptors = Vec::new();
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(rights) = message {
            descriptors.extend(rights);
        }
    }
    let got = descriptors.len();
    descriptors.try_into().map_err(|_| ChannelError::Descriptors { expected: COUNT, got })
}

#[cfg(test)]
mod tests {
    use super::{ChannelError, Incoming, encode};

    #[test]
    fn a_message_comes_whole_however_it_is_cut() {
        let frame = encode(&"hello", 100).unwrap();
        let mut incoming = Incoming::default();
        let mut got = Vec::new();
        for byte in frame.iter().chain(frame.iter()) {
            assert!(incoming.missing() > 0);
            got.extend(incoming.take::<String>(&[*byte], 100).unwrap());
        }
        assert_eq!(got, ["hello", "hello"]);
    }

    #[test]
    fn a_message_over_the_limit_is_neither_written_nor_read() {
        assert!(matches!(encode(&"x".repeat(99), 100), Err(ChannelError::TooLong { .. })));
        let announced = u32::MAX.to_le_bytes();
        assert!(matches!(Incoming::default().take::<String>(&announced, 100), Err(ChannelError::TooLong { .. })));
    }

    #[test]
    fn garbage_and_an_empty_message_are_errors() {
        let mut incoming = Incoming::default();
        incoming.take::<String>(&1_u32.to_le_bytes(), 100).unwrap();
        assert!(matches!(incoming.take::<String>(b"{", 100), Err(ChannelError::Decode(_))));
        assert!(matches!(Incoming::default().take::<String>(&[0; 4], 100), Err(ChannelError::Decode(_))));
    }
}
