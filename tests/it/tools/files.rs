//! Migration files: those of the testbed's image, and more as each tool wants them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::Tool;

/// Files below a tool's folder of migrations.
pub(super) type Files = BTreeMap<String, String>;

/// A migration that the image does not have.
pub(super) struct New {
    /// As Landfall calls it.
    pub(super) name: &'static str,
    /// What it comes after, or its date: where the tool wants that said.
    pub(super) after: &'static str,
}

/// A tool's folder of migrations in the repository.
fn folder(tool: &Tool) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/testbed/images").join(tool.image).join(tool.project).join(tool.folder)
}

/// The files of the image.
pub(super) fn of_image(tool: &Tool) -> Files {
    let (mut found, mut folders) = (Files::new(), vec![folder(tool)]);
    while let Some(next) = folders.pop() {
        for entry in std::fs::read_dir(&next).expect("folder") {
            let path = entry.expect("entry").path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let below = path.strip_prefix(folder(tool)).expect("below").display().to_string();
                found.insert(below, std::fs::read_to_string(&path).expect("text"));
            }
        }
    }
    found
}

/// What tells of an application beside its folder of migrations, where a tool has that.
pub(super) fn beside(tool: &Tool) -> Option<(String, String)> {
    let text = std::fs::read_to_string(folder(tool).with_file_name("apps.py")).ok()?;
    let (above, _) = tool.folder.rsplit_once('/')?;
    Some((format!("{above}/apps.py"), text))
}

/// A journal, and beside it a file for each of its entries.
pub(super) fn drizzle(files: &mut Files, new: &New, sql: &str) {
    files.insert(format!("{}.sql", new.name), in_pieces(sql));
    let mut journal = journal(files);
    let entries = journal["entries"].as_array_mut().expect("entries");
    entries.retain(|entry| entry["tag"] != new.name);
    let when: u64 = new.after.parse().expect("when");
    entries.push(json!({ "idx": entries.len(), "version": "7", "when": when, "tag": new.name, "breakpoints": true }));
    files.insert(JOURNAL.to_owned(), format!("{journal:#}\n"));
}

/// Each by itself: most drivers of MySQL take one at a time.
fn statements(sql: &str) -> impl Iterator<Item = &str> {
    sql.split("; ")
}

fn in_pieces(sql: &str) -> String {
    format!("{};\n", sql.replace("; ", ";\n--> statement-breakpoint\n"))
}

const JOURNAL: &str = "meta/_journal.json";

fn journal(files: &Files) -> Value {
    serde_json::from_str(&files[JOURNAL]).expect("journal")
}

/// A folder each.
pub(super) fn drizzle_next(files: &mut Files, new: &New, sql: &str) {
    files.insert(format!("{}/migration.sql", new.name), in_pieces(sql));
}

pub(super) fn alembic(files: &mut Files, new: &New, sql: &str) {
    let New { name, after } = new;
    let each: String = statements(sql).map(|one| format!("    op.execute(\"{one}\")\n")).collect();
    let text = format!(
        "from alembic import op\n\nrevision = '{name}'\ndown_revision = '{after}'\n\n\ndef upgrade():\n{each}\n\n\
         def downgrade():\n    op.execute(\"DROP TABLE half\")\n"
    );
    files.insert(format!("{name}_more.py"), text);
}

pub(super) fn django(files: &mut Files, new: &New, sql: &str) {
    let text = format!(
        "from django.db import migrations\n\n\nclass Migration(migrations.Migration):\n    dependencies = [('roll', '{}')]\n    \
         operations = [migrations.RunSQL(\"{sql}\")]\n",
        new.after
    );
    files.insert(format!("{}.py", new.name.strip_prefix("roll.").expect("of the app")), text);
}

pub(super) fn knex(files: &mut Files, new: &New, sql: &str) {
    let each: String = statements(sql).map(|one| format!("  await knex.raw(`{one}`);\n")).collect();
    let text = format!("exports.up = async (knex) => {{\n{each}}};\nexports.down = (knex) => knex.raw('DROP TABLE half');\n");
    files.insert(new.name.to_owned(), text);
}

/// A class each, whose name no other migration may have.
pub(super) fn rails(files: &mut Files, new: &New, sql: &str) {
    let name = new.name;
    let each: String = statements(sql).map(|one| format!("    execute \"{one}\"\n")).collect();
    let text = format!(
        "class M{name} < ActiveRecord::Migration[6.1]\n  def up\n{each}  end\n\n  def down\n    execute \"DROP TABLE half\"\n  end\nend\n"
    );
    files.insert(format!("{name}_m{name}.rb"), text);
}

/// The third migration in the tool's own calls: it makes `half`, and then fails. No SQL stands in it.
pub(super) fn alembic_calls(files: &mut Files, New { name, after }: &New) {
    let text = format!(
        "from alembic import op\nimport sqlalchemy as sa\n\nrevision = '{name}'\ndown_revision = '{after}'\n\n\ndef upgrade():\n    \
         op.create_table('half', sa.Column('id', sa.Integer(), primary_key=True))\n    \
         op.add_column('nope', sa.Column('x', sa.Integer()))\n\n\ndef downgrade():\n    op.drop_table('half')\n"
    );
    files.insert(format!("{name}_more.py"), text);
}

