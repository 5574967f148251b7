//! `sql`: plain files `NUMBER_name.sql` of the client's folder, which travel with the plan and are applied by psql or mysql. Reads the
//! folder and says what is wrong with it; applies nothing.

use std::fs;
use std::path::Path;

use super::lint::{self, Dialect};
use super::{Kept, Shape, Tool};
use crate::action::{Carried, CarriedFile, Client, Digest, Late, Reading};
use crate::history::{self, File, own};

/// More than any migration needs, and together little enough for one submission.
const MOST_BYTES: u64 = 1 << 20;
const MOST_BYTES_TOGETHER: u64 = 2 << 20;
const MOST_FILES: usize = 2000;

/// Landfall's own way with plain SQL.
pub const SQL: Tool = Tool {
    name: "sql",
    status: &[],
    apply: &[],
    preview: None,
    failed: &[],
    pending: (&[], r""),
    up_to_date: (0, r""),
    names: (r"", r""),
    success: r"",
    failure: r"",
    kept: &[Kept {
        folders: &["migrations"],
        shape: Shape::Numbered,
        digest: Some(Digest::Sha256),
        table: own::TABLE,
        postgres: own::ROWS,
        mysql: own::mysql::ROWS,
        reading: Reading::Each,
        late: Late::Refuses,
        tolerates: &["edited", "missing"],
        done: "UPDATE landfall_migrations SET applied_at = now() WHERE name = '{name}'",
        undone: "DELETE FROM landfall_migrations WHERE name = '{name}', then run again",
        back: "",
        lock: None,
    }],
    hints: &[
        (
            r"ERROR:  .* (?:CONCURRENTLY )?cannot (?:run inside|be executed from) a transaction block",
            "put the statement into a file of its own, with a line `-- landfall: no-transaction`",
        ),
        (
            r"ERROR:  canceling statement due to lock timeout|ERROR 1205 ",
            "somebody else holds the table: apply it when less goes on, or say a longer `lock_timeout`",
        ),
        (
            r"ERROR:  permission denied for schema",
            "the login may not create tables there: GRANT CREATE ON SCHEMA public TO …, or say another `user` under [database]",
        ),
        (
            r"ERROR (?:1142|1227) ",
            "the login may not do this: GRANT it what the file needs, or say another `user` under [database]",
        ),
    ],
};

/// Something that is wrong with a folder of migrations, and what mends it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wrong {
    /// What, with file and line.
    pub message: String,
    /// The remedy.
    pub help: &'static str,
}

fn wrong(message: impl Into<String>, help: &'static str) -> Wrong {
    Wrong { message: message.into(), help }
}

const RENAME: &str =
    "name it NUMBER_name.sql, like 014_add_invoice_due_date.sql; what is no migration belongs into another folder";

/// The files of a folder that is named relative to the inventory's. Folders in it are not entered.
pub fn carried(root: &Path, folder: &str, client: Client) -> Result<Carried, Vec<Wrong>> {
    let path = root.join(folder);
    let unread = |what: &Path, error: &std::io::Error| {
        vec![wrong(
            format!("{} cannot be read: {error}", what.display()),
            "`migrations` is a folder beside landfall.toml: correct its name",
        )]
    };
    let mut names = Vec::new();
    for entry in fs::read_dir(&path).map_err(|error| unread(&path, &error))? {
        let entry = entry.map_err(|error| unread(&path, &error))?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let sql = Path::new(&name).extension().is_some_and(|extension| extension.eq_ignore_ascii_case("sql"));
        let kind = entry.file_type().map_err(|error| unread(&path, &error))?;
        if sql && !kind.is_dir() {
            names.push((name, kind.is_file()));
        }
    }
    names.sort();
    let mut told = Vec::new();
    if names.len() > MOST_FILES {
        let message = format!("{folder} holds {} files, and {MOST_FILES} is the most that travel", names.len());
        return Err(vec![wrong(message, TOO_MUCH)]);
    }
    let mut files = Vec::new();
    let mut size = 0;
    for (name, plain) in names {
        let shown = format!("{folder}/{name}");
        match file(&path.join(&name), &shown, &name, (plain, client), &mut told) {
            Some(file) => {
                size += file.text.len() as u64;
                files.push(file);
            }
            None => continue,
        }
        if size > MOST_BYTES_TOGETHER {
            let message = format!("the files of {folder} are larger than {} MiB together", MOST_BYTES_TOGETHER >> 20);
            return Err(vec![wrong(message, TOO_MUCH)]);
        }
    }
    let each: Vec<File> =
        files.iter().map(|file| File { path: file.name.clone(), bytes: file.text.clone().into_bytes() }).collect();
    let model = SQL.kept[0].model(Some(folder), None);
    if let Err(why) = history::known(&model, &each) {
        told.push(wrong(format!("{folder}: {why}"), "give the newer one the next free number"));
    }
    if told.is_empty() { Ok(Carried { folder: folder.to_owned(), client, files }) } else { Err(told) }
}

