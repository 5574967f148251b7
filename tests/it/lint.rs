//! `landfall lint`: which files it finds, what it shows, how it ends, and approvals with what git says of them. Needs no droplet.

use std::process::Command;

use crate::project::Project;

fn git(project: &Project, args: &[&str]) {
    let who = ["-c", "user.name=ana", "-c", "user.email=ana@example.com", "-c", "commit.gpgsign=false"];
    let mut command = Command::new("git");
    command.current_dir(project.path(".")).env("HOME", project.path("home")).args(who).args(args);
    let output = command.output().expect("git");
    assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
}

fn findings(project: &Project, args: &[&str]) -> Vec<(String, String)> {
    let output = project.events(&[&["lint"], args].concat());
    let found = output.of_type("finding");
    found.iter().map(|value| (value["file"].as_str().unwrap().to_owned(), value["rule"].as_str().unwrap().to_owned())).collect()
}

#[test]
fn the_files_of_well_known_layouts_are_found_each_in_its_own_dialect() {
    let project = Project::empty();
    project.write("apps/api/prisma/migrations/migration_lock.toml", "provider = \"mysql\"\n");
    project.write("apps/api/prisma/migrations/20260101000000_a/migration.sql", "ALTER TABLE `a` MODIFY `b` TEXT;");
    project.write("drizzle/meta/_journal.json", "{\n  \"dialect\": \"postgresql\",\n  \"entries\": []\n}");
    project
        .write("drizzle/0000_a.sql", "CREATE TABLE \"a\" (\"id\" serial PRIMARY KEY);\n--> statement-breakpoint\nDROP TABLE b;");
    project.write("migrations/2026-01-01-000000_a/up.sql", "TRUNCATE a;");
    project.write("migrations/2026-01-01-000000_a/down.sql", "DROP TABLE a;");
    project.write("node_modules/x/migrations/001_a.sql", "DROP TABLE a;");
    let found = findings(&project, &[]);
    let holds = |file: &str, rule: &str| assert!(found.iter().any(|(a, b)| a == file && b == rule), "{file} {rule}: {found:?}");
    holds("apps/api/prisma/migrations/20260101000000_a/migration.sql", "change-column-type");
    holds("drizzle/0000_a.sql", "drop-table");
    holds("migrations/2026-01-01-000000_a/up.sql", "truncate");
    assert!(!found.iter().any(|(file, _)| file.contains("down.sql") || file.contains("node_modules")), "{found:?}");
    project.landfall(&["lint"]).expect(7, &["drop-table", "1 file read as PostgreSQL, for nothing says otherwise"]);
}

#[test]
fn the_operations_of_prisma_8_are_sql_too() {
    let project = Project::empty();
    let file = "migrations/app/20260318T1420_third/ops.json";
    let operations = include_str!("../../src/history/samples/third.ops.json");
    project.write(file, operations);
    project.write("migrations/snapshots/abc/contract.json", "{}");
    project.landfall(&["lint"]).expect(7, &["error[drop-column]", &format!("{file}:29:1"), "DROP COLUMN \"name\"", "1 file:"]);
    let approve = ["lint", "--write-approval", "drop-column@ops.json", "--by", "Ana", "--reason", "nobody reads it"];
    project.landfall(&approve).expect(0, &[]);
    project.landfall(&["lint"]).expect(0, &["approved drop-column", "by Ana"]);
    // The same SQL, and another file.
    project.write(file, &operations.replacen("\"label\": \"", "\"label\": \"Do: ", 1));
    project.landfall(&["lint"]).expect(7, &["error[drop-column]", "stale"]);
    project.write(file, "[{\"id\": \"x\", \"command\": \"drop\"}]");
    project.landfall(&["lint"]).expect(7, &["error[unparsed]"]);
}

#[test]
fn a_path_that_names_a_server_says_whose_sql_it_is() {
    let project = Project::empty();
    project.write("migrations/mysql/2026-01-01-000000_a/up.sql", "ALTER TABLE `a` DROP COLUMN `b`;");
    project.write("db/1_a.mariadb.up.sql", "ALTER TABLE `a` MODIFY `b` TEXT;");
    project.write("db/1_a.postgres.up.sql", "ALTER TABLE \"a\" DROP COLUMN \"b\";");
    project.write("db/2_mysql.up.sql", "SELECT 1;");
    let found = findings(&project, &["."]);
    assert!(found.iter().all(|(_, rule)| rule != "unparsed"), "{found:?}");
    project.landfall(&["lint", "."]).expect(7, &["1 file read as PostgreSQL, for nothing says otherwise"]);
}

