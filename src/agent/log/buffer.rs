//! What was written and not yet sent.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tokio::sync::Notify;

pub(super) struct Buffer {
    inner: Mutex<Inner>,
    /// There is data, or the end.
    filled: Notify,
    /// There is room again.
    emptied: Notify,
    room: usize,
    stall: Duration,
}

struct Inner {
    waiting: BytesMut,
    /// Bytes dropped since the last that was taken.
    dropped: u64,
    /// Whether output is dropped until there is room again.
    dropping: bool,
    acknowledged: u64,
    closed: bool,
    refused: bool,
}

/// What the sender finds.
pub(super) enum Filling {
    /// Nothing to send.
    Empty,
    /// Something; whether it is a batch by itself.
    Some { is_full: bool },
    /// Nothing will follow what is there.
    Closed { is_empty: bool },
}

impl Buffer {
    pub(super) fn new(room: usize, stall: Duration) -> Self {
        let inner = Inner {
            waiting: BytesMut::new(),
            dropped: 0,
            dropping: false,
            acknowledged: 0,
            closed: false,
            refused: false,
        };
        Self { inner: Mutex::new(inner), filled: Notify::new(), emptied: Notify::new(), room, stall }
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds without asking for room: for the few lines of ours.
    pub(super) fn push(&self, bytes: &[u8]) {
        let mut inner = self.inner();
        if !inner.closed && !inner.refused {
            inner.waiting.extend_from_slice(bytes);
        }
        drop(inner);
        self.filled.notify_one();
    }

    pub(super) async fn write(&self, bytes: &[u8]) {
        if self.take(bytes) {
            return;
        }
        let wait = async {
            loop {
                let emptied = self.emptied.notified();
                if self.take(bytes) {
                    return;
                }
                emptied.await;
            }
        };
        if tokio::time::timeout(self.stall, wait).await.is_err() {
            let mut inner = self.inner();
            inner.dropping = true;
            inner.dropped += u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        }
    }

    /// Whether `bytes` were dealt with.
    fn take(&self, bytes: &[u8]) -> bool {
        let mut inner = self.inner();
        if inner.closed || inner.refused {
            return true;
        }
        let has_room = inner.waiting.len() + bytes.len() <= self.room;
        if inner.dropping && !has_room {
            inner.dropped += u64::try_from(bytes.len()).unwrap_or(u64::MAX);
            return true;
        }
        if !has_room {
            return false;
        }
        inner.dropping = false;
        inner.mark_gap();
        inner.waiting.extend_from_slice(bytes);
        drop(inner);
        self.filled.notify_one();
        true
    }

    pub(super) fn close(&self) {
        let mut inner = self.inner();
        inner.mark_gap();
        inner.closed = true;
        drop(inner);
        self.filled.notify_one();
    }

    /// Nothing more can be sent: what comes is thrown away.
    pub(super) fn refuse(&self) {
        let mut inner = self.inner();
        inner.refused = true;
        inner.waiting = BytesMut::new();
        drop(inner);
        self.emptied.notify_waiters();
    }

    pub(super) async fn filled(&self) {
        self.filled.notified().await;
    }

    pub(super) fn filling(&self, batch: usize) -> Filling {
        let inner = self.inner();
        match (inner.closed, inner.waiting.is_empty()) {
            (true, is_empty) => Filling::Closed { is_empty },
            (false, true) => Filling::Empty,
            (false, false) => Filling::Some { is_full: inner.waiting.len() >= batch },
        }
    }

    pub(super) fn take_batch(&self, most: usize) -> Bytes {
        let mut inner = self.inner();
        let length = inner.waiting.len().min(most);
        let batch = inner.waiting.split_to(length).freeze();
        if inner.waiting.is_empty() {
            // `split_to` shares the allocation; a fresh one lets a large one go.
            inner.waiting = BytesMut::new();
        }
        drop(inner);
        self.emptied.notify_waiters();
        batch
    }

    pub(super) fn acknowledge(&self, offset: u64) {
        self.inner().acknowledged = offset;
    }

    pub(super) fn acknowledged(&self) -> u64 {
        self.inner().acknowledged
    }
}

impl Inner {
    fn mark_gap(&mut self) {
        if self.dropped > 0 {
            let gap =
                format!("\nnigari: {} bytes of output were dropped here, because the server was away\n", self.dropped);
            self.waiting.extend_from_slice(gap.as_bytes());
            self.dropped = 0;
        }
    }
}
