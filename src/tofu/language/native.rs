//! HCL 2 in its native syntax, read by `hcl-edit`.
//!
//! Rule: only blocks at the top and inside of `terraform` are looked at; nothing is evaluated.

use hcl_edit::expr::Expression;
use hcl_edit::structure::{Block, Body};

use super::{Broken, Facts, ModuleCall, Source, StateBlock};

pub(super) fn facts(text: &str) -> Result<Facts, Broken> {
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
