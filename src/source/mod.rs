//! TOML text with places: the tree of a file, typed reading from its tables, `{{ vars.x }}`, and the full list of what is wrong.
//! Knows no playbook, no inventory and no step kind.

pub mod diag;
mod literal;
mod reader;
mod scope;
mod suggest;
mod tree;

pub use diag::{Diag, Diags, Place, Placed, Sink};
pub use literal::{looks_secret, refuse_literals};
pub use reader::{REGEX_HELP, Reader};
pub use scope::{Scope, is_var_name, mentions_var};
pub use suggest::nearest;
pub use tree::{Entry, Node, Table, parse};
