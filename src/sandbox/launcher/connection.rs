//! The launcher's end of the socket, which is its standard input.
//!
//! Rule: after the launch no read ever waits, so that a stopped agent cannot stop the launcher's clock.

use std::io::{self, Read as _, Write as _};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;

use super::Pipes;
use crate::sandbox::channel::{ChannelError, Incoming, encode, receive, receive_descriptors};
use crate::sandbox::protocol::{LONGEST_TO_AGENT, LONGEST_TO_LAUNCHER, ToAgent, ToLauncher};

pub(super) struct Connection {
    socket: UnixStream,
    incoming: Incoming,
}

/// What a look at the socket gave.
pub(super) enum Heard {
    Message(ToLauncher),
    Nothing,
    /// The agent is gone, or talks nonsense: the same to us.
    Gone,
}

impl Connection {
    /// Takes over standard input and the descriptors that come with its first byte.
    pub(super) fn open() -> Result<(Self, Pipes), ChannelError> {
        // A copy that is closed on exec. Descriptor 0 stays open in the launcher and is replaced in its child.
        let socket = UnixStream::from(io::stdin().as_fd().try_clone_to_owned()?);
        let [stdout_write, stdout_read, stderr_write, stderr_read] = receive_descriptors(&socket)?;
        let pipes = Pipes { stdout_write, stdout_read, stderr_write, stderr_read };
        Ok((Self { socket, incoming: Incoming::default() }, pipes))
    }

    /// Waits for the first message; from then on no read waits.
    pub(super) fn first(&mut self) -> Result<ToLauncher, ChannelError> {
        let message = receive(&mut self.socket, LONGEST_TO_LAUNCHER)?;
        self.socket.set_nonblocking(true)?;
        Ok(message)
    }

    /// Takes what is there.
    pub(super) fn hear(&mut self) -> Heard {
        let mut buffer = vec![0; self.incoming.missing()];
        let bytes = match self.socket.read(&mut buffer) {
            Ok(count) if count > 0 => buffer.get(..count).unwrap_or_default(),
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {
                return Heard::Nothing;
            }
            Ok(_) | Err(_) => return Heard::Gone,
        };
        match self.incoming.take(bytes, LONGEST_TO_AGENT) {
            Ok(Some(message)) => Heard::Message(message),
            Ok(None) => Heard::Nothing,
            Err(_) => Heard::Gone,
        }
    }

    /// Tells the agent. One that is gone cannot be told, and is seen by [`Self::hear`].
    pub(super) fn say(&mut self, message: &ToAgent) {
        if let Ok(frame) = encode(message, LONGEST_TO_AGENT) {
            let _ = self.socket.write_all(&frame);
        }
    }
}

impl AsFd for Connection {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}
