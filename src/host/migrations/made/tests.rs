use super::*;
use crate::facts::MigrationState;

/// What is read of a migration's forward half: what it makes, what it perhaps does, and whether there is more.
fn told(file: &str, text: &str) -> String {
    let migration = Migration {
        name: "shop.0003_more".to_owned(),
        key: None,
        state: MigrationState::Pending,
        late: false,
        sha256: None,
        file: Some(file.to_owned()),
        recorded: None,
        text: None,
        cut: false,
        told: None,
        begun: false,
    };
    let Reading { made, perhaps, more } = of(&migration, text);
    let sure = made.iter().map(ToString::to_string);
    let unsure = perhaps.iter().map(|made| format!("perhaps {made}"));
    sure.chain(unsure).chain(more.then(|| "more".to_owned())).collect::<Vec<_>>().join(", ")
}

fn knex(body: &str) -> String {
    let texts = [
        format!("exports.up = async (knex) => {{\n{body}\n}};\n"),
        format!("import type {{ Knex }} from 'knex';\nexport async function up(knex: Knex): Promise<void> {{\n{body}\n}}\n"),
    ];
    let [script, typed] = [told("1_a.js", &texts[0]), told("1_a.ts", &texts[1])];
    assert_eq!(script, typed);
    script
}

fn alembic(body: &str) -> String {
    let body = body.replace('\n', "\n    ");
    told(
        "3333_more.py",
        &format!(
            "\"\"\"create table docs\"\"\"\nfrom alembic import op\nimport sqlalchemy as sa\n\ndef upgrade() -> None:\n    {body}\n"
        ),
    )
}

fn django(operations: &str) -> String {
    told(
        "shop/migrations/0003_more.py",
        &format!(
            "from django.db import migrations, models\n\ndef fill(apps, schema_editor):\n    if apps:\n        pass\n\n\
             class Migration(migrations.Migration):\n    dependencies = [('shop', '0002_a')]\n    operations = [\n{operations}\n    ]\n"
        ),
    )
}

fn plain_django(operations: &str) -> String {
    told("shop/migrations/0003_more.py", &format!("class Migration(migrations.Migration):\n    operations = [{operations}]\n"))
}

fn rails(body: &str) -> String {
    let of = |method: &str| {
        told("db/migrate/3_a.rb", &format!("class A < ActiveRecord::Migration[7.1]\n  def {method}\n{body}\n  end\nend\n"))
    };
    let made = of("change");
    assert_eq!((of("up"), of("self.up")), (made.clone(), made.clone()));
    made
}

#[test]
fn knex_makes_tables() {
    assert_eq!(knex("await knex.schema.createTable('half', (t) => { t.increments(); t.string('a'); });"), "table half");
    assert_eq!(
        knex("return knex.schema.createTable(\"a\", function (t) { t.text('x') }).createTable(`b`, t => {});"),
        "table a, table b"
    );
    assert_eq!(
        knex("await Promise.all([knex.schema.createTable('a', () => {}), knex.raw('CREATE TABLE b (id int)')]);"),
        "table a, table b"
    );
    assert_eq!(
        knex("// knex.schema.createTable('x')\n/* createTable('y') */ await knex.schema.createTable('a', t => {});"),
        "table a"
    );
}

#[test]
fn knex_adds_columns_and_indices() {
    let body = "await knex.schema.alterTable('a', (t) => { t.string('b', 100).notNullable(); t.index(['b'], 'a_b'); t.unique(['b'], \"a_u\") });";
    assert_eq!(knex(body), "index a_b, index a_u, column a.b, more");
    assert_eq!(knex("await knex.schema.table('a', function (table) { table.specificType('b', 'int') });"), "column a.b");
    assert_eq!(knex("await knex.schema.table('a', t => { t.string('b', 9).alter(); t.integer('c'); });"), "column a.c, more");
    assert_eq!(knex("await knex.schema.table('a', t => { t.timestamps(); });"), "more");
}

