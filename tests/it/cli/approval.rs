//! The question whether to apply, and the questions before something is removed, at a terminal.

use super::runs::{World, at};
use super::terminal::Terminal;

const QUESTION: &str = "Only `yes` applies it, `no` discards it: ";

#[test]
fn at_a_terminal_yes_applies_and_no_discards() {
    let Some(world) = World::new() else { return };
    let Some(mut terminal) = Terminal::start(&at(&world, &["apply", "net"])) else { return };
    terminal.wait_for("There is no workspace `net`. Make it?");
    terminal.press("yes\n");
    terminal.wait_for(QUESTION);
    terminal.press("yes\n");
    let (code, seen) = terminal.end();
    assert_eq!(code, 0, "{seen}");
    assert!(seen.contains("Apply complete!") && seen.contains("\u{1b}["), "{seen}");
    world.write("other");
    let mut no_colour = at(&world, &["apply", "net"]);
    no_colour.env("NO_COLOR", "1");
    let mut terminal = Terminal::start(&no_colour).unwrap();
    terminal.wait_for(QUESTION);
    terminal.press("no\n");
    let (code, seen) = terminal.end();
    assert_eq!(code, 3, "{seen}");
    assert!(seen.contains("is discarded") && !seen.contains("\u{1b}["), "{seen:?}");
    assert_eq!(world.newest().1, "discarded");
}

#[test]
fn an_answer_that_is_neither_is_asked_again_and_leaves_the_plan_waiting() {
    let Some(world) = World::new() else { return };
    let Some(mut terminal) = Terminal::start(&at(&world, &["apply", "net", "--create"])) else { return };
    for (answer, times) in [("y\n", 1), ("\n", 2), ("Yes!\n", 3)] {
        terminal.wait_for_times(QUESTION, times);
        terminal.press(answer);
    }
    let (code, seen) = terminal.end();
    assert_eq!(code, 4, "{seen}");
    let (id, state) = world.newest();
    assert_eq!(state, "awaiting_approval");
    assert!(seen.contains(&format!("nigari run approve --follow {id}")), "{seen}");
    assert!(seen.contains(&format!("nigari run discard {id}")), "{seen}");
}

#[test]
fn an_interrupt_leaves_the_plan_waiting_and_says_how_to_go_on() {
    let Some(world) = World::new() else { return };
    let Some(mut terminal) = Terminal::start(&at(&world, &["apply", "net", "--create"])) else { return };
    terminal.wait_for(QUESTION);
    terminal.press("\u{3}");
    let (code, seen) = terminal.end();
    assert_eq!(code, 4, "{seen}");
    let (id, state) = world.newest();
    assert_eq!(state, "awaiting_approval");
    for words in [format!("nigari run approve --follow {id}"), format!("nigari run discard {id}")] {
        assert!(seen.contains(&words), "{seen}");
    }
}

#[test]
fn destroy_asks_for_what_it_does() {
    let Some(world) = World::new() else { return };
    world.ends(&["apply", "net", "--create", "--auto-approve"], 0);
    let Some(mut terminal) = Terminal::start(&at(&world, &["destroy", "net"])) else { return };
    terminal.wait_for("Destroy everything that the state of `net` knows?");
    terminal.press("yes\n");
    let (code, seen) = terminal.end();
    assert_eq!(code, 0, "{seen}");
    assert!(seen.contains("1 destroyed"), "{seen}");
}

#[test]
fn a_removal_is_asked_for_at_a_terminal_and_no_answer_is_not_no() {
    let Some(world) = World::new() else { return };
    let secret = super::file(&world.directory.path().join("secret"), "hunter2hunter2", 0o600);
    let url = ["--url", "https://hub.localhost:1", "--username", "u", "--secret-file", &secret, "--no-export"];
    world.ends(&[&["registry", "add", "hub"][..], &url].concat(), 0);
    let remove = at(&world, &["registry", "remove", "hub"]);
    let Some(mut terminal) = Terminal::start(&remove) else { return };
    for times in 1..=3 {
        terminal.wait_for_times("Remove it? [yes/no] ", times);
        terminal.press("what\n");
    }
    let (code, seen) = terminal.end();
    assert_eq!(code, 1, "{seen}");
    assert!(seen.contains("was not answered"), "{seen}");
    let mut terminal = Terminal::start(&remove).unwrap();
    terminal.wait_for("Remove it? [yes/no] ");
    terminal.press("yes\n");
    assert_eq!(terminal.end().0, 0);
    world.ends(&["registry", "show", "hub"], 1);
}
