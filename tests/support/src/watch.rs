//! Looks at every process below this one while something runs.
//!
//! Rule: it sees what lives for some milliseconds or longer. It is a net, not a proof: that no environment can carry a
//! credential is shown by what starts the children, and tested there.

use std::collections::HashMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crate::canary::Canary;
use crate::failure::{Failure, Outcome};
use crate::search::Search;

/// How often the processes are looked at.
const INTERVAL: Duration = Duration::from_millis(5);

/// A watch that is going on, in a thread of its own.
#[derive(Debug)]
pub struct Watch {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Watched>,
}

/// What a watch has seen.
#[derive(Debug)]
pub struct Watched {
    /// The search of all environments and arguments.
    pub search: Search,
    /// How many different processes were seen.
    pub processes: usize,
}

/// A process that was seen, and what was searched of it last.
struct Known {
    /// Distinguishes it from a later process with the same id.
    born: String,
    content: Vec<u8>,
}

impl Watch {
    /// Starts to look for these canaries in every process that this one starts, directly or not.
    pub fn start(canaries: &[Canary]) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let mut search = Search::new(canaries);
        let asked = Arc::clone(&stop);
        let thread = thread::spawn(move || {
            let mut known = HashMap::new();
            let mut processes = 0;
            while !asked.load(Ordering::Relaxed) {
                processes += look(&mut known, &mut search);
                thread::sleep(INTERVAL);
            }
            processes += look(&mut known, &mut search);
            Watched { search, processes }
        });
        Self { stop, thread }
    }

    /// Ends the watch.
    pub fn finish(self) -> Outcome<Watched> {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().map_err(|_| Failure::new("the watch over the processes broke down"))
    }
}

/// One look; gives the number of processes that were not known before.
fn look(known: &mut HashMap<u32, Known>, search: &mut Search) -> usize {
    known.retain(|pid, process| born(*pid).is_some_and(|born| born == process.born));
    // Known ones are roots too: a process whose parent has ended has another parent now.
    let mut pending: Vec<u32> = known.keys().copied().collect();
    pending.push(std::process::id());
    let mut new = 0;
    while let Some(pid) = pending.pop() {
        for child in children(pid) {
            if let Some(born) = born(child)
                && !known.contains_key(&child)
            {
                known.insert(child, Known { born, content: Vec::new() });
                pending.push(child);
                new += 1;
            }
        }
    }
    for (pid, process) in known {
        // An exec changes both; only then is there something new to search.
        let directory = format!("/proc/{pid}");
        let mut content = fs::read(format!("{directory}/environ")).unwrap_or_default();
        content.extend(fs::read(format!("{directory}/cmdline")).unwrap_or_default());
        if content != process.content {
            let name = fs::read_to_string(format!("{directory}/comm")).unwrap_or_default();
            search.bytes(&format!("environment or arguments of {} ({pid})", name.trim()), &content);
            process.content = content;
        }
    }
    new
}

/// The children of all threads of a process.
fn children(pid: u32) -> Vec<u32> {
    let threads = fs::read_dir(Path::new(&format!("/proc/{pid}/task"))).into_iter().flatten().flatten();
    let lists = threads.filter_map(|thread| fs::read_to_string(thread.path().join("children")).ok());
    lists.flat_map(|list| list.split_whitespace().filter_map(|pid| pid.parse().ok()).collect::<Vec<u32>>()).collect()
}

/// When a process began, in ticks since boot, as text; `None` when it has ended.
fn born(pid: u32) -> Option<String> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name, in parentheses, may contain anything; field 22 is the twentieth after it.
    let fields = stat.get(stat.rfind(')')? + 2..)?;
    fields.split(' ').nth(19).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::Watch;
    use crate::canary::Canary;
    use crate::child::{command, run};

    #[test]
    fn a_grandchild_with_a_canary_in_its_arguments_is_seen() {
        let canary = Canary::of("canary-among-arguments");
        let watch = Watch::start(std::slice::from_ref(&canary));
        let mut shell = command("sh");
        shell.args(["-c", "sleep 0.2; sh -c 'sleep 0.3; :' $C; :"]).env("C", "harmless");
        run(shell).unwrap();
        let mut shell = command("sh");
        shell.args(["-c", "X=$(printf 'among-arguments'); sh -c 'sleep 0.3; :' canary-$X; :"]);
        run(shell).unwrap();
        let seen = watch.finish().unwrap();
        assert!(seen.processes >= 4, "{seen:?}");
        assert!(!seen.search.hits().is_empty(), "{seen:?}");
    }
}