#[test]
fn knex_is_not_guessed_at() {
    for doubtful in [
        "if (!(await knex.schema.hasTable('a'))) { await knex.schema.createTable('a', t => {}); }",
        "const there = await knex.schema.hasTable('a'); there || (await knex.schema.createTable('a', t => {}));",
        "await knex.schema.createTableIfNotExists('a', t => {});",
        "await knex.schema.createTable(name, t => {});",
        "await knex.schema.createTable('a' + suffix, t => {});",
        "await knex.schema.createTable(`a_${suffix}`, t => {});",
        "await knex.schema.withSchema('other').createTable('a', t => {});",
        "try { await knex.schema.createTable('a', t => {}); } catch {}",
        "await knex.schema.createTable('userNames', t => {});",
        "await knex.schema.createTable('user-names', t => {});",
        "await knex.schema.dropTable('a'); await knex.schema.createTable('a', t => {});",
        "await knex.schema.createTable('a', t => {}); await knex.schema.renameTable('a', 'b');",
        "if (!(await knex.schema.hasTable('a'))) await knex.raw('CREATE TABLE a (id int)');",
        "await knex.schema.alterTable('a', t => { t.dropTimestamps(); t.timestamp('created_at'); });",
        "await knex.schema.alterTable('a', t => { t.dropUnique(['b']); t.unique(['b'], 'a_b_unique'); });",
        "for (const t of old) await knex.schema.dropTable(t); await knex.schema.createTable('a', t => {});",
        "await ensureTable(knex, 'a', () => knex.schema.createTable('a', t => {}));",
    ] {
        assert_eq!(knex(doubtful), "more", "{doubtful}");
    }
    assert_eq!(knex("await knex.raw('DROP TABLE IF EXISTS a'); await knex.schema.createTable('a', t => {});"), "");
    assert_eq!(knex("await knex.schema.dropTable('a'); await knex.raw('CREATE TABLE a (id int)');"), "more");
    assert_eq!(knex("await knex.schema.createTable('a', t => {}); await knex('b').insert({ c: 1 });"), "table a, more");
}

#[test]
fn alembic_makes_tables_columns_and_indices() {
    assert_eq!(
        alembic("op.create_table('half', sa.Column('id', sa.Integer(), nullable=False), sa.PrimaryKeyConstraint('id'))"),
        "table half"
    );
    assert_eq!(
        alembic(
            "op.create_table(\n    \"half\",\n    sa.Column(\"id\", sa.Integer()),\n)\nop.add_column(\"a\", sa.Column(\"b\", sa.String(9)))"
        ),
        "table half, column a.b"
    );
    assert_eq!(
        alembic("op.create_index(op.f('ix_a_b'), 'a', ['b'], unique=False)\nop.create_index('i', table_name='a', columns=['c'])"),
        "index i, index ix_a_b, more"
    );
    assert_eq!(
        alembic(
            "with op.batch_alter_table('a', schema=None) as batch_op:\n    batch_op.add_column(sa.Column('b', sa.Integer()))\n    batch_op.create_index(batch_op.f('ix_b'), ['b'])"
        ),
        "index ix_b, column a.b"
    );
    assert_eq!(
        alembic("op.execute('CREATE TABLE a (id int); '\n    'CREATE TABLE b (id int)')\n# CREATE TABLE c (id int)"),
        "table a, table b"
    );
}

