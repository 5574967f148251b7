//! Commands that have no place on a host that serves people: refused by name, wherever a command is given.

/// A command that is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Forbidden {
    /// Its name: `prisma db push`.
    pub name: &'static str,
    /// What it would do.
    pub why: &'static str,
    /// What to do instead.
    pub instead: &'static str,
    tools: &'static [&'static str],
    words: &'static [&'static str],
    option: Option<&'static str>,
}

/// What a command would do, and what to do instead.
#[derive(Clone, Copy)]
struct Reason {
    why: &'static str,
    instead: &'static str,
}

const DROPS: Reason =
    Reason { why: "it drops the database", instead: "use a `migrate` step; for an empty database make a new one by hand" };
const PURGES: Reason =
    Reason { why: "it empties the database", instead: "use a `migrate` step; for an empty database make a new one by hand" };
const EMPTIES: Reason = Reason { why: "it empties every table", instead: "delete what must go by a migration that was reviewed" };
const REPLACES: Reason =
    Reason { why: "it replaces the tables by empty ones", instead: "use a `migrate` step: it runs `rails db:migrate`" };
const UNREVIEWED: Reason = Reason {
    why: "it changes the schema without a migration, and may drop data",
    instead: "make a migration, and let a `migrate` step apply it",
};
const PRETENDS: Reason =
    Reason { why: "it writes into the history without applying anything", instead: "let a `migrate` step apply what is pending" };
const FIXTURES: Reason = Reason {
    why: "it empties the tables that it has made-up rows for",
    instead: "put rows that production needs into a seed or a migration",
};
const TAKES_BACK: Reason = Reason {
    why: "it takes back migrations with what they hold: the running version needs it, and data is lost",
    instead: "make a migration that undoes it and let a `migrate` step apply it, or restore a backup",
};

const fn refused(
    name: &'static str,
    tools: &'static [&'static str],
    words: &'static [&'static str],
    reason: Reason,
) -> Forbidden {
    Forbidden { name, why: reason.why, instead: reason.instead, tools, words, option: None }
}

