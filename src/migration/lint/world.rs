//! What is known of the database while the statements of a set of files go by: what they made themselves, and whether a transaction
//! is open. Only what certainly is so counts: a table that may have been there before is not new.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use super::Dialect;
use super::body::{Deed, Within};
use super::op::{Action, Column, Constraint, ConstraintKind, Op};
use super::token::Name;

/// What the statements before have done.
#[derive(Debug, Default)]
pub(super) struct World {
    new: BTreeSet<String>,
    /// Made by `IF NOT EXISTS`, or gone with the transaction: as good as new to who asks how long something takes, and not to who asks
    /// what is lost.
    likely: BTreeSet<String>,
    /// Something may exchange tables, or skip statements, unseen: nothing counts as new any more.
    distrust: bool,
    temporary: BTreeSet<String>,
    /// Whether a transaction is open, as far as the file tells.
    pub(super) in_transaction: bool,
    /// Constraints that were added without checking the rows, in the transaction that is open.
    pub(super) unchecked: BTreeSet<String>,
    /// Tables whose schema was changed in the transaction that is open.
    pub(super) altered: BTreeSet<String>,
    /// The leading columns of what has an index, by table.
    indexes: BTreeMap<String, Vec<Vec<String>>>,
    /// Foreign keys: table, columns, place.
    pub(super) foreign_keys: Vec<(Name, Vec<String>, Range<usize>)>,
    /// New tables without a primary key.
    pub(super) keyless: Vec<(Name, Range<usize>)>,
    /// Whether a time limit for locks was set.
    pub(super) limited: bool,
    /// The first statement that waits for a lock without a limit.
    pub(super) waits: Option<Range<usize>>,
}

impl World {
    /// What is known at the beginning of another file of the same set.
    pub(super) fn next_file(&mut self, in_transaction: bool) {
        self.in_transaction = in_transaction;
        self.unchecked.clear();
        self.altered.clear();
        self.foreign_keys.clear();
        self.keyless.clear();
        self.limited = false;
        self.waits = None;
    }

    /// Whether nothing can be in a table yet, and nobody uses it.
    pub(super) fn is_new(&self, table: &Name) -> bool {
        match table.parts.as_slice() {
            _ if self.distrust => false,
            [] => false,
            [only] => self.temporary.contains(only) || self.new.contains(&table.key()),
            [schema, only] if schema.starts_with("pg_temp") => self.temporary.contains(only),
            _ => self.new.contains(&table.key()),
        }
    }

    /// Whether a table is new, or would be, were it not there already.
    pub(super) fn is_likely_new(&self, table: &Name) -> bool {
        self.is_new(table) || (!self.distrust && self.likely.contains(&table.key()))
    }

    /// Whether an index begins with these columns, in any order.
    pub(super) fn has_index(&self, table: &Name, columns: &[String]) -> bool {
        let wanted: BTreeSet<&String> = columns.iter().collect();
        let serves = |index: &Vec<String>| {
            index.len() >= columns.len() && index.iter().take(columns.len()).collect::<BTreeSet<_>>() == wanted
        };
        self.indexes.get(&table.key()).is_some_and(|all| all.iter().any(serves))
    }

    /// Takes note of a statement, after the rules have seen it.
    pub(super) fn apply(&mut self, deed: &Deed, dialect: Dialect) {
        self.locks(deed, dialect);
        match &deed.op {
            Op::Begin => self.transaction(true),
            Op::Commit => self.transaction(false),
            Op::Rollback => {
                self.transaction(false);
                self.forget();
            }
            Op::Set { name, value } => self.setting(name, value),
            Op::Dynamic(_) | Op::Calls(_) => self.distrust(),
            Op::RenameTables(_) | Op::SetSchema { .. } if deed.within != Within::Statement => self.distrust(),
            Op::AlterTable { actions, .. } if deed.within != Within::Statement => {
                let moves = |(action, _): &(Action, Range<usize>)| {
                    matches!(action, Action::RenameTable(_) | Action::SetSchema | Action::AttachPartition | Action::Inherit)
                };
                if actions.iter().any(moves) {
                    self.distrust();
                }
            }
            // What runs only under a condition, or fails unseen, makes nothing certain.
            _ if deed.within != Within::Statement => {}
            Op::CreateTable(table) => {
                if table.uncertain && !table.or_replace {
                    self.likely.insert(table.name.key());
                }
                if table.temporary {
                    if !table.uncertain {
                        self.temporary.insert(table.name.last().to_owned());
                    }
                    return;
                }
                if !table.uncertain && !table.or_replace {
                    self.new.insert(table.name.key());
                }
                for (constraint, span) in &table.constraints {
                    self.constraint(&table.name, constraint, span);
                }
                for column in &table.columns {
                    self.column(&table.name, column);
                }
                let primary = |(constraint, _): &(Constraint, Range<usize>)| constraint.kind == ConstraintKind::Primary;
                let keyed = table.columns.iter().any(|column| column.primary) || table.constraints.iter().any(primary);
                if !keyed && !table.derived {
                    self.keyless.push((table.name.clone(), table.name.span.clone()));
                }
            }
            Op::CreateIndex(index) if !index.partial => {
                self.indexes.entry(index.table.key()).or_default().push(index.columns.clone());
            }
            Op::RenameTables(pairs) => {
                for (from, to) in pairs {
                    self.rename(from, to);
                }
            }
            Op::Drop { names, .. } => {
                for name in names {
                    self.likely.remove(&name.key());
                    if !self.temporary.remove(name.last()) {
                        self.new.remove(&name.key());
                    }
                }
            }
            Op::AlterTable { table, actions } => {
                for (action, span) in actions {
                    self.action(table, action, span);
                }
                if !self.is_new(table) {
                    self.altered.insert(table.key());
                }
            }
            _ => {}
        }
    }