#[test]
fn alembic_is_not_guessed_at() {
    for doubtful in [
        "if not sa.inspect(op.get_bind()).has_table('a'):\n    op.create_table('a')",
        "op.create_table('a', sa.Column('id', sa.Integer()), if_not_exists=True)",
        "op.create_table('a', sa.Column('id', sa.Integer()), schema='other')",
        "with op.batch_alter_table('a', schema='other') as batch_op:\n    batch_op.add_column(sa.Column('b', sa.Integer()))",
        "op.create_table(f'a_{x}')",
        "op.create_table('a_%s' % x)",
        "op.create_table('a_' + x)",
        "op.create_table(TABLE)",
        "op.drop_table('a')\nop.create_table('a')",
        "op.add_column('a', sa.Column(NAME, sa.Integer()))",
        "op.add_column('a', sa.Column('b', sa.Integer()))\nop.drop_column('a', 'b')",
        "op.bulk_insert(a, [])",
        "if not insp.has_table('a'):\n    op.execute('CREATE TABLE a (id int)')",
        "op.drop_table('s')\nop.create_table('s', sa.Column('u'))\nop.create_index(op.f('ix_s_u'), 's', ['u'])",
        "op.alter_column('a', 'b', new_column_name='b_old')\nop.add_column('a', sa.Column('b', sa.Integer()))",
        "op.execute(f'DROP TABLE {t}')\nop.create_table('a')\nop.bulk_insert(a, [])",
        "op.alter_column('a', 'b', new_column_name='c')",
    ] {
        assert_eq!(alembic(doubtful), "more", "{doubtful}");
    }
    assert_eq!(alembic("op.execute(f'CREATE TABLE a_{x} (id int)')\nop.execute('CREATE TABLE {}_b (id int)'.format(x))"), "");
}

#[test]
fn django_makes_tables_columns_and_indices() {
    assert_eq!(
        django("migrations.CreateModel(name='Half', fields=[('id', models.AutoField(primary_key=True))]),"),
        "table shop_half"
    );
    let model = "migrations.CreateModel('Half', [('id', models.AutoField(primary_key=True))], options={'ordering': ['id'], 'db_table': \"half\"}),";
    let added = "migrations.AddField(model_name='half', name='b', field=models.CharField(max_length=9)),";
    assert_eq!(django(&format!("{model}\n{added}")), "table half, column half.b");
    assert_eq!(django(added), "perhaps column shop_half.b");
    assert_eq!(
        django("migrations.AddField('a', 'b', models.ForeignKey('c', on_delete=models.CASCADE))"),
        "perhaps column shop_a.b_id, more"
    );
    assert_eq!(django("migrations.AddField('a', 'b', models.IntegerField(db_column='B', null=True))"), "perhaps column shop_a.B");
    assert_eq!(
        django("migrations.AddIndex(model_name='a', index=models.Index(fields=['b'], name='a_b'))"),
        "perhaps index a_b, more"
    );
    // Whether its own function makes that, too, nobody knows.
    assert_eq!(django("migrations.RunSQL('CREATE TABLE a (id int)')"), "");
    let django = |operations: &str| plain_django(operations);
    assert_eq!(django("migrations.RunSQL('CREATE TABLE a (id int)', 'DROP TABLE a')"), "table a");
    assert_eq!(
        django(
            "migrations.RunSQL(sql='CREATE TABLE a (id int)', reverse_sql='DROP TABLE a', state_operations=[migrations.CreateModel('A', [])])"
        ),
        "table a"
    );
}

#[test]
fn django_is_not_guessed_at() {
    for doubtful in [
        "migrations.CreateModel(name='A', fields=[], options={'managed': False})",
        "migrations.CreateModel(name='A', fields=[], options={'proxy': True}, bases=('shop.b',))",
        "migrations.CreateModel(name='A', fields=[], options={'db_table': TABLE})",
        "migrations.SeparateDatabaseAndState(state_operations=[migrations.CreateModel('A', [])])",
        "migrations.AddField('a', 'b', models.ManyToManyField('c'))",
        "migrations.AddField('a', 'b', other.Field())",
        "migrations.DeleteModel('A'), migrations.CreateModel('A', [])",
        "migrations.RemoveField('a', 'b'), migrations.AddField('a', 'b', models.ForeignKey('c'))",
        "migrations.RunPython(fill)",
        "migrations.AlterField('a', 'b', models.IntegerField(db_column='old')), migrations.AddField('a', 'c', models.IntegerField(db_column='b'))",
    ] {
        assert_eq!(django(doubtful), "more", "{doubtful}");
    }
}

