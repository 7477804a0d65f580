//! Agents, drained and taken back.

use std::time::Duration;

use super::runs::World;

#[test]
fn a_drained_agent_ends_and_is_taken_back() {
    let Some(mut world) = World::new() else { return };
    // A run that has ended shows that the agent has joined.
    world.ends(&["plan", "net", "--create"], 0);
    let name = world.stack.json(&["agent", "list", "--json"]).unwrap()[0]["name"].as_str().unwrap().to_owned();
    let said = world.ends(&["agent", "drain", &name], 0);
    assert!(said.err.contains(&format!("`nigari agent resume {name}`")), "{}", said.err);
    assert_eq!(world.stack.agent().unwrap().wait(Duration::from_secs(30)).unwrap().code(), Some(0));
    assert!(world.ends(&["agent", "list"], 0).out.contains(" drained "));
    assert_eq!(world.stack.json(&["agent", "list", "--json"]).unwrap()[0]["draining"], true);
    world.ends(&["agent", "resume", &name], 0);
    assert_eq!(world.stack.json(&["agent", "list", "--json"]).unwrap()[0]["draining"], false);
    world.stack.start_agent(&[]).unwrap();
    world.ends(&["plan", "net"], 0);
    world.ends(&["agent", "resume", "nobody"], 1);
    assert!(world.ends(&["agent", "pool", "list"], 0).out.contains("default"));
}
