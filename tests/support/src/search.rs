//! The search for canaries in files, directories, processes and bytes.
//!
//! Rule: what could not be searched is never counted as clean. It is listed, and [`crate::search::Search::verdict`]
//! fails on it as it does on a hit.

use std::fs::{self, File};
use std::io::{ErrorKind, Read};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use crate::canary::{Canary, Needle};
use crate::failure::{Failure, Outcome};

/// How much of a file is in memory at a time.
const CHUNK: usize = 4 << 20;
/// How much of the last chunk is looked at again: more than any needle with colour codes between its bytes.
const OVERLAP: usize = 16 << 10;

/// Whether `bytes` have `needle` in them, byte for byte.
pub fn contains(bytes: &[u8], needle: &[u8]) -> bool {
    bytes.windows(needle.len().max(1)).any(|window| window == needle)
}

/// A canary that was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hit {
    /// The file, process or other place.
    pub place: String,
    /// In which form; never the canary itself.
    pub form: String,
}

/// A search that is going on: what to look for, what has been searched, what was found.
#[derive(Debug)]
pub struct Search {
    needles: Vec<Needle>,
    /// Needles by their first two bytes.
    starts: Vec<Vec<usize>>,
    searched: u64,
    files: u64,
    hits: Vec<Hit>,
    unread: Vec<String>,
}

impl Search {
    /// A search for these canaries in all their forms.
    pub fn new(canaries: &[Canary]) -> Self {
        let needles: Vec<Needle> = canaries.iter().flat_map(Canary::needles).collect();
        let mut starts = vec![Vec::new(); 1 << 16];
        for (index, needle) in needles.iter().enumerate() {
            starts[start(&needle.bytes)].push(index);
        }
        Self { needles, starts, searched: 0, files: 0, hits: Vec::new(), unread: Vec::new() }
    }

    /// Searches some bytes; `place` says where they were.
    pub fn bytes(&mut self, place: &str, bytes: &[u8]) {
        self.searched += bytes.len() as u64;
        self.look(place, bytes);
        // Line breaks, colour codes and the zeros of UTF-16 must not hide anything.
        let squeezed = squeeze(bytes);
        if squeezed.len() != bytes.len() {
            self.look(place, &squeezed);
        }
    }

    /// Searches a file's name and content; a file that is gone counts as searched.
    pub fn file(&mut self, path: &Path) {
        let place = path.display().to_string();
        self.look(&place, path.as_os_str().as_bytes());
        match File::open(path) {
            Ok(file) => self.stream(&place, file),
            Err(error) => self.note(&place, &error),
        }
    }

    /// Searches everything below a directory, names and targets of links included. Links are not followed.
    pub fn directory(&mut self, path: &Path) {
        let place = path.display().to_string();
        let entries = match fs::read_dir(path) {
            Ok(entries) => entries,
            Err(error) => return self.note(&place, &error),
        };
        for entry in entries {
            match entry.and_then(|entry| Ok((entry.path(), entry.file_type()?))) {
                Ok((path, kind)) if kind.is_dir() => self.directory(&path),
                Ok((path, kind)) if kind.is_file() => self.file(&path),
                Ok((path, kind)) if kind.is_symlink() => {
                    let target = fs::read_link(&path).unwrap_or_default();
                    self.bytes(&path.display().to_string(), target.as_os_str().as_bytes());
                }
                // Sockets, pipes and devices keep nothing.
                Ok((path, _)) => self.look(&place, path.as_os_str().as_bytes()),
                Err(error) => self.note(&place, &error),
            }
        }
    }

    /// Searches the environment and the arguments of a process; one that has ended counts as searched.
    pub fn process(&mut self, pid: u32) {
        for what in ["environ", "cmdline"] {
            self.file(Path::new(&format!("/proc/{pid}/{what}")));
        }
    }

    /// How many forms are looked for.
    pub fn forms(&self) -> usize {
        self.needles.len()
    }

    /// How many bytes were searched.
    pub fn searched(&self) -> u64 {
        self.searched
    }

    /// How many files were searched.
    pub fn files(&self) -> u64 {
        self.files
    }

    /// What was found, each place and form once.
    pub fn hits(&self) -> &[Hit] {
        &self.hits
    }

    /// What could not be searched, and why.
    pub fn unread(&self) -> &[String] {
        &self.unread
    }

    /// Adds another search's findings.
    pub fn absorb(&mut self, other: Self) {
        self.searched += other.searched;
        self.files += other.files;
        self.unread.extend(other.unread);
        self.hits.extend(other.hits);
    }