#[test]
fn rails_makes_tables_columns_and_indices() {
    assert_eq!(
        rails("    create_table :half, id: false do |t|\n      t.string :name\n      t.timestamps\n    end"),
        "table half"
    );
    assert_eq!(
        rails("    create_table(\"a\") { |t| t.text 'b' }\n    add_column 'c', \"d\", :integer, null: false"),
        "table a, column c.d"
    );
    assert_eq!(
        rails(
            "    add_index :a, [:b, :c],\n      unique: true,\n      name: 'a_b'\n    add_reference :a, :user, foreign_key: true"
        ),
        "index a_b, column a.user_id, more"
    );
    assert_eq!(
        rails(
            "    change_table :a, bulk: true do |t|\n      t.string :b, :c, limit: 9\n      t.column :d, :integer\n      t.index :b, name: :a_b\n      t.references :e\n    end"
        ),
        "index a_b, column a.b, column a.c, column a.d, column a.e_id, more"
    );
    assert_eq!(
        rails(
            "    # create_table :x\n    execute <<~SQL.squish\n      CREATE TABLE a (id int, b text DEFAULT 'it''s')\n    SQL\n    create_table :b"
        ),
        "table a, table b"
    );
    assert_eq!(rails("    execute \"CREATE TABLE a (id int)\"\n    execute %q(CREATE TABLE b (id int))"), "table a, table b");
}

#[test]
fn rails_is_not_guessed_at() {
    for doubtful in [
        "    create_table :a unless table_exists?(:a)",
        "    return if column_exists?(:a, :b)\n    add_column :a, :b, :string",
        "    create_table :a, if_not_exists: true",
        "    create_table :a, force: :cascade do |t|\n    end",
        "    create_table name",
        "    create_table \"a_#{name}\"",
        "    drop_table :a\n    create_table :a",
        "    create_table :a\n    rename_table :a, :b",
        "    add_column :a, :b, :string\n    remove_column :a, :b",
        "    add_index :a, :b",
        "    reversible { |dir| dir.up { create_table :a } }",
        "    revert { create_table :a }",
        "    change_column :a, :b, :text",
        "    safety_assured { remove_column :a, :b }\n    add_column :a, :b, :bigint",
        "    add_reference :a, :b, foreign_key: { to_table: :c }, if_not_exists: true",
        "    create_table :a, id: { type: :uuid }, force: true do |t|\n    end",
        "    create_table \"a\", :force => true do |t|\n    end",
        "    execute \"ALTER TABLE a ADD COLUMN b int\" unless column_exists?(:a, :b)",
    ] {
        assert_eq!(rails(doubtful), "more", "{doubtful}");
    }
}

#[test]
fn what_cannot_be_cut_is_not_believed() {
    assert_eq!(told("1_a.js", "exports.up = (knex) => knex.raw('CREATE TABLE a (id int)'.replace(/'/, ``));\n"), "more");
    assert_eq!(told("1_a.sql", "CREATE TABLE a (id int); UPDATE a SET id = 1"), "table a, more");
    assert_eq!(told("1_a.txt", "CREATE TABLE a (id int); UPDATE a SET id = 1"), "more");
}

#[test]
fn half_a_name_in_a_longer_text_is_none() {
    assert_eq!(rails("    execute <<~SQL\n      CREATE TABLE events#{suffix} (id int)\n    SQL"), "");
    assert_eq!(rails("    execute %Q(CREATE TABLE a_#{suffix} (id int))"), "");
}

#[test]
fn rows_that_it_changes_are_more() {
    assert_eq!(knex("await knex.schema.createTable('a', t => {}); await knex.raw('INSERT INTO a VALUES (1)');"), "table a, more");
    assert_eq!(alembic("op.create_table('a')\nop.execute('UPDATE a SET b = 1')"), "table a, more");
}
