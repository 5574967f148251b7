//! Django's migrations. `showmigrations --plan` ends with 0 whatever is pending; its lines tell.

use super::{Kept, Shape, Tool};
use crate::action::{Late, Reading};

/// Django's migrations.
pub(super) const DJANGO: Tool = Tool {
    name: "django",
    status: &["python", "manage.py", "showmigrations", "--plan"],
    apply: &["python", "manage.py", "migrate", "--no-input"],
    failed: &[],
    pending: (&[0], r"^\[ \]  \S"),
    up_to_date: (0, r"^\[X\]  \S"),
    names: (r"", r"^\[ \]  (\S+)"),
    success: r"^ *(No migrations to apply\.|Applying \S+\.\.\. OK)",
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
        done: "python manage.py migrate --fake {words}",
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