    /// The number of bytes searched, if nothing was found in them.
    ///
    /// # Errors
    /// When something was found, could not be searched, or when there was nothing to search at all.
    pub fn verdict(&self) -> Outcome<u64> {
        if self.searched > 0 && self.hits.is_empty() && self.unread.is_empty() {
            return Ok(self.searched);
        }
        let hits = self.hits.iter().map(|hit| format!("found: {} in {}\n", hit.form, hit.place));
        let unread = self.unread.iter().map(|what| format!("not searched: {what}\n"));
        let list: String = hits.chain(unread).collect();
        Err(Failure::new(format!("{} bytes searched for canaries\n{list}", self.searched)))
    }

    fn stream(&mut self, place: &str, mut file: impl Read) {
        self.files += 1;
        let mut kept = Vec::new();
        loop {
            let before = kept.len();
            // Files of /proc have no size, and a pipe gives less than asked for: only zero bytes are the end.
            match file.by_ref().take(CHUNK as u64).read_to_end(&mut kept) {
                Ok(0) => return,
                Ok(_) => self.bytes(place, &kept),
                Err(error) => return self.note(place, &error),
            }
            self.searched -= before as u64;
            kept.drain(..kept.len().saturating_sub(OVERLAP));
        }
    }

    fn look(&mut self, place: &str, bytes: &[u8]) {
        for at in 0..bytes.len().saturating_sub(1) {
            for &index in &self.starts[start(&bytes[at..])] {
                let needle = &self.needles[index];
                if bytes[at..].starts_with(&needle.bytes) {
                    let hit = Hit { place: place.to_owned(), form: needle.form.clone() };
                    if !self.hits.contains(&hit) {
                        self.hits.push(hit);
                    }
                }
            }
        }
    }

    fn note(&mut self, place: &str, error: &std::io::Error) {
        // A process that ends while it is looked at gives ESRCH.
        let gone = error.kind() == ErrorKind::NotFound || error.raw_os_error() == Some(3);
        if !gone {
            self.unread.push(format!("{place}: {error}"));
        }
    }
}

fn start(bytes: &[u8]) -> usize {
    usize::from(bytes[0]) << 8 | usize::from(bytes[1])
}

/// Without line breaks, zeros and ANSI control sequences.
fn squeeze(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len());
    let mut rest = bytes.iter().copied().peekable();
    while let Some(byte) = rest.next() {
        match byte {
            b'\r' | b'\n' | 0 => {}
            0x1b if rest.peek() == Some(&b'[') => {
                rest.next();
                // Parameters, then one final byte.
                while rest.next().is_some_and(|byte| !(0x40..=0x7e).contains(&byte)) {}
            }
            byte => out.push(byte),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::{CHUNK, Search};
    use crate::canary::Canary;
    use crate::child::{Child, command};
    use std::fs;
    use std::os::unix::fs::symlink;

    #[test]
    fn a_canary_on_the_border_of_two_chunks_is_found() {
        let directory = tempfile::tempdir().unwrap();
        let canary = Canary::new("someone");
        let mut bytes = vec![b'x'; CHUNK - 5];
        bytes.extend(canary.password.as_bytes());
        bytes.extend(vec![b'y'; 100]);
        fs::write(directory.path().join("big"), &bytes).unwrap();
        let mut search = Search::new(&[canary]);
        search.directory(directory.path());
        assert_eq!((search.hits().len(), search.searched()), (1, bytes.len() as u64), "{:?}", search.hits());
        assert!(search.verdict().is_err());
    }

    #[test]
    fn names_and_links_are_searched_and_nothing_is_no_verdict() {
        let directory = tempfile::tempdir().unwrap();
        let canary = Canary::of("canary-in-a-name");
        assert!(Search::new(std::slice::from_ref(&canary)).verdict().is_err(), "nothing searched is not clean");
        symlink(&canary.password, directory.path().join("link")).unwrap();
        fs::write(directory.path().join(&canary.password), "clean").unwrap();
        let mut search = Search::new(&[canary]);
        search.directory(directory.path());
        assert_eq!(search.hits().len(), 2);
    }

    #[test]
    fn environment_and_arguments_of_a_process_are_searched() {
        let directory = tempfile::tempdir().unwrap();
        let canary = Canary::new("someone");
        let mut sleep = command("sleep");
        sleep.arg("20").env("LEAK", &canary.password);
        let child = Child::start("sleep", sleep, &directory.path().join("log")).unwrap();
        let mut search = Search::new(&[canary]);
        // `spawn` comes back in the middle of the exec, some microseconds before there is an environment.
        while search.hits().is_empty() {
            search.process(child.pid());
        }
        assert_eq!(search.hits().len(), 1);
        assert!(search.hits()[0].place.ends_with("environ"));
    }
}