/// The state of Django's models would not know of a table that is not there: here a column is too wide for the server.
pub(super) fn django_calls(files: &mut Files, New { name, after }: &New) {
    let text = format!(
        "from django.db import migrations, models\n\n\nclass Migration(migrations.Migration):\n    dependencies = [('roll', '{after}')]\n    \
         operations = [\n        migrations.CreateModel(\n            name='Half',\n            \
         fields=[('id', models.BigAutoField(primary_key=True))],\n            options={{'db_table': 'half'}},\n        ),\n        \
         migrations.AddField(model_name='half', name='wide', field=models.CharField(max_length=100000, default='')),\n    ]\n"
    );
    files.insert(format!("{}.py", name.strip_prefix("roll.").expect("of the app")), text);
}

pub(super) fn knex_calls(files: &mut Files, New { name, .. }: &New) {
    let text = "exports.up = async (knex) => {\n  await knex.schema.createTable('half', (t) => {\n    t.integer('id').primary();\n  });\n  \
                await knex.schema.alterTable('nope', (t) => {\n    t.integer('x');\n  });\n};\n\
                exports.down = (knex) => knex.schema.dropTable('half');\n";
    files.insert((*name).to_owned(), text.to_owned());
}

pub(super) fn rails_calls(files: &mut Files, New { name, .. }: &New) {
    let text = format!(
        "class M{name} < ActiveRecord::Migration[6.1]\n  def change\n    create_table :half do |t|\n      t.string :name\n    end\n    \
         add_column :nope, :x, :integer\n  end\nend\n"
    );
    files.insert(format!("{name}_m{name}.rb"), text);
}

pub(super) fn dbmate(files: &mut Files, new: &New, sql: &str) {
    files.insert(new.name.to_owned(), format!("-- migrate:up\n{sql};\n\n-- migrate:down\nDROP TABLE half;\n"));
}

/// A folder each: what leads from one contract to another, and the contract that it leads to, which becomes that of the image.
pub(super) fn prisma_8(files: &mut Files, new: &New, sql: &str) {
    let New { name, after } = new;
    let contract =
        if name.ends_with("_third") { include_str!("contracts/third.json") } else { include_str!("contracts/late.json") };
    let to = text_of(&parsed(contract)["storage"]["storageHash"]);
    let from = text_of(&parsed(&files[&format!("app/{after}/migration.json")])["to"]);
    let mut manifest = json!({ "from": from, "to": to, "providedInvariants": [], "createdAt": "2026-03-18T14:20:00.000Z" });
    let step = json!({ "description": "as the test says", "sql": sql });
    let operations = json!([{ "id": "sql", "label": "Run the SQL", "operationClass": "additive", "target": { "id": "postgres" },
        "precheck": [], "execute": [step], "postcheck": [] }]);
    let texts = [&manifest, &operations].map(|value| format!("{value:#}\n"));
    let seal = landfall::history::package_digest(texts[0].as_bytes(), texts[1].as_bytes()).expect("digest");
    manifest["migrationHash"] = seal.into();
    files.insert(format!("app/{name}/migration.json"), format!("{manifest:#}\n"));
    files.insert(format!("app/{name}/ops.json"), texts[1].clone());
    files.insert(format!("snapshots/{to}/contract.json"), contract.to_owned());
    files.insert("contract.json".to_owned(), contract.to_owned());
}

fn parsed(text: &str) -> Value {
    serde_json::from_str(text).expect("json")
}

fn text_of(value: &Value) -> String {
    value.as_str().expect("text").to_owned()
}

pub(super) fn sqlx(files: &mut Files, new: &New, sql: &str) {
    files.insert(format!("{}_more.sql", new.name), format!("{sql};\n"));
}

/// A folder each.
pub(super) fn diesel(files: &mut Files, new: &New, sql: &str) {
    files.insert(format!("{}/up.sql", new.name), format!("{sql};\n"));
    files.insert(format!("{}/down.sql", new.name), "DROP TABLE half;\n".to_owned());
}

/// Whether a file is one of a migration's.
fn is_of(path: &str, name: &str) -> bool {
    path.strip_prefix("app/").unwrap_or(path).starts_with(name.strip_prefix("roll.").unwrap_or(name))
}

/// A remark in a migration's file.
pub(super) fn edit(files: &mut Files, name: &str) {
    let its = |path: &&String| is_of(path, name) && !path.ends_with("/down.sql") && !path.ends_with("/migration.json");
    let path = files.keys().find(its).unwrap_or_else(|| panic!("no file of {name}")).clone();
    if path.ends_with("/ops.json") {
        let text = files.get_mut(&path).expect("file");
        *text = text.replacen("\"label\": \"", "\"label\": \"Do: ", 1);
        return;
    }
    let remark = match Path::new(&path).extension().and_then(|extension| extension.to_str()) {
        Some("py" | "rb") => "# a licence\n",
        Some("js") => "// a licence\n",
        _ => "-- a licence\n",
    };
    *files.get_mut(&path).expect("file") += remark;
}

/// A migration's file, gone; and what else names it.
pub(super) fn delete(files: &mut Files, name: &str) {
    files.retain(|path, _| !is_of(path, name));
    if files.contains_key(JOURNAL) {
        let mut journal = journal(files);
        journal["entries"].as_array_mut().expect("entries").retain(|entry| entry["tag"] != name);
        files.insert(JOURNAL.to_owned(), format!("{journal:#}\n"));
    }
}

/// The two migrations of the image as one, which stands for both.
pub(super) fn into_one(files: &mut Files) {
    let text = "from django.db import migrations\n\n\nclass Migration(migrations.Migration):\n    \
                replaces = [('roll', '0001_initial'), ('roll', '0002_born')]\n    operations = []\n";
    files.insert("0001_one.py".to_owned(), text.to_owned());
}
