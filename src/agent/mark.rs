//! The mark in a run's directory that its apply was reported, for the agent that comes after this one.
//!
//! Rule: steps can write there too, so the mark is made anew and read only if it is a plain file.

use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::path::Path;

use rustix::fs::{Mode, OFlags, open};

use super::private::create_anew;

const NAME: &str = "applying";

/// More than the digits of any epoch.
const LONGEST: u64 = 64;

/// Written before the apply is reported: a mark without an apply costs a question, the other way round costs a state.
pub(crate) fn write(run_directory: &Path, epoch: i64) -> io::Result<()> {
    create_anew(&run_directory.join(NAME))?.write_all(epoch.to_string().as_bytes())
}

/// The epoch under which an apply was, or was about to be, reported.
pub(crate) fn read(run_directory: &Path) -> Option<i64> {
    // A pipe would be waited for, and a link leads elsewhere.
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = File::from(open(run_directory.join(NAME), flags, Mode::empty()).ok()?);
    let mut text = String::new();
    let is_plain = file.metadata().ok()?.is_file();
    is_plain.then(|| file.take(LONGEST).read_to_string(&mut text).ok())??;
    text.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::{read, write};

    #[test]
    fn a_mark_is_a_plain_file_whatever_a_step_has_put_there() {
        let run = tempfile::tempdir().unwrap();
        assert_eq!(read(run.path()), None);
        let (mark, target) = (run.path().join("applying"), run.path().join("target"));
        std::fs::write(&target, "7").unwrap();
        std::os::unix::fs::symlink(&target, &mark).unwrap();
        assert_eq!(read(run.path()), None);
        write(run.path(), 3).unwrap();
        assert_eq!((read(run.path()), std::fs::read_to_string(&target).unwrap().as_str()), (Some(3), "7"));
        std::fs::remove_file(&mark).unwrap();
        let pipe = (rustix::fs::FileType::Fifo, rustix::fs::Mode::RWXU);
        rustix::fs::mknodat(rustix::fs::CWD, &mark, pipe.0, pipe.1, 0).unwrap();
        assert_eq!(read(run.path()), None);
        write(run.path(), 4).unwrap();
        assert_eq!(read(run.path()), Some(4));
    }
}
