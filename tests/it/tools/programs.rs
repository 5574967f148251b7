//! Migrations that are programs, before a production group: of Alembic and Django the SQL is shown and judged, and what they do beside it
//! needs approval, as all of Knex does.

use super::database::Database;
use super::files::{self, Files};
use super::matrix::Bench;
use super::{ALEMBIC, DJANGO, KNEX, Tool};
use crate::droplet::droplet;
use crate::program::Output;

/// The files of the image, and one more with this text.
fn with(tool: &Tool, more: &[(&str, &str)]) -> Files {
    let mut files = files::of_image(tool);
    files.extend(more.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())));
    files
}

/// What a refusal says would approve it, done.
fn approve_as_told(bench: &Bench<'_>, refused: &Output) {
    let told = regex_lite::Regex::new(r"landfall lint --write-approval (\S+)(?: --statement ([0-9a-f]{64}))?").unwrap();
    let said = refused.said();
    let mut count = 0;
    for found in told.captures_iter(&said) {
        let mut words = vec!["lint", "--write-approval", found.get(1).unwrap().as_str(), "--by", "Ada", "--reason", "read it"];
        words.extend(found.get(2).iter().flat_map(|statement| ["--statement", statement.as_str()]));
        bench.project.landfall(&words).expect(0, &[]);
        count += 1;
    }
    assert!(count > 0, "{said}");
}

/// A migration that drops a column is shown with its SQL and refused until somebody approves that; one that does more than its tool prints
/// is, too, also among those that the framework itself brings (`foreign`).
fn is_seen(tool: &'static Tool, foreign: &[&str], drops: (&str, &str), asks: (&str, &str)) {
    let droplets = droplet();
    let bench = Bench::new(tool, &droplets[0], Database::postgres(&droplets));
    bench.project.edit("landfall.toml", "production = false\n", "");
    let sql = "CREATE TABLE voters (id bigint PRIMARY KEY, name text NOT NULL)";
    let mut run = vec!["run", "tool", "--yes"];
    let waivers: Vec<String> = foreign.iter().map(|name| format!("not-sql@{name}")).collect();
    if !waivers.is_empty() {
        let told: Vec<String> = waivers.iter().map(|waiver| format!("--approve {waiver} --note TEXT")).collect();
        let told: Vec<&str> = told.iter().map(String::as_str).collect();
        bench.project.landfall(&run).expect(7, &told);
        run.extend(["--note", "it is Django's own"]);
        run.extend(waivers.iter().flat_map(|waiver| ["--approve", waiver]));
    }
    let (code, also): (i32, &[&str]) = if foreign.is_empty() {
        (0, &[])
    } else {
        (7, &["+ auth.0001_initial  pending, by the tool's word", "CREATE TABLE \"auth_user\""])
    };
    bench.project.landfall(&["plan", "tool"]).expect(code, &[&[sql, "ADD COLUMN born integer"], also].concat());
    bench.project.landfall(&run).expect(0, &["nothing pending"]);

    bench.put(&with(tool, &[drops]));
    let refused = bench.project.landfall(&["plan", "tool"]);
    refused.expect(7, &["DROP COLUMN", "born", drops.0, "drop-column: ", "--statement "]);
    assert!(!refused.said().contains("not-sql"), "{}", refused.said());
    bench.project.landfall(&["run", "tool", "--yes"]).expect(7, &["drop-column: "]);
    assert!(has_born(&bench));
    approve_as_told(&bench, &refused);
    bench.project.landfall(&["run", "tool", "--yes"]).expect(0, &["drop-column in ", "is approved by Ada", "nothing pending"]);
    assert!(!has_born(&bench));

    bench.put(&with(tool, &[drops, asks]));
    let refused = bench.project.landfall(&["plan", "tool"]);
    refused.expect(7, &[asks.0, "not-sql: "]);
    bench.project.landfall(&["run", "tool", "--yes"]).expect(7, &["not-sql: "]);
    approve_as_told(&bench, &refused);
    bench.project.landfall(&["run", "tool", "--yes"]).expect(0, &["1 migration applied, nothing pending"]);
    assert_eq!(bench.droplet.sh("docker ps --all --quiet --filter label=landfall.run"), "");
}

fn has_born(bench: &Bench<'_>) -> bool {
    let columns = "SELECT count(*) FROM information_schema.columns WHERE table_name = 'voters' AND column_name = 'born'";
    bench.droplet.sql(columns) == "1"
}

#[test]
fn what_alembic_prints_is_judged() {
    let head = |name, after| {
        format!("from alembic import op\nimport sqlalchemy as sa\n\nrevision = '{name}'\ndown_revision = '{after}'\n")
    };
    let drops = format!("{}\n\ndef upgrade():\n    op.drop_column('voters', 'born')\n", head("3333cccc", "2222bbbb"));
    let asks = "def upgrade():\n    rows = op.get_bind().execute(sa.text('SELECT name FROM voters')).fetchall()\n    assert rows == []\n";
    let asks = format!("{}\n\n{asks}", head("4444dddd", "3333cccc"));
    is_seen(&ALEMBIC, &[], ("3333cccc_third.py", &drops), ("4444dddd_fourth.py", &asks));
}

#[test]
fn what_django_prints_is_judged() {
    let head = |after| {
        let class = "class Migration(migrations.Migration):\n    dependencies = [('roll', '";
        format!("from django.db import migrations, models\n\n\n{class}{after}')]\n    operations = [\n")
    };
    let model = "migrations.CreateModel('Voter', [('id', models.BigIntegerField(primary_key=True)), \
                 ('born', models.IntegerField(null=True))], options={'db_table': 'voters'})";
    let drops = format!(
        "{}        migrations.SeparateDatabaseAndState(state_operations=[{model}]),\n        migrations.RemoveField('voter', 'born'),\n    ]\n",
        head("0002_born")
    );
    let asks = format!("{}        migrations.RunPython(lambda apps, schema: None),\n    ]\n", head("0003_third"));
    let foreign = ["contenttypes.0002_remove_content_type_name", "auth.0011_update_proxy_permissions"];
    is_seen(&DJANGO, &foreign, ("0003_third.py", &drops), ("0004_fourth.py", &asks));
}

#[test]
fn programs_of_which_nothing_is_printed_need_approval() {
    let droplets = droplet();
    let bench = Bench::new(&KNEX, &droplets[0], Database::postgres(&droplets));
    bench.project.edit("landfall.toml", "production = false\n", "");
    let [one, two] = KNEX.first;
    let local = bench.project.landfall(&["lint"]);
    local.expect(7, &["not-sql", one, two]);
    let refused = bench.project.landfall(&["run", "tool", "--yes"]);
    refused.expect(7, &[&format!("migrations/{one}:1: not-sql: "), two]);
    assert!(!bench.database.has("voters"));
    approve_as_told(&bench, &refused);
    bench.project.landfall(&["lint"]).expect(0, &["2 approved"]);
    bench.project.landfall(&["run", "tool", "--yes"]).expect(0, &["not-sql in ", "2 migrations applied, nothing pending"]);
    assert!(bench.database.has("voters"));
    // Another text is another migration.
    bench.put(&with(&KNEX, &[(KNEX.third.name, "exports.up = (knex) => knex.raw('SELECT 1');\nexports.down = () => {};\n")]));
    bench.project.landfall(&["run", "tool", "--yes"]).expect(7, &[KNEX.third.name, "not-sql"]);
}