/// One of Rails' tasks, which both of its programs carry out. Rails itself refuses most of them where the database says that it is
/// `production`, and not where it says another name or `DISABLE_DATABASE_ENVIRONMENT_CHECK` is set.
const fn rails(name: &'static str, task: &'static [&'static str], reason: Reason) -> Forbidden {
    refused(name, &["rails", "rake"], task, reason)
}

/// However its commands are started.
const DJANGO: [&str; 3] = ["manage.py", "django-admin", "django"];
const TYPEORM: [&str; 3] = ["typeorm", "typeorm-ts-node-commonjs", "typeorm-ts-node-esm"];

const FORBIDDEN: [Forbidden; 65] = [
    refused(
        "prisma db push",
        &["prisma"],
        &["db", "push"],
        Reason {
            why: "it changes the schema without a migration, and may drop data",
            instead: "make a migration (`prisma migrate dev` on a development machine) and let a `migrate` step apply it",
        },
    ),
    refused(
        "prisma migrate dev",
        &["prisma"],
        &["migrate", "dev"],
        Reason {
            why: "it is for development: it may reset the database",
            instead: "use a `migrate` step: it runs `prisma migrate deploy`",
        },
    ),
    refused(
        "prisma migrate reset",
        &["prisma"],
        &["migrate", "reset"],
        Reason {
            why: "it drops the database",
            instead: "use a `migrate` step; to settle a failed migration use `prisma migrate resolve`",
        },
    ),
    Forbidden {
        option: Some("--shadow-database-url"),
        ..refused(
            "prisma migrate diff --shadow-database-url",
            &["prisma"],
            &["migrate", "diff"],
            Reason {
                why: "Prisma resets the shadow database, and a host's DATABASE_URL is production",
                instead: "read the pending migrations' SQL in `landfall plan`",
            },
        )
    },
    refused(
        "prisma db init",
        &["prisma"],
        &["db", "init"],
        Reason {
            why: "it makes what the contract says without a migration",
            instead: "plan a migration (`prisma migration plan`) and let a `migrate` step apply it",
        },
    ),
    refused(
        "prisma db update",
        &["prisma"],
        &["db", "update"],
        Reason {
            why: "it changes the schema without a migration, and may drop data",
            instead: "plan a migration (`prisma migration plan`) and let a `migrate` step apply it",
        },
    ),
    refused(
        "prisma db sign",
        &["prisma"],
        &["db", "sign"],
        Reason {
            why: "it writes down another contract without applying anything",
            instead: "let a `migrate` step apply what is pending; a database that was there before is signed once, by hand",
        },
    ),
    refused(
        "drizzle-kit push",
        &["drizzle-kit"],
        &["push"],
        Reason {
            why: "it changes the schema without a migration, and may drop data",
            instead: "generate a migration (`drizzle-kit generate`) and let a `migrate` step apply it",
        },
    ),
    refused("alembic stamp", &["alembic"], &["stamp"], PRETENDS),
    refused("alembic downgrade", &["alembic"], &["downgrade"], TAKES_BACK),
    rails("rails db:schema:load", &["db:schema:load"], REPLACES),
    rails("rails db:setup", &["db:setup"], REPLACES),
    rails("rails db:migrate:reset", &["db:migrate:reset"], DROPS),
    rails("rails db:reset", &["db:reset"], DROPS),
    rails("rails db:drop", &["db:drop"], DROPS),
    rails("rails db:purge", &["db:purge"], PURGES),
    rails("rails db:truncate_all", &["db:truncate_all"], EMPTIES),
    rails("rails db:seed:replant", &["db:seed:replant"], EMPTIES),
    rails("rails db:structure:load", &["db:structure:load"], REPLACES),
    rails("rails db:fixtures:load", &["db:fixtures:load"], FIXTURES),
    rails("rails db:rollback", &["db:rollback"], TAKES_BACK),
    rails("rails db:migrate:down", &["db:migrate:down"], TAKES_BACK),
    rails("rails db:migrate:redo", &["db:migrate:redo"], TAKES_BACK),
    refused("django flush", &DJANGO, &["flush"], EMPTIES),
    refused("django reset_db", &DJANGO, &["reset_db"], DROPS),
    Forbidden { option: Some("--fake"), ..refused("django migrate --fake", &DJANGO, &["migrate"], PRETENDS) },
    refused("dbmate drop", &["dbmate"], &["drop"], DROPS),
    refused("dbmate rollback", &["dbmate"], &["rollback"], TAKES_BACK),
    refused("dbmate down", &["dbmate"], &["down"], TAKES_BACK),
    refused("knex migrate:rollback", &["knex"], &["migrate:rollback"], TAKES_BACK),
    refused("knex migrate:down", &["knex"], &["migrate:down"], TAKES_BACK),
    refused("sqlx migrate revert", &["sqlx"], &["migrate", "revert"], TAKES_BACK),
    refused("sqlx migrate revert", &["sqlx"], &["mig", "revert"], TAKES_BACK),
    refused("flyway undo", &["flyway"], &["undo"], TAKES_BACK),
    refused("golang-migrate down", &["migrate"], &["down"], TAKES_BACK),
    refused("sequelize db:drop", &["sequelize", "sequelize-cli"], &["db:drop"], DROPS),
    refused("sequelize db:migrate:undo", &["sequelize", "sequelize-cli"], &["db:migrate:undo"], TAKES_BACK),
    refused("typeorm schema:drop", &TYPEORM, &["schema:drop"], DROPS),
    refused("typeorm schema:sync", &TYPEORM, &["schema:sync"], UNREVIEWED),
    refused("typeorm migration:revert", &TYPEORM, &["migration:revert"], TAKES_BACK),
    refused("mikro-orm schema:drop", &["mikro-orm"], &["schema:drop"], DROPS),
    refused("mikro-orm schema:fresh", &["mikro-orm"], &["schema:fresh"], DROPS),
    refused("mikro-orm schema:update", &["mikro-orm"], &["schema:update"], UNREVIEWED),
    refused("mikro-orm migration:fresh", &["mikro-orm"], &["migration:fresh"], DROPS),
    refused("mikro-orm migration:down", &["mikro-orm"], &["migration:down"], TAKES_BACK),
    refused("artisan migrate:fresh", &["artisan"], &["migrate:fresh"], DROPS),
    refused("artisan migrate:refresh", &["artisan"], &["migrate:refresh"], TAKES_BACK),
    refused("artisan migrate:reset", &["artisan"], &["migrate:reset"], TAKES_BACK),
    refused("artisan migrate:rollback", &["artisan"], &["migrate:rollback"], TAKES_BACK),
    refused("artisan db:wipe", &["artisan"], &["db:wipe"], DROPS),
    refused("mix ecto.drop", &["mix"], &["ecto.drop"], DROPS),
    refused("mix ecto.reset", &["mix"], &["ecto.reset"], DROPS),
    refused("mix ecto.rollback", &["mix"], &["ecto.rollback"], TAKES_BACK),
    refused("dropdb", &["dropdb"], &[], DROPS),
    refused("mysqladmin drop", &["mysqladmin", "mariadb-admin"], &["drop"], DROPS),
    refused("diesel database reset", &["diesel"], &["database", "reset"], DROPS),
    refused("diesel database drop", &["diesel"], &["database", "drop"], DROPS),
    refused("diesel migration revert", &["diesel"], &["migration", "revert"], TAKES_BACK),
    refused("diesel migration redo", &["diesel"], &["migration", "redo"], TAKES_BACK),
    refused("sqlx database drop", &["sqlx"], &["database", "drop"], DROPS),
    refused("sqlx database drop", &["sqlx"], &["db", "drop"], DROPS),
    refused("sqlx database reset", &["sqlx"], &["database", "reset"], DROPS),
    refused("sqlx database reset", &["sqlx"], &["db", "reset"], DROPS),
    refused(
        "flyway clean",
        &["flyway"],
        &["clean"],
        Reason {
            why: "it drops everything in the schema",
            instead: "use a `migrate` step: it runs `flyway migrate`; for an empty database make a new one by hand",
        },
    ),
    refused(
        "golang-migrate drop",
        &["migrate"],
        &["drop"],
        Reason {
            why: "it drops everything in the database",
            instead: "use a `migrate` step; for an empty database make a new one by hand",
        },
    ),
];

/// The forbidden command that a command or a shell text contains, if any.
pub fn find<S: AsRef<str>>(words: &[S]) -> Option<Forbidden> {
    simple_commands(words).iter().find_map(|command| in_simple_command(command))
}

/// The simple commands of a list of words or of a text for a shell, each as its words.
pub(super) fn simple_commands<S: AsRef<str>>(words: &[S]) -> Vec<Vec<String>> {
    let words: Vec<Vec<String>> = words.iter().map(|word| simple_words(word.as_ref())).collect();
    // A word of a list may be a whole shell text (`sh -c TEXT`), and a list may be one simple command: both are looked at.
    let flat: Vec<String> = words.concat();
    flat.split(|word| word == SEPARATOR).filter(|command| !command.is_empty()).map(<[String]>::to_vec).collect()
}

const SEPARATOR: &str = ";";

/// The words of a shell text, without quotes; what ends a simple command becomes a separator.
fn simple_words(text: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let joined = text.replace("\\\n", " ");
    for c in joined.chars() {
        match c {
            ';' | '|' | '&' | '\n' | '(' | ')' | '`' | '{' | '}' => words.extend([SEPARATOR.to_owned(), String::new()]),
            c if c.is_whitespace() => words.push(String::new()),
            '"' | '\'' | '\\' => {}
            c => {
                if let Some(word) = words.last_mut() {
                    word.push(c);
                }
            }
        }
    }
    words.retain(|word| !word.is_empty());
    words
}

fn in_simple_command(words: &[String]) -> Option<Forbidden> {
    words.iter().enumerate().find_map(|(at, word)| {
        let after = &words[at + 1..];
        FORBIDDEN.into_iter().find(|forbidden| {
            let plain: Vec<&str> = after.iter().filter(|word| !word.starts_with('-')).map(String::as_str).collect();
            forbidden.tools.iter().any(|tool| is_tool(word, tool))
                && (forbidden.words.is_empty()
                    || plain.windows(forbidden.words.len()).any(|window| window.iter().zip(forbidden.words).all(is_word)))
                && forbidden.option.is_none_or(|option| after.iter().any(|word| is_option(word, option)))
        })
    })
}

/// Whether a word is this option, alone or with its value.
fn is_option(word: &str, option: &str) -> bool {
    word.strip_prefix(option).is_some_and(|rest| rest.is_empty() || rest.starts_with('='))
}

/// Whether a word is the one that is meant: a task may name one of several databases behind it, `db:drop:NAME`.
fn is_word((word, meant): (&&str, &&str)) -> bool {
    word.strip_prefix(meant).is_some_and(|rest| rest.is_empty() || (meant.contains(':') && rest.starts_with(':')))
}

/// Whether a word starts this tool: by name, by path, or with a version behind it.
pub(super) fn is_tool(word: &str, tool: &str) -> bool {
    let file = word.rsplit('/').next().unwrap_or(word);
    file.strip_prefix(tool).is_some_and(|rest| rest.is_empty() || rest.starts_with('@') || rest.starts_with('.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(words: &[&str]) -> Option<&'static str> {
        find(words).map(|forbidden| forbidden.name)
    }

    #[test]
    fn finds_them_however_they_are_written() {
        assert_eq!(name(&["npx", "prisma", "db", "push"]), Some("prisma db push"));
        assert_eq!(name(&["npx", "-y", "prisma@6.19.3", "db", "push", "--accept-data-loss"]), Some("prisma db push"));
        assert_eq!(name(&["node_modules/.bin/prisma", "--schema", "x.prisma", "migrate", "reset"]), Some("prisma migrate reset"));
        assert_eq!(name(&["sh", "-c", "cd /app && npx prisma migrate dev --name x"]), Some("prisma migrate dev"));
        assert_eq!(name(&["npx prisma db update --no-interactive --confirm appdb"]), Some("prisma db update"));
        assert_eq!(name(&["npx", "prisma", "db", "init"]), Some("prisma db init"));
        assert_eq!(name(&["npx", "prisma", "db", "sign", "--no-advance-ref"]), Some("prisma db sign"));
        assert_eq!(name(&["echo ok; \"prisma\" db \\\n push"]), Some("prisma db push"));
        assert_eq!(name(&["x=$(pnpm drizzle-kit push)"]), Some("drizzle-kit push"));
        assert_eq!(
            name(&["npx prisma migrate diff --from-migrations p --shadow-database-url \"$DATABASE_URL\" --script"]),
            Some("prisma migrate diff --shadow-database-url")
        );
        assert_eq!(name(&["python", "manage.py", "flush", "--no-input"]), Some("django flush"));
        assert_eq!(name(&["bin/rails db:schema:load"]), Some("rails db:schema:load"));
        for (text, found) in [
            ("flyway -cleanDisabled=false clean migrate", "flyway clean"),
            ("sqlx database drop -y", "sqlx database drop"),
            ("cargo sqlx db reset", "sqlx database reset"),
            ("migrate -path db/migrations -database \"$DATABASE_URL\" drop -f", "golang-migrate drop"),
            ("rake db:drop", "rails db:drop"),
            ("bundle exec rake db:reset", "rails db:reset"),
            ("bin/rake db:schema:load", "rails db:schema:load"),
            ("RAILS_ENV=production bin/rails db:setup", "rails db:setup"),
            ("rails db:migrate:reset", "rails db:migrate:reset"),
            ("bundle exec rails db:schema:load:animals", "rails db:schema:load"),
            ("bin/rails db:drop:primary db:create", "rails db:drop"),
            ("rails db:seed:replant", "rails db:seed:replant"),
            ("rake db:rollback STEP=2", "rails db:rollback"),
            ("bin/rails db:migrate:down VERSION=20240101000000", "rails db:migrate:down"),
            ("bundle exec rails db:migrate:redo:primary", "rails db:migrate:redo"),
            ("rails db:fixtures:load", "rails db:fixtures:load"),
            ("rake db:structure:load", "rails db:structure:load"),
            ("django-admin flush", "django flush"),
            ("python -m django flush --no-input", "django flush"),
            ("diesel migration redo", "diesel migration redo"),
            ("diesel --database-url x migration revert --all", "diesel migration revert"),
            ("alembic -c a.ini downgrade -1", "alembic downgrade"),
            ("pnpm dlx prisma@6 migrate reset --force", "prisma migrate reset"),
            ("yarn prisma migrate reset", "prisma migrate reset"),
            ("bunx --bun prisma migrate reset", "prisma migrate reset"),
            ("python manage.py migrate shop --fake", "django migrate --fake"),
            ("manage.py reset_db --noinput", "django reset_db"),
            ("dbmate --wait rollback", "dbmate rollback"),
            ("npx knex migrate:rollback --all", "knex migrate:rollback"),
            ("cargo sqlx migrate revert", "sqlx migrate revert"),
            ("migrate -path p -database x down 1", "golang-migrate down"),
            ("npx sequelize-cli db:migrate:undo:all", "sequelize db:migrate:undo"),
            ("npx typeorm-ts-node-commonjs schema:sync -d x.ts", "typeorm schema:sync"),
            ("npx mikro-orm schema:fresh --run", "mikro-orm schema:fresh"),
            ("php artisan migrate:fresh --seed", "artisan migrate:fresh"),
            ("mix ecto.rollback -n 1", "mix ecto.rollback"),
            ("dropdb -U postgres shop", "dropdb"),
            ("mysqladmin -f drop shop", "mysqladmin drop"),
        ] {
            assert_eq!(name(&[text]), Some(found), "{text}");
            assert_eq!(name(&text.split(' ').collect::<Vec<_>>()), Some(found), "{text}");
        }
    }

    #[test]
    fn leaves_everything_else_alone() {
        for fine in [
            "npx prisma migrate deploy",
            "npx prisma migrate status",
            "npx prisma db migrate --show",
            "npx prisma db verify",
            "npx prisma migrate resolve --rolled-back 20240101_reset",
            "npx prisma migrate diff --from-config-datasource --to-schema x --exit-code",
            "git push && npx prisma generate",
            "npx prisma generate; git push",
            "docker push api",
            "npx drizzle-kit migrate",
            "npx tsx prisma/seeds/db.ts push",
            "flyway migrate",
            "sqlx migrate run",
            "sqlx database create; echo drop",
            "migrate -path db/migrations up",
            "bin/rails db:migrate:status",
            "bin/rails db:migrate db:seed",
            "bin/rails db:migrate:up VERSION=20240101000000",
            "bundle exec rake db:migrate",
            "python manage.py migrate --no-input",
            "python -m django migrate",
            "diesel migration run",
            "alembic upgrade head",
            "pnpm prisma migrate deploy",
            "python manage.py migrate --fake-initial",
            "dbmate up",
            "npx knex migrate:up",
            "npx sequelize-cli db:migrate",
            "php artisan migrate --force",
            "npx prisma migrate deploy; docker compose down",
            "mix ecto.migrate",
        ] {
            assert_eq!(name(&[fine]), None, "{fine}");
            assert_eq!(name(&fine.split(' ').collect::<Vec<_>>()), None, "{fine}");
        }
    }
}