const TOO_MUCH: &str = "load data by a seed; put what is applied everywhere long ago into one file";

fn file(path: &Path, shown: &str, name: &str, (plain, client): (bool, Client), told: &mut Vec<Wrong>) -> Option<CarriedFile> {
    let mut say = |message: String, help| told.push(wrong(message, help));
    if lint::is_down(name) {
        say(format!("{shown} undoes a migration, and Landfall never does that"), "keep such files in another folder");
        return None;
    }
    if history::number(name).is_none() {
        say(format!("{shown} is not called NUMBER_name.sql"), RENAME);
        return None;
    }
    if !plain {
        say(format!("{shown} is no plain file"), "put the file itself there: what a link points to is not sent anywhere");
        return None;
    }
    let size = fs::metadata(path).map(|metadata| metadata.len());
    if size.as_ref().is_ok_and(|size| *size > MOST_BYTES) {
        say(format!("{shown} is larger than {} MiB", MOST_BYTES >> 20), TOO_MUCH);
        return None;
    }
    let bytes = match fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) => {
            say(format!("{shown} cannot be read: {error}"), "look at the rights of the file");
            return None;
        }
    };
    let Some(text) = String::from_utf8(bytes).ok().filter(|text| !text.contains('\0')) else {
        say(format!("{shown} is not UTF-8"), "write it as UTF-8, without NUL bytes");
        return None;
    };
    // MySQL ends a transaction at each change of the schema.
    let (dialect, transaction) = match client {
        Client::Psql => (Dialect::Postgres, lint::in_transaction(&text)),
        Client::Mysql => (Dialect::Mysql, false),
    };
    for (line, what) in lint::obstacles(&text, transaction, dialect) {
        let help = "take it out; a file that must not run in a transaction says so by a line `-- landfall: no-transaction`";
        say(format!("{shown}:{line}: {what}"), help);
    }
    Some(CarriedFile { name: name.to_owned(), text, transaction })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(files: &[(&str, &[u8])]) -> Result<Carried, String> {
        told_of(Client::Psql, files)
    }

    fn told_of(client: Client, files: &[(&str, &[u8])]) -> Result<Carried, String> {
        let temp = tempfile::tempdir().expect("folder");
        for (name, bytes) in files {
            fs::write(temp.path().join(name), bytes).expect("file");
        }
        let (root, name) =
            (temp.path().parent().expect("folder"), temp.path().file_name().expect("name").to_str().expect("name"));
        carried(root, name, client).map_err(|wrong| {
            let lines: Vec<String> = wrong.into_iter().map(|wrong| format!("{}\n  {}", wrong.message, wrong.help)).collect();
            lines.join("\n").replace(name, "DIR")
        })
    }

    #[test]
    fn files_are_taken_as_they_are() {
        let concurrently = b"-- landfall: no-transaction\nCREATE INDEX CONCURRENTLY i ON a (b);\n";
        let carried = told(&[("10_c.sql", concurrently), ("2_b.sql", b"SELECT 1;"), ("README.md", b"x")]).expect("files");
        let files: Vec<(&str, bool)> = carried.files.iter().map(|file| (file.name.as_str(), file.transaction)).collect();
        assert_eq!(files, [("10_c.sql", false), ("2_b.sql", true)]);
    }

    #[test]
    fn all_that_is_wrong_with_a_folder_is_told_at_once() {
        let files: [(&str, &[u8]); 7] = [
            ("001_a.sql", b"SELECT 1;"),
            ("1_again.sql", b"SELECT 1;"),
            ("2_down.down.sql", b"DROP TABLE a;"),
            ("3_latin.sql", b"SELECT '\xe9';"),
            ("4_psql.sql", b"SELECT 1;\n\\i other.sql\n"),
            ("5_commit.sql", b"BEGIN;\nSELECT 1;\nCOMMIT;\n"),
            ("users.sql", b"SELECT 1;"),
        ];
        insta::assert_snapshot!(told(&files).expect_err("wrong"), @r"
        DIR/2_down.down.sql undoes a migration, and Landfall never does that
          keep such files in another folder
        DIR/3_latin.sql is not UTF-8
          write it as UTF-8, without NUL bytes
        DIR/4_psql.sql:2: a command to the client: the file may hold SQL alone
          take it out; a file that must not run in a transaction says so by a line `-- landfall: no-transaction`
        DIR/5_commit.sql:1: begins or ends a transaction, and the file runs in one already
          take it out; a file that must not run in a transaction says so by a line `-- landfall: no-transaction`
        DIR/5_commit.sql:3: begins or ends a transaction, and the file runs in one already
          take it out; a file that must not run in a transaction says so by a line `-- landfall: no-transaction`
        DIR/users.sql is not called NUMBER_name.sql
          name it NUMBER_name.sql, like 014_add_invoice_due_date.sql; what is no migration belongs into another folder
        DIR: two files are the migration 1: 001_a.sql and 1_again.sql
          give the newer one the next free number
        ");
    }

    #[test]
    fn files_of_mysql_may_change_the_delimiter_but_not_leave_it_so() {
        let trigger = b"DELIMITER //\nCREATE TRIGGER t BEFORE INSERT ON a FOR EACH ROW BEGIN SET @x = 1; END//\n";
        let whole = [&trigger[..], b"delimiter ;\nSTART TRANSACTION;\nSELECT `a\"b`, 'it\\'s';\nCOMMIT;\n"].concat();
        let carried = told_of(Client::Mysql, &[("1_a.sql", &whole)]).expect("files");
        assert!(!carried.files[0].transaction);
        let files: [(&str, &[u8]); 3] = [("1_a.sql", trigger), ("2_b.sql", b"SELECT 1;\n\\! ls\n"), ("3_c.sql", b"SELECT 'x")];
        insta::assert_snapshot!(told_of(Client::Mysql, &files).expect_err("wrong"), @r"
        DIR/1_a.sql:1: a DELIMITER that is not set back to `;`
          take it out; a file that must not run in a transaction says so by a line `-- landfall: no-transaction`
        DIR/2_b.sql:2: a command to the client: the file may hold SQL alone
          take it out; a file that must not run in a transaction says so by a line `-- landfall: no-transaction`
        DIR/3_c.sql:1: a string, comment or COPY that never ends
          take it out; a file that must not run in a transaction says so by a line `-- landfall: no-transaction`
        ");
    }

    #[test]
    fn what_is_too_much_is_refused() {
        let large = vec![b' '; usize::try_from(MOST_BYTES).expect("size") + 1];
        let message = told(&[("1_a.sql", &large)]).expect_err("wrong");
        assert!(message.starts_with("DIR/1_a.sql is larger than 1 MiB"), "{message}");
        let half = &large[1..];
        let message = told(&[("1_a.sql", half), ("2_a.sql", half), ("3_a.sql", half)]).expect_err("wrong");
        assert!(message.starts_with("the files of DIR are larger than 2 MiB together"), "{message}");
        assert!(
            carried(Path::new("/nowhere"), "x", Client::Psql).expect_err("wrong")[0]
                .message
                .contains("/nowhere/x cannot be read")
        );
    }
}