    fn action(&mut self, table: &Name, action: &Action, span: &Range<usize>) {
        match action {
            Action::AddColumn(column) => self.column(table, column),
            Action::AddConstraint(constraint) => self.constraint(table, constraint, span),
            Action::RenameTable(to) => {
                let mut to = to.clone();
                if let ([schema, _], [name]) = (table.parts.as_slice(), to.parts.as_slice()) {
                    to.parts = vec![schema.clone(), name.clone()];
                }
                self.rename(table, &to);
            }
            // What it is dropped with may be an old table.
            Action::SetSchema | Action::AttachPartition => {
                self.new.remove(&table.key());
            }
            Action::Inherit => self.forget(),
            _ => {}
        }
    }

    fn constraint(&mut self, table: &Name, constraint: &Constraint, span: &Range<usize>) {
        match constraint.kind {
            ConstraintKind::Foreign => self.foreign_keys.push((table.clone(), constraint.columns.clone(), span.clone())),
            ConstraintKind::Primary => {
                self.keyless.retain(|(name, _)| name.key() != table.key());
                self.indexes.entry(table.key()).or_default().push(constraint.columns.clone());
            }
            ConstraintKind::Unique | ConstraintKind::Index => {
                self.indexes.entry(table.key()).or_default().push(constraint.columns.clone());
            }
            _ => {}
        }
        if let Some(name) = constraint.name.as_ref().filter(|_| constraint.not_valid) {
            self.unchecked.insert(format!("{}.{}", table.key(), name.last()));
        }
    }

    fn column(&mut self, table: &Name, column: &Column) {
        let own = vec![column.name.last().to_lowercase()];
        if column.primary || column.unique {
            self.indexes.entry(table.key()).or_default().push(own.clone());
        }
        if column.primary {
            self.keyless.retain(|(name, _)| name.key() != table.key());
        }
        if column.references.is_some() {
            self.foreign_keys.push((table.clone(), own, column.name.span.clone()));
        }
    }

    fn rename(&mut self, from: &Name, to: &Name) {
        if let Some(indexes) = self.indexes.remove(&from.key()) {
            self.indexes.insert(to.key(), indexes);
        }
        self.likely.remove(&to.key());
        if self.likely.remove(&from.key()) {
            self.likely.insert(to.key());
        }
        let was_temporary = from.parts.len() == 1 && self.temporary.remove(from.last());
        if was_temporary {
            self.temporary.insert(to.last().to_owned());
        } else if self.new.remove(&from.key()) {
            self.new.insert(to.key());
        } else {
            self.new.remove(&to.key());
        }
    }

    fn setting(&mut self, name: &str, value: &str) {
        if matches!(name, "lock_timeout" | "statement_timeout" | "innodb_lock_wait_timeout" | "lock_wait_timeout") {
            self.limited = !matches!(value.trim_matches('\''), "0" | "default" | "");
        }
        let elsewhere =
            ["search_path", "schema", "role", "use", "reset", "discard", "set_config", "session_authorization", "authorization"];
        if elsewhere.contains(&name) || name.contains("search_path") {
            self.forget();
        }
    }

    /// From here on nothing counts as new.
    pub(super) fn distrust(&mut self) {
        self.distrust = true;
    }

    /// From here names may mean other tables.
    fn forget(&mut self) {
        self.new.clear();
        self.likely.clear();
        self.temporary.clear();
    }

    fn transaction(&mut self, open: bool) {
        self.in_transaction = open;
        // Temporary tables may go with their transaction.
        self.temporary.clear();
        self.likely.clear();
        self.unchecked.clear();
        self.altered.clear();
    }

    fn locks(&mut self, deed: &Deed, dialect: Dialect) {
        if self.limited || self.waits.is_some() || dialect == Dialect::Mysql || deed.within == Within::Routine {
            return;
        }
        let waits = match &deed.op {
            Op::AlterTable { table, .. } => !self.is_new(table),
            Op::CreateIndex(index) => !index.concurrently && !self.is_likely_new(&index.table),
            Op::Drop { what, names, .. } => {
                matches!(what.as_str(), "TABLE" | "INDEX" | "VIEW" | "TRIGGER" | "POLICY")
                    && !names.iter().all(|name| self.is_new(name))
            }
            Op::Truncate { .. } | Op::Lock | Op::Cluster | Op::VacuumFull => true,
            _ => false,
        };
        if waits {
            self.waits = Some(deed.span.clone());
        }
    }
}
