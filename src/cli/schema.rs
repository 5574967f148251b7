//! `landfall schema`: the JSON Schema of playbooks and inventory, for editors and other programs.

use super::args::{SchemaArgs, SchemaOf};
use super::{Context, Failure, exit};
use crate::playbook::{inventory_schema, playbook_schema};

pub(super) fn run(_context: &Context, args: &SchemaArgs) -> Result<u8, Failure> {
    super::print(format!("{:#}\n", schema(args.of)).as_bytes())?;
    Ok(exit::DONE)
}

fn schema(of: Option<SchemaOf>) -> serde_json::Value {
    match of {
        Some(SchemaOf::Playbook) => playbook_schema(),
        Some(SchemaOf::Inventory) => inventory_schema(),
        None => serde_json::json!({ "playbook": playbook_schema(), "inventory": inventory_schema() }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_or_both() {
        let both = schema(None);
        assert_eq!(both["playbook"], schema(Some(SchemaOf::Playbook)));
        assert_eq!(both["inventory"], schema(Some(SchemaOf::Inventory)));
        assert!(both["inventory"]["properties"]["hosts"].is_object(), "{}", both["inventory"]);
    }
}
