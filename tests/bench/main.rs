//! The figures: `cargo bench --bench figures`. Everything in one run on one machine, both sides with the same logging
//! wrapper around the same tofu. `NIGARI_BENCH` chooses among `redaction`, `sandbox`, `runs`, `fetch`, `blob`, `requests`
//! (separated by commas).
//!
//! Rule: nothing is asserted and nothing is remembered from elsewhere; what is printed was measured just now. Ratios
//! are of interleaved pairs, because machines are noisy.

mod bare;
mod broker;
mod figures;
mod redaction;
mod relay;
mod sandbox;
mod size;
mod world;

use std::path::{Path, PathBuf};

use figures::{Series, print, title};
use support::{Outcome, loops, require};
use world::World;

fn main() -> Outcome<()> {
    let chosen = support::child::variable("NIGARI_BENCH");
    let wants = |part: &str| chosen.as_deref().is_none_or(|chosen| chosen.split(',').any(|one| one == part));
    if wants("redaction") {
        redaction::report();
    }
    let (Some(tofu), Some(registry)) = (require::tofu(), require::registry()) else { return Ok(()) };
    let nigari = PathBuf::from(env!("CARGO_BIN_EXE_nigari"));
    let (directory, programs) = (tempfile::tempdir()?, [nigari.as_path(), tofu.as_path(), registry.as_path()]);
    if wants("sandbox") {
        sandbox::report(&nigari, directory.path())?;
    }
    let mut world = if wants("runs") { Some(runs(programs, directory.path())?) } else { None };
    if wants("fetch") {
        broker::fetches(programs, &directory.path().join("fetch"))?;
    }
    if wants("blob") {
        broker::blob(&registry, &directory.path().join("blob"))?;
    }
    if wants("requests") {
        requests(programs)?;
    }
    if let Some(world) = &mut world {
        memory_after_many(world)?;
    }
    size::report(&nigari);
    Ok(())
}

/// One world, fresh and then at work.
fn runs([nigari, tofu, registry]: [&Path; 3], directory: &Path) -> Outcome<World> {
    let mut world = World::start(nigari, tofu, registry, directory)?;
    // A process that has just begun is not yet what it will be.
    std::thread::sleep(std::time::Duration::from_secs(3));
    let (agent, server) = world.memory()?;
    title("memory, fresh (resident / anonymous, KiB)");
    print("agent", format_args!("{agent}"));
    print("server", format_args!("{server}"));
    pairs(&mut world, directory)?;
    Ok(world)
}

fn requests([nigari, tofu, registry]: [&Path; 3]) -> Outcome<()> {
    let counted = relay::requests_of_one_run(nigari, tofu, registry)?;
    title("requests of one auto-applied run");
    print("agent's own", format_args!("{}", counted.own));
    print("tofu's, for its state", format_args!("{}", counted.state));
    for line in counted.lines {
        print("", format_args!("{line}"));
    }
    Ok(())
}

fn memory_after_many(world: &mut World) -> Outcome<()> {
    while world.runs() < loops::times(300) {
        world.run()?;
    }
    let (agent, server) = world.memory()?;
    title(&format!("memory after {} runs (resident / anonymous, KiB)", world.runs()));
    print("agent", format_args!("{agent}"));
    print("server", format_args!("{server}"));
    Ok(())
}

/// Runs through nigari and the same commands by hand, in turn.
fn pairs(world: &mut World, directory: &Path) -> Outcome<()> {
    let mut bare = bare::Bare::prepare(world, &directory.join("bare"))?;
    let mut dispatch = Series::default();
    let mut through = Series::default();
    let mut by_hand = Series::default();
    let mut ratio = Series::default();
    let count = loops::times(50);
    for round in 0..count + 3 {
        let run = world.run()?;
        let hand = bare.run()?;
        // The first rounds warm caches on both sides.
        if round >= 3 {
            dispatch.add(run.dispatch);
            through.add(run.whole);
            by_hand.add(hand);
            ratio.add(run.whole / hand);
        }
    }
    let fsync = figures::measure_fdatasync(directory)?;
    title(&format!(
        "{count} interleaved pairs: one auto-applied run ÷ get, init, plan -out, show -json, apply by hand"
    ));
    print("POST of the run → exec of the first tofu, ms", format_args!("{dispatch}"));
    print("  fdatasync of 4 KiB on this disk, ms", format_args!("{fsync}"));
    match world.syncs_per_run()? {
        Some(syncs) => print("  syncs of the server in one whole run", format_args!("{syncs:.1}")),
        None => print("  syncs of the server in one whole run", format_args!("not counted: needs strace")),
    }
    print("through nigari, client's view, ms", format_args!("{through}"));
    print("by hand, ms", format_args!("{by_hand}"));
    print("ratio", format_args!("{ratio}"));
    print("added by nigari, p50, ms", format_args!("{:.1}", through.percentile(50.0) - by_hand.percentile(50.0)));
    Ok(())
}
