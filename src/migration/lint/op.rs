//! What a statement does, as far as the rules ask: the same for every dialect, and free of its text.

use std::ops::Range;

use super::token::Name;

/// How much of a table a statement touches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Filter {
    /// No `WHERE`, or one that is always true.
    All,
    /// A `WHERE` that depends on the row.
    Some,
}

/// What is done.
#[derive(Debug, Clone)]
pub(super) enum Op {
    /// `DROP TABLE` and everything else that is dropped: what (in capitals) and which.
    Drop {
        what: String,
        names: Vec<Name>,
        concurrently: bool,
    },
    /// The tables, and whether those that point to them go along.
    Truncate {
        names: Vec<Name>,
        cascade: bool,
    },
    Delete {
        table: Name,
        filter: Filter,
    },
    Update {
        table: Name,
        filter: Filter,
    },
    /// A `MERGE` that deletes.
    MergeDelete(Name),
    CreateTable(Box<Table>),
    CreateIndex(Index),
    AlterTable {
        table: Name,
        actions: Vec<(Action, Range<usize>)>,
    },
    /// MySQL: each table and its new name.
    RenameTables(Vec<(Name, Name)>),
    /// Something other than a table or column gets another name.
    Rename {
        what: String,
        name: Name,
    },
    /// A value of an enum gets another name.
    RenameValue(Name),
    SetSchema {
        what: String,
        name: Name,
    },
    /// A constraint is added to a domain.
    DomainConstraint {
        name: Name,
        not_valid: bool,
    },
    Reindex {
        concurrently: bool,
    },
    Refresh {
        name: Name,
        concurrently: bool,
    },
    VacuumFull,
    Cluster,
    Lock,
    /// `OPTIMIZE TABLE` and the like.
    Rebuild(Name),
    Revoke,
    /// `ALTER SYSTEM`, `ALTER DATABASE`, `ALTER ROLE`.
    Server(String),
    /// A setting, in lower case, and its value.
    Set {
        name: String,
        value: String,
    },
    Begin,
    Commit,
    Rollback,
    /// SQL that is made when it runs, or that stands elsewhere.
    Dynamic(String),
    /// A command of the mysql client that runs something.
    Client,
    /// Calls a function that drops or changes things.
    Calls(String),
    /// Nothing that a rule asks for; `known` tells whether it was understood to its end.
    Other {
        known: bool,
    },
}

/// A table that is made.
#[expect(clippy::struct_excessive_bools, reason = "each is a word of the statement, and they go with each other freely")]
#[derive(Debug, Clone, Default)]
pub(super) struct Table {
    pub(super) name: Name,
    pub(super) columns: Vec<Column>,
    pub(super) constraints: Vec<(Constraint, Range<usize>)>,
    pub(super) temporary: bool,
    /// It may have been there before, or be gone soon: nobody can tell that it is new.
    pub(super) uncertain: bool,
    pub(super) or_replace: bool,
    /// Made of something else: a query, another table's columns, a partition.
    pub(super) derived: bool,
}

/// What is known of a column's values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Default {
    None,
    /// The same for every row.
    Constant,
    /// Computed for each row.
    Volatile,
}

/// A column as it is written.
#[expect(clippy::struct_excessive_bools, reason = "each is a word of the column, and they go with each other freely")]
#[derive(Debug, Clone)]
pub(super) struct Column {
    pub(super) name: Name,
    /// Its type in capitals, without what is in parentheses.
    pub(super) kind: String,
    /// What is in the parentheses of its type.
    pub(super) args: String,
    pub(super) not_null: bool,
    pub(super) default: Default,
    pub(super) stored: bool,
    pub(super) generated: bool,
    pub(super) identity: bool,
    pub(super) primary: bool,
    pub(super) unique: bool,
    pub(super) check: bool,
    pub(super) references: Option<Name>,
    /// Whether everything that is written of it was understood.
    pub(super) known: bool,
}

/// A constraint of a table.
#[derive(Debug, Clone)]
pub(super) struct Constraint {
    pub(super) name: Option<Name>,
    pub(super) kind: ConstraintKind,
    pub(super) columns: Vec<String>,
    pub(super) using_index: bool,
    pub(super) not_valid: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ConstraintKind {
    Primary,
    Unique,
    Foreign,
    Check,
    Exclude,
    NotNull,
    /// An index, in MySQL.
    Index,
}

/// An index that is made.
#[derive(Debug, Clone)]
pub(super) struct Index {
    pub(super) name: Option<Name>,
    pub(super) table: Name,
    pub(super) columns: Vec<String>,
    pub(super) unique: bool,
    pub(super) concurrently: bool,
    /// Only for some rows: it serves no foreign key.
    pub(super) partial: bool,
}

/// One part of an `ALTER TABLE`.
#[derive(Debug, Clone)]
pub(super) enum Action {
    AddColumn(Box<Column>),
    DropColumn(Name),
    /// The column, its type in capitals, what is in the type's parentheses.
    ChangeType {
        column: Name,
        kind: String,
        args: String,
    },
    /// MySQL: the column is written anew, perhaps with another name.
    Redefine {
        old: Name,
        column: Box<Column>,
    },
    SetNotNull(Name),
    DropNotNull(Name),
    SetDefault,
    DropDefault(Name),
    DropGenerated(Name),
    /// An identity is added to a column that is there.
    AddIdentity(Name),
    AddConstraint(Constraint),
    DropConstraint(Option<Name>),
    DropPrimary,
    DropIndex(Name),
    Validate(Name),
    RenameTable(Name),
    RenameColumn(Name),
    /// An index or a constraint gets another name.
    RenameOther,
    SetSchema,
    /// The whole table is written anew: by what.
    Rewrite(&'static str),
    Charset,
    /// `DISABLE TRIGGER`, `DISABLE RULE`, and the like.
    DisableTrigger,
    DisableSecurity,
    AttachPartition,
    /// The table becomes the child of another, and is dropped with it.
    Inherit,
    DetachPartition {
        concurrently: bool,
    },
    /// `DROP PARTITION` and what else loses a partition's rows.
    LosePartition,
    /// MySQL: `ALGORITHM=COPY`, `LOCK=SHARED` and `LOCK=EXCLUSIVE`.
    BlockingOption(String),
    /// Nothing that a rule asks for.
    Harmless,
    /// Not understood.
    Unknown,
}
