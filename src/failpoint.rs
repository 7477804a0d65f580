//! Fail points: places at which a test lets agent, launcher or init die in the middle of what they do.
//!
//! Rule: without the feature `failpoints`, which nothing that is shipped has, a point is no code at all. With it a
//! process dies at one point, once. Which point is said by the program's own name (its first word), because launchers and
//! init have no environment to be told by: they are started under the name of who starts them.

/// Marks a place at which a test may let this process die. The name is unique: `process.what.happened`.
macro_rules! failpoint {
    ($name:literal) => {
        #[cfg(feature = "failpoints")]
        crate::failpoint::chosen::reached($name);
    };
}

/// The name under which launcher and init are started.
#[cfg(not(feature = "failpoints"))]
pub(crate) fn program_name() -> &'static str {
    "nigari"
}

/// The name under which launcher and init are started: this process's own, with the point that was chosen.
#[cfg(feature = "failpoints")]
pub(crate) fn program_name() -> std::ffi::OsString {
    std::env::args_os().next().unwrap_or_default()
}

#[cfg(feature = "failpoints")]
pub(crate) mod chosen {
    //! `nigari@POINT@die@DIRECTORY` dies at the point, `nigari@POINT@stop@DIRECTORY` stops there until it is killed.
    //! Only while there is a file `armed` in that directory, which becomes `reached`: who renames it is the one that dies.

    use std::os::fd::OwnedFd;
    use std::sync::OnceLock;
    use std::time::Duration;

    use rustix::fs::{CWD, Mode, OFlags, openat, renameat};
    use rustix::process::{Signal, getpid, kill_process};

    struct Chosen {
        point: String,
        stops: bool,
        /// Opened early: init leaves the host's files behind.
        directory: OwnedFd,
    }

    static CHOSEN: OnceLock<Option<Chosen>> = OnceLock::new();

    fn choose() -> Option<Chosen> {
        let name = super::program_name().into_string().ok()?;
        let mut words = name.splitn(4, '@').skip(1);
        let (point, action, directory) = (words.next()?.to_owned(), words.next()?, words.next()?);
        let directory = openat(CWD, directory, OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty()).ok()?;
        Some(Chosen { point, stops: action == "stop", directory })
    }

    /// Does nothing, or does not return.
    pub(crate) fn reached(point: &str) {
        let Some(chosen) = CHOSEN.get_or_init(choose).as_ref().filter(|chosen| chosen.point == point) else { return };
        if renameat(&chosen.directory, "armed", &chosen.directory, "reached").is_err() {
            return;
        }
        if chosen.stops {
            loop {
                let _ = kill_process(getpid(), Signal::STOP);
                std::thread::sleep(Duration::from_secs(1));
            }
        }
        let _ = kill_process(getpid(), Signal::KILL);
        // The first process of a PID namespace is not killed by its own signals.
        std::process::abort();
    }
}
