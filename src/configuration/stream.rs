//! The bytes of an archive, counted on both sides of the decompressor.
//!
//! Rule: a limit stops the stream itself, so that no reader behind it can be made to take more. Which limit it was is
//! kept beside the stream, because an `io::Error` may be wrapped on its way up.

use std::cell::Cell;
use std::io::{self, BufRead, BufReader, Read};
use std::rc::Rc;

use flate2::bufread::GzDecoder;

use super::{ArchiveError, Limits};

/// Unpacked bytes before the ratio counts: small archives of repetitive text are no bombs.
const RATIO_FREE: u64 = 16 << 20;
/// What a tar may take for each entry beside its content: headers and padding.
const PER_ENTRY: u64 = 3 * 512;
/// Zero bytes that may follow the archive's end inside the gzip stream (tar pads to its record size).
const PADDING_MAX: u64 = 1 << 20;

#[derive(Debug, Clone, Copy)]
enum Stop {
    Packed,
    Unpacked,
    Ratio,
}

#[derive(Debug, Default)]
struct Counts {
    packed: Cell<u64>,
    unpacked: Cell<u64>,
    stop: Cell<Option<Stop>>,
}

/// Counts packed bytes.
struct Packed<R> {
    inner: R,
    limit: u64,
    counts: Rc<Counts>,
}

impl<R: Read> Read for Packed<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        let packed = self.counts.packed.get() + read as u64;
        self.counts.packed.set(packed);
        if packed > self.limit {
            self.counts.stop.set(Some(Stop::Packed));
            return Err(io::Error::other("packed limit"));
        }
        Ok(read)
    }
}

/// The unpacked stream, limited.
pub(super) struct Stream<R: Read> {
    decoder: GzDecoder<BufReader<Packed<R>>>,
    limits: Limits,
    counts: Rc<Counts>,
}

impl<R: Read> Stream<R> {
    pub(super) fn new(archive: R, limits: &Limits) -> Self {
        let counts = Rc::new(Counts::default());
        let packed = Packed { inner: archive, limit: limits.archive_bytes, counts: Rc::clone(&counts) };
        Self { decoder: GzDecoder::new(BufReader::with_capacity(32 << 10, packed)), limits: *limits, counts }
    }

    /// Something that can name the limit after the stream has been given away.
    pub(super) fn watch(&self) -> Watch {
        Watch { counts: Rc::clone(&self.counts), limits: self.limits }
    }

    /// After the last entry: only padding may follow, and nothing after the gzip stream.
    pub(super) fn finish(mut self) -> Result<(), ArchiveError> {
        let watch = self.watch();
        let mut buffer = [0; 4096];
        let mut padding = 0;
        loop {
            let read = self.read(&mut buffer).map_err(|error| watch.explain(error))?;
            if read == 0 {
                break;
            }
            padding += read as u64;
            if padding > PADDING_MAX || buffer[..read].iter().any(|byte| *byte != 0) {
                return Err(ArchiveError::TrailingData);
            }
        }
        let rest = self.decoder.get_mut().fill_buf().map_err(|error| watch.explain(error))?;
        if rest.is_empty() { Ok(()) } else { Err(ArchiveError::TrailingData) }
    }
}

impl<R: Read> Read for Stream<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.decoder.read(buffer)?;
        let unpacked = self.counts.unpacked.get() + read as u64;
        self.counts.unpacked.set(unpacked);
        let most = self.limits.total_bytes.saturating_add(self.limits.entries.saturating_mul(PER_ENTRY));
        if unpacked > most.saturating_add(PADDING_MAX) {
            self.counts.stop.set(Some(Stop::Unpacked));
            return Err(io::Error::other("unpacked limit"));
        }
        if unpacked > RATIO_FREE && unpacked > self.counts.packed.get().saturating_mul(self.limits.ratio) {
            self.counts.stop.set(Some(Stop::Ratio));
            return Err(io::Error::other("ratio limit"));
        }
        Ok(read)
    }
}

/// Names the limit that stopped a stream.
pub(super) struct Watch {
    counts: Rc<Counts>,
    limits: Limits,
}

impl Watch {
    /// What a read error really was.
    pub(super) fn explain(&self, error: io::Error) -> ArchiveError {
        match self.counts.stop.get() {
            Some(Stop::Packed) => ArchiveError::TooLarge { limit: self.limits.archive_bytes, unit: "bytes, packed" },
            Some(Stop::Unpacked) => ArchiveError::TooLarge { limit: self.limits.total_bytes, unit: "bytes, unpacked" },
            Some(Stop::Ratio) => ArchiveError::Ratio { ratio: self.limits.ratio },
            None => ArchiveError::Damaged(error),
        }
    }
}
