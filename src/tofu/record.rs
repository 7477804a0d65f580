//! Files that tofu left in its data directory.
//!
//! Rule: by the time we read them a program of the configuration's author may have been there. So: no link, no pipe,
//! no device, and never more than a limit.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use rustix::fs::{Mode, OFlags};

/// Largest file that is read, in bytes.
const RECORD_MAX: u64 = 16 << 20;

/// The content of a regular file; `None` if there is none.
pub(super) fn read(path: &Path) -> io::Result<Option<Vec<u8>>> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = match rustix::fs::open(path, flags, Mode::empty()) {
        Ok(file) => File::from(file),
        Err(rustix::io::Errno::NOENT) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let metadata = file.metadata()?;
    if !metadata.is_file() || metadata.len() > RECORD_MAX {
        return Err(io::Error::from(io::ErrorKind::InvalidData));
    }
    let mut bytes = Vec::new();
    file.take(RECORD_MAX).read_to_end(&mut bytes)?;
    Ok(Some(bytes))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::{RECORD_MAX, read};

    #[test]
    fn only_a_regular_file_of_reasonable_size_is_read() {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        std::fs::write(at("good"), "x").unwrap();
        assert_eq!(read(&at("good")).unwrap().unwrap(), b"x");
        assert!(read(&at("none")).unwrap().is_none());
        symlink(at("good"), at("link")).unwrap();
        let pipe = (rustix::fs::FileType::Fifo, rustix::fs::Mode::RWXU);
        rustix::fs::mknodat(rustix::fs::CWD, at("pipe"), pipe.0, pipe.1, 0).unwrap();
        std::fs::File::create(at("large")).unwrap().set_len(RECORD_MAX + 1).unwrap();
        for name in ["link", "pipe", "large", "."] {
            assert!(read(&at(name)).is_err(), "{name}");
        }
    }
}
