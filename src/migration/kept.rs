//! How a tool keeps its files and its history, as data that a tool's file spells out.

use crate::action::{Digest, HistoryTable, Late, Layout, LockTable, Model, Reading};

/// How a tool keeps its files and its history.
#[derive(Debug)]
pub struct Kept {
    /// Where its files usually are, in the image, relative to its working folder.
    pub folders: &'static [&'static str],
    /// How they are laid out.
    pub shape: Shape,
    /// What the history records of a file's content.
    pub digest: Option<Digest>,
    /// The table of the history.
    pub table: &'static str,
    /// What is selected from `{table}` in PostgreSQL: key, digest, state, when it began, what it said.
    pub postgres: &'static str,
    /// The same in MySQL and MariaDB.
    pub mysql: &'static str,
    /// How its rows are meant.
    pub reading: Reading,
    /// What becomes of a migration that is older than the newest applied one.
    pub late: Late,
    /// Which of [`crate::history::drift::RULES`] it goes on with, where files and history have parted so.
    pub tolerates: &'static [&'static str],
    /// How the tool is told that an unfinished one is done; of `{name}`, `{words}` (the name with a blank in it where its first dot is),
    /// `{key}` and `{sha256}`.
    pub done: &'static str,
    /// How it is told that nothing of it is left.
    pub undone: &'static str,
    /// Where in a file the part begins that takes it back, as a regular expression; empty: there is none.
    pub back: &'static str,
    /// Its own lock, where that is a row of a table.
    pub lock: Option<Lock>,
}

/// A tool's own lock: its table, what holds of the row while it is held, and what frees it.
#[derive(Debug)]
pub struct Lock {
    /// The table's name.
    pub table: &'static str,
    /// A condition in SQL.
    pub held: &'static str,
    /// The tool's own way to free it.
    pub free: &'static str,
}

