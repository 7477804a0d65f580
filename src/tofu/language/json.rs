//! HCL 2 in its JSON syntax.
//!
//! Rules as in tofu's own parser: a block is an object, or a list of them; each label is one more level of objects; a
//! member may stand twice, and both count; `"//"` is a comment; `null` is nothing.

use std::fmt;

use serde::de::{MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

use super::{Broken, Facts, ModuleCall, Source, StateBlock};

/// A member's name that makes it a comment.
const COMMENT: &str = "//";

pub(super) fn facts(text: &str) -> Result<Facts, Broken> {
    let document: Json = serde_json::from_str(text).map_err(|error| Broken {
        line: error.line(),
        message: if error.is_eof() { "the JSON is cut off" } else { "this is not the JSON that is expected here" }
            .to_owned(),
    })?;
    let mut bodies = Vec::new();
    collect_bodies(&document, &mut bodies)?;
    let mut facts = Facts::default();
    for (name, value) in bodies.into_iter().flatten() {
        match name.as_str() {
            "terraform" => state_blocks(value, &mut facts.state_blocks)?,
            "module" => module_calls(value, &mut facts.module_calls)?,
            _ => {}
        }
    }
    Ok(facts)
}

fn state_blocks(terraform: &Json, found: &mut Vec<StateBlock>) -> Result<(), Broken> {
    for (name, value) in members(terraform)? {
        match name.as_str() {
            "backend" => {
                for (kind, body) in members(value)? {
                    for body in bodies(body)? {
                        let has_arguments = body.iter().any(|(name, _)| name != COMMENT);
                        found.push(StateBlock::Backend { kind: kind.clone(), has_arguments });
                    }
                }
            }
            "cloud" => found.extend(bodies(value)?.iter().map(|_| StateBlock::Cloud)),
            _ => {}
        }
    }
    Ok(())
}

fn module_calls(module: &Json, found: &mut Vec<ModuleCall>) -> Result<(), Broken> {
    for (name, value) in members(module)? {
        for body in bodies(value)? {
            let source = body.iter().find(|(name, _)| name == "source").map(|(_, value)| source(value));
            found.push(ModuleCall { name: name.clone(), source });
        }
    }
    Ok(())
}

/// A string in JSON is a template: with a marker in it, tofu must evaluate it.
fn source(value: &Json) -> Source {
    match value {
        Json::Text(text) if !text.contains("${") && !text.contains("%{") => Source::Literal(text.clone()),
        Json::Text(text) => Source::Expression(text.clone()),
        _ => Source::Expression("(not a string)".to_owned()),
    }
}

/// All members of a block's objects, in order.
fn members(value: &Json) -> Result<Vec<&(String, Json)>, Broken> {
    Ok(bodies(value)?.into_iter().flatten().collect())
}

fn bodies(value: &Json) -> Result<Vec<&Vec<(String, Json)>>, Broken> {
    let mut found = Vec::new();
    collect_bodies(value, &mut found)?;
    Ok(found)
}

fn collect_bodies<'a>(value: &'a Json, found: &mut Vec<&'a Vec<(String, Json)>>) -> Result<(), Broken> {
    match value {
        Json::Null => Ok(()),
        Json::Object(members) => {
            found.push(members);
            Ok(())
        }
        Json::List(values) => values.iter().try_for_each(|value| collect_bodies(value, found)),
        Json::Text(_) | Json::Other => {
            Err(Broken { line: 1, message: "a block must be an object or a list of objects".to_owned() })
        }
    }
}

/// JSON that keeps doubled members and their order.
enum Json {
    Null,
    Object(Vec<(String, Json)>),
    List(Vec<Json>),
    Text(String),
    Other,
}

impl<'de> Deserialize<'de> for Json {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Reader)
    }
}

struct Reader;

impl<'de> Visitor<'de> for Reader {
    type Value = Json;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Json, E> {
        Ok(Json::Null)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Json, E> {
        Ok(Json::Other)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Json, E> {
        Ok(Json::Other)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Json, E> {
        Ok(Json::Other)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Json, E> {
        Ok(Json::Other)
    }

    fn visit_str<E>(self, text: &str) -> Result<Json, E> {
        Ok(Json::Text(text.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Json, A::Error> {
        let mut values = Vec::new();
        while let Some(value) = list.next_element()? {
            values.push(value);
        }
        Ok(Json::List(values))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<Json, A::Error> {
        let mut members = Vec::new();
        while let Some(member) = object.next_entry()? {
            members.push(member);
        }
        Ok(Json::Object(members))
    }
}
