//! Django's migrations. `showmigrations --plan` ends with 0 whatever is pending; its lines tell.

use super::{Kept, Preview, Shape, Tool};
use crate::action::{Late, Reading};

/// `sqlmigrate` tells of one migration only. This asks for each that is named, in one process, as `manage.py` would be asked.
const PRINT: &str = "import runpy, sys
for name in sys.argv[1:]:
    print('-- landfall: ' + name, flush=True)
    sys.argv = ['manage.py', 'sqlmigrate', *name.split('.', 1)]
    try:
        runpy.run_path('manage.py', run_name='__main__')
    except SystemExit as end:
        if end.code:
            print('-- landfall could not print it', flush=True)
";

/// Django's migrations.
pub(super) const DJANGO: Tool = Tool {
    name: "django",
    status: &["python", "manage.py", "showmigrations", "--plan"],
    apply: &["python", "manage.py", "migrate", "--no-input"],
    preview: Some(Preview {
        argv: &["python", "-c", PRINT],
        named: true,
        begin: r"^-- landfall: (\S+)$",
        lacks: &[
            (r"^-- landfall could not print it", "`sqlmigrate` could not print it"),
            (r"^-- (THIS OPERATION CANNOT BE WRITTEN AS SQL|Raw Python operation)", "an operation of it is Python, not SQL"),
        ],
    }),
    failed: &[],
    pending: (&[0], r"^\[ \]  \S"),
    up_to_date: (0, r"^\[X\]  \S"),
    names: (r"", r"^\[ \]  (\S+)"),
    // It writes the name first and the rest when it is done: between the two stands what the migration itself prints.
    success: r"^ *No migrations to apply\.| (OK|FAKED)( \(\d+\.\d+s\))?$",
    failure: r"",
    kept: &[Kept {
        folders: &["."],
        shape: Shape::Apps,
        digest: None,
        table: "django_migrations",
        postgres: "SELECT app || '.' || name, NULL::text, 'applied', date_trunc('second', applied)::text, NULL::text FROM {table} ORDER BY id",
        mysql: "SELECT CONCAT(app, '.', name), NULL, 'applied', applied, NULL FROM {table} ORDER BY id",
        reading: Reading::Each,
        late: Late::Applies,
        tolerates: &["edited", "missing"],
        done: "by hand, in the container (Landfall refuses it as a step): python manage.py migrate --fake {words}",
        undone: "take back what is left of it, then run again",
        back: "",
        lock: None,
    }],
    hints: &[
        (
            r"^django\.db\.utils\.OperationalError",
            "the database cannot be reached or refuses: look at the last line, and at DATABASES of the settings",
        ),
        (
            r"^CommandError: Conflicting migrations detected",
            "two branches of migrations were never merged: `python manage.py makemigrations --merge` on a development machine",
        ),
        (r"NodeNotFoundError", "a migration depends on one whose file is not there: bring it back"),
        (r"InconsistentMigrationHistory", "a migration is applied before one that it depends on: files and history have parted"),
    ],
};