#[test]
fn how_it_ends() {
    let project = Project::empty();
    project.landfall(&["lint"]).expect(2, &["no migrations were found", "landfall lint db/migrations"]);
    project.write("a.sql", "SELECT 1;\n");
    project.landfall(&["lint", "a.sql"]).expect(0, &["1 file: 0 errors, 0 warnings, 0 approved"]);
    project.write("a.sql", "SET lock_timeout = '5s';\nALTER TABLE a ALTER b DROP DEFAULT;\n");
    project.landfall(&["lint", "a.sql"]).expect(0, &["warning[drop-default]", "a.sql:2:15", "1 warning"]);
    project.landfall(&["lint", "a.sql", "--strict"]).expect(7, &[]);
    project.landfall(&["lint", "a.sql", "--format", "junit"]).expect(0, &["<testsuite name=\"a.sql\"", "failures=\"0\""]);
    project.landfall(&["lint", "a.sql", "--format", "github", "--strict"]).expect(7, &["::warning file=a.sql,line=2,col=15,"]);
    project.write("a.sql", "drop table users; -- \u{1b}[2J\n");
    let output = project.landfall(&["lint", "a.sql"]);
    output.expect(7, &["error[drop-table]", "drops the table `users`", "note: the rows are gone", "help: stop using the table"]);
    assert!(!output.stdout.contains('\u{1b}'), "{}", output.said());
    project
        .landfall(&["lint", "a.sql", "--approve", "drop-table@a.sql"])
        .expect(0, &["approved drop-table a.sql:1 on the command line"]);
    project.landfall(&["lint", "a.sql", "--approve", "truncate@a.sql"]).expect(7, &["--approve truncate@a.sql fits nothing"]);
    project.landfall(&["lint", "a.sql", "--approve", "drop-tabel@a.sql"]).expect(2, &["did you mean `drop-table`?"]);
    project.landfall(&["lint", "b.sql"]).expect(2, &["b.sql cannot be read"]);
    std::fs::write(project.path("c.sql"), b"DROP TABLE a; -- \xff").unwrap();
    project.landfall(&["lint", "c.sql"]).expect(7, &["drop-table", "unparsed", "no UTF-8"]);
    let wide: Vec<u8> = "\u{feff}DROP TABLE a;\n".encode_utf16().flat_map(u16::to_le_bytes).collect();
    std::fs::write(project.path("d.sql"), wide).unwrap();
    project.landfall(&["lint", "d.sql"]).expect(7, &["drop-table", "unparsed", "no UTF-8"]);
    project.landfall(&["lint", "--rules"]).expect(0, &["drop-table (error)", "convert-charset (error, MySQL)"]);
}

#[test]
fn plain_files_are_called_by_number_and_say_when_and_why() {
    let project = Project::empty();
    project.write("migrations/001_users.sql", "-- 2026-01-02: adds the users\nCREATE TABLE users (id bigint PRIMARY KEY);\n");
    project.write("migrations/1_more.sql", "CREATE TABLE more (id bigint PRIMARY KEY);\n");
    let rules: Vec<(String, String)> = findings(&project, &[]);
    let wanted = [("migrations/1_more.sql", "file-header"), ("migrations/1_more.sql", "file-number-twice")];
    for (file, rule) in wanted {
        assert!(rules.contains(&(file.to_owned(), rule.to_owned())), "{rules:?}");
    }
    assert_eq!(rules.len(), 2, "{rules:?}");
}

#[test]
fn an_approval_holds_until_the_file_changes_and_git_tells_when_it_came() {
    let project = Project::empty();
    project.write(".gitignore", "home\nstate\n");
    project.write("migrations/001_a.sql", "-- 2026-01-02: removes old users\nDROP TABLE old_users;\n");
    git(&project, &["init", "-q"]);
    git(&project, &["add", "."]);
    git(&project, &["commit", "-q", "-m", "a migration"]);
    let approve = ["lint", "--write-approval", "drop-table@migrations/001_a.sql"];
    project.landfall(&approve).expect(2, &["--by", "--reason"]);
    project.write("landfall-approvals.toml", "# ours");
    let all = [&approve[..], &["--by", "Ana", "--reason", "nobody reads them \"any\" more"]].concat();
    project.landfall(&all).expect(0, &["wrote one entry"]);
    project.landfall(&all).expect(0, &["approved already"]);
    let text = std::fs::read_to_string(project.path("landfall-approvals.toml")).unwrap();
    assert!(text.starts_with("# ours\n\n[[approval]]\nfile = \"migrations/001_a.sql\"\n"), "{text}");
    project
        .landfall(&["lint"])
        .expect(0, &["approved drop-table migrations/001_a.sql:2 by Ana: nobody reads them \"any\" more (not committed yet)"]);
    git(&project, &["add", "."]);
    git(&project, &["commit", "-q", "-m", "an approval"]);
    project.landfall(&["lint"]).expect(0, &["(in another commit than the migration)"]);
    git(&project, &["reset", "-q", "--soft", "HEAD~1"]);
    git(&project, &["commit", "-q", "--amend", "-m", "both"]);
    project.landfall(&["lint"]).expect(0, &["(in the migration's own commit "]);
    project.write("migrations/001_a.sql", "-- 2026-01-02: removes old users\nDROP TABLE old_users, users;\n");
    project.landfall(&["lint"]).expect(7, &["error[drop-table]", "stale the approval of drop-table"]);
    project.write("landfall-approvals.toml", "[[approval]]\nfile = \"a\"\nwho = \"b\"\n");
    project.landfall(&["lint"]).expect(2, &["unknown key `who`", "needs `reason`"]);
}