/// How files are laid out; a pattern's group `key` is what the history calls one, `name` what people do, and what has a group `not` is none.
#[derive(Debug, Clone, Copy)]
pub enum Shape {
    /// One file a migration.
    Files(&'static str),
    /// The same; the key is made of its digits only.
    Digits(&'static str),
    /// `NUMBER_name.sql`.
    Numbered,
    /// By `meta/_journal.json`.
    Journal,
    /// Python files with `revision` and `down_revision`.
    Revisions,
    /// `APP/migrations/NAME.py`.
    Apps,
    /// `V1_2__name.sql`, `R__name.sql`, `B5__name.sql` and what is named like an event.
    Versions,
    /// `SPACE/NAME/` with `migration.json` and `ops.json`.
    Contracts,
}

impl Kept {
    /// As it travels.
    pub(crate) fn model(&self, folder: Option<&str>, history: Option<&str>) -> Model {
        let text = |text: &str| text.to_owned();
        let advice = |advice: &str| history.map_or_else(|| text(advice), |table| advice.replace(self.table, table));
        Model {
            folders: folder.map_or_else(|| self.folders.iter().map(|folder| text(folder)).collect(), |folder| vec![text(folder)]),
            layout: match self.shape {
                Shape::Files(pattern) => Layout::Files { pattern: text(pattern), digits: false },
                Shape::Digits(pattern) => Layout::Files { pattern: text(pattern), digits: true },
                Shape::Numbered => Layout::Numbered,
                Shape::Journal => Layout::Journal,
                Shape::Revisions => Layout::Revisions,
                Shape::Apps => Layout::Apps,
                Shape::Versions => Layout::Versions,
                Shape::Contracts => Layout::Contracts,
            },
            digest: self.digest,
            history: HistoryTable {
                table: text(history.unwrap_or(self.table)),
                postgres: text(self.postgres),
                mysql: text(self.mysql),
            },
            reading: self.reading,
            late: self.late,
            tolerates: self.tolerates.iter().map(|rule| text(rule)).collect(),
            done: advice(self.done),
            undone: advice(self.undone),
            back: (!self.back.is_empty()).then(|| text(self.back)),
            lock: self.lock.as_ref().map(|lock| LockTable {
                table: text(lock.table),
                held: text(lock.held),
                free: text(lock.free),
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use regex_lite::Regex;

    use crate::action::Layout;
    use crate::history::{self, File};
    use crate::migration::{BY_FILES, CARRIED, TOOLS, forbidden};

    #[test]
    fn another_table_is_named_in_what_settles_it_too() {
        let diesel = TOOLS.into_iter().chain(BY_FILES).find(|tool| tool.name == "diesel").expect("diesel");
        let model = diesel.kept[0].model(None, Some("kept.by_diesel"));
        assert_eq!(model.history.table, "kept.by_diesel");
        assert!(model.done.contains("INSERT INTO kept.by_diesel (version)"), "{}", model.done);
    }

    #[test]
    fn every_pattern_is_one_and_has_a_key() {
        for tool in TOOLS.into_iter().chain(BY_FILES).chain(CARRIED) {
            let lines = tool.failed.iter().chain(tool.hints).map(|(regex, _)| *regex);
            for regex in lines.chain([tool.pending.1, tool.up_to_date.1, tool.names.0, tool.names.1, tool.success, tool.failure])
            {
                assert!(Regex::new(regex).is_ok(), "{}: {regex}", tool.name);
            }
            for kept in tool.kept {
                assert!(Regex::new(kept.back).is_ok(), "{}: {}", tool.name, kept.back);
                if let Layout::Files { pattern, .. } = kept.model(None, None).layout {
                    let regex = Regex::new(&pattern).expect("regex");
                    assert!(regex.capture_names().flatten().any(|name| name == "key"), "{}", tool.name);
                }
                for query in [kept.postgres, kept.mysql] {
                    assert!(query.starts_with("SELECT ") && query.contains("FROM {table}"), "{}: {query}", tool.name);
                }
            }
        }
    }

    /// The names of those that a tool takes of some files.
    fn names(tool: &str, paths: &[&str]) -> String {
        let tool = TOOLS.iter().find(|known| known.name == tool).expect("tool");
        let files: Vec<File> = paths.iter().map(|path| File { path: (*path).to_owned(), bytes: Vec::new() }).collect();
        let known = history::known(&tool.kept[0].model(None, None), &files).expect("files");
        known.into_iter().map(|known| known.name).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn sqlx_knows_files_by_their_numbers() {
        let paths =
            ["0001_init.sql", "2_b.up.sql", "2_b.down.sql", "0003_v1.2.sql", "10_c.sql", "4_d/5_e.sql", "6.sql", "0_z.sql"];
        assert_eq!(names("sqlx", &paths), "0 1 2 3 10");
    }

    #[test]
    fn rails_finds_files_below_its_folder_and_knows_them_by_their_numbers() {
        let paths = [
            "20260105090000_voters.rb",
            "001_old.rb",
            "sub/0002_older.rb",
            "a/b/3_c.rb",
            "20260302000000_create_x.active_storage.rb",
            ".4_d/5_e.rb",
            "0_z.rb",
            "6_f.rb.orig",
            "g.rb",
        ];
        assert_eq!(names("rails", &paths), "0 1 2 3 20260105090000 20260302000000");
    }

    #[test]
    fn knex_does_not_migrate_by_declarations() {
        let paths = ["1_a.js", "1_a.d.ts", "2_b.ts", "2_b.js.map", "3_c.d.mts", "4_d.cjs"];
        assert_eq!(names("knex", &paths), "1_a.js 2_b.ts 4_d.cjs");
    }

    #[test]
    fn what_is_advised_and_refused_as_a_step_is_for_a_persons_hand() {
        for kept in TOOLS.into_iter().chain(BY_FILES).chain(CARRIED).flat_map(|tool| tool.kept) {
            for advice in [kept.done, kept.undone] {
                let refused = forbidden::find(&[advice.replace("{name}", "1")]);
                assert!(refused.is_none() || advice.starts_with("by hand, in the container"), "{advice}");
            }
        }
    }

    #[test]
    fn what_takes_a_migration_back_is_told_from_what_makes_it() {
        for (tool, up, down) in [
            ("dbmate", "-- migrate:up\nCREATE TABLE a (id int);\n", "-- migrate:down\nDROP TABLE a;\n"),
            ("knex", "exports.up = (knex) => knex.raw('x');\nexports.", "down = (knex) => knex.raw('y');\n"),
            ("knex", "export async function up(knex) {}\nexport async function ", "down(knex) {}\n"),
            ("rails", "  def up\n    execute 'x'\n  end\n\n  ", "def down\n    execute 'y'\n  end\n"),
            ("rails", "  def self.up\n    execute 'x'\n  end\n\n  ", "def self.down\n    execute 'y'\n  end\n"),
            ("alembic", "def upgrade() -> None:\n    op.execute('x')\n\n\n", "def downgrade() -> None:\n    op.execute('y')\n"),
        ] {
            let known = TOOLS.iter().find(|known| known.name == tool).expect("tool");
            let back = Regex::new(known.kept[0].back).expect("regex");
            let text = format!("{up}{down}");
            assert_eq!(back.find(&text).map(|found| &text[found.start()..]), Some(down), "{tool}");
        }
    }
}
