//! HCL 2 in its native syntax, read by `hcl-edit`.
//!
//! Rules: only blocks at the top and inside of `terraform` are looked at; nothing is evaluated. The parser descends up
//! to 64 levels and takes more stack for it than a thread has by default (template directives, `"%{if "%{if …`): a
//! hostile file would end this process. So it gets a thread with a stack of its own.

use hcl_edit::expr::Expression;
use hcl_edit::structure::{Block, Body};

use super::{Broken, Facts, ModuleCall, Source, StateBlock};

/// Address space, not memory: only what is used becomes real.
const STACK: usize = 128 << 20;

pub(super) fn facts(text: &str) -> Result<Facts, Broken> {
    let gave_up = || Broken { line: 1, message: "the parser gave up".to_owned() };
    std::thread::scope(|scope| {
        let parser = std::thread::Builder::new().name("hcl".to_owned()).stack_size(STACK);
        let running = parser.spawn_scoped(scope, || parse(text)).map_err(|_| gave_up())?;
        running.join().unwrap_or_else(|_| Err(gave_up()))
    })
}

fn parse(text: &str) -> Result<Facts, Broken> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let body = hcl_edit::parser::parse_body(text)
        .map_err(|error| Broken { line: error.location().line(), message: error.message().to_owned() })?;
    let mut facts = Facts::default();
    for block in body.get_blocks("terraform") {
        facts.state_blocks.extend(block.body.blocks().filter_map(state_block));
    }
    facts.module_calls.extend(body.get_blocks("module").map(module_call));
    Ok(facts)
}

fn state_block(block: &Block) -> Option<StateBlock> {
    match block.ident.as_str() {
        "backend" => Some(StateBlock::Backend { kind: label(block), has_arguments: !block.body.is_empty() }),
        "cloud" => Some(StateBlock::Cloud),
        _ => None,
    }
}

fn module_call(block: &Block) -> ModuleCall {
    ModuleCall { name: label(block), source: source(&block.body) }
}

fn label(block: &Block) -> String {
    block.labels.first().map(|label| label.as_str().to_owned()).unwrap_or_default()
}

fn source(body: &Body) -> Option<Source> {
    let value = &body.get_attribute("source")?.value;
    Some(match value {
        Expression::String(text) => Source::Literal(text.as_str().to_owned()),
        other => Source::Expression(other.to_string().trim().to_owned()),
    })
}
