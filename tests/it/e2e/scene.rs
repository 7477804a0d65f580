//! How tests of the operator's CLI configuration begin: a server, a registry of the world's first canary, the operator's
//! file, and an agent with it.
//!
//! Rule: the agent starts last, because the file may name the registry.

use std::path::Path;

use tempfile::TempDir;

use super::shelf::Shelf;
use super::world::{Setup, World};
use super::write;

/// A directory with the operator's file, which is no place of server or agent.
pub(super) struct Operator(TempDir);

impl Operator {
    pub(super) fn new(text: &str) -> Self {
        let operator = Self(tempfile::tempdir().unwrap());
        operator.write(text);
        operator
    }

    pub(super) fn write(&self, text: &str) {
        write(&self.0.path().join("operator.tfrc"), text);
    }

    pub(super) fn file(&self) -> String {
        self.0.path().join("operator.tfrc").display().to_string()
    }
}

/// What is not as usual.
pub(super) struct Beginning<'a> {
    /// Instead of the real tofu.
    pub(super) tofu: Option<&'a Path>,
    /// The registry; usually one that OpenTofu reaches by the broker.
    pub(super) registry: fn(&str) -> Option<Shelf>,
    /// The switches of its integration `demo`; `None`: there is none.
    pub(super) stored: Option<&'a [&'a str]>,
    /// More arguments of the agent.
    pub(super) agent: &'a [&'a str],
}

impl Default for Beginning<'_> {
    fn default() -> Self {
        Self { tofu: None, registry: Shelf::start_far, stored: Some(&["--export"]), agent: &[] }
    }
}

/// What there is then, as long as all of it is held: the agent reads the operator's file again for each run.
pub(super) struct Scene {
    pub(super) world: World,
    pub(super) shelf: Shelf,
    pub(super) operator: Operator,
}

impl Beginning<'_> {
    /// With the text of the operator's file. `None`, said aloud, where a part is missing.
    pub(super) fn begin(self, text: impl FnOnce(&Shelf) -> String) -> Option<Scene> {
        let mut world = World::with(Setup { tofu: self.tofu, without_agent: true, ..Setup::default() })?;
        let registry = (self.registry)(&world.canaries[0].password)?;
        if let Some(switches) = self.stored {
            registry.add(&world, "demo", switches).succeeded().unwrap();
        }
        let operator = Operator::new(&text(&registry));
        let file = operator.file();
        let flags = [&["--cli-config", &file], self.agent].concat();
        world.stack.start_agent(&flags).unwrap();
        Some(Scene { world, shelf: registry, operator })
    }
}
