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
    tool: &'static str,
    words: &'static [&'static str],
    option: Option<&'static str>,
}

const FORBIDDEN: [Forbidden; 40] = [
    Forbidden {
        name: "prisma db push",
        why: "it changes the schema without a migration, and may drop data",
        instead: "make a migration (`prisma migrate dev` on a development machine) and let a `migrate` step apply it",
        tool: "prisma",
        words: &["db", "push"],
        option: None,
    },
    Forbidden {
        name: "prisma migrate dev",
        why: "it is for development: it may reset the database",
        instead: "use a `migrate` step: it runs `prisma migrate deploy`",
        tool: "prisma",
        words: &["migrate", "dev"],
        option: None,
    },
    Forbidden {
        name: "prisma migrate reset",
        why: "it drops the database",
        instead: "use a `migrate` step; to settle a failed migration use `prisma migrate resolve`",
        tool: "prisma",
        words: &["migrate", "reset"],
        option: None,
    },
    Forbidden {
        name: "prisma migrate diff --shadow-database-url",
        why: "Prisma resets the shadow database, and a host's DATABASE_URL is production",
        instead: "read the pending migrations' SQL in `landfall plan`",
        tool: "prisma",
        words: &["migrate", "diff"],
        option: Some("--shadow-database-url"),
    },
    Forbidden {
        name: "prisma db init",
        why: "it makes what the contract says without a migration",
        instead: "plan a migration (`prisma migration plan`) and let a `migrate` step apply it",
        tool: "prisma",
        words: &["db", "init"],
        option: None,
    },
    Forbidden {
        name: "prisma db update",
        why: "it changes the schema without a migration, and may drop data",
        instead: "plan a migration (`prisma migration plan`) and let a `migrate` step apply it",
        tool: "prisma",
        words: &["db", "update"],
        option: None,
    },
    Forbidden {
        name: "prisma db sign",
        why: "it writes down another contract without applying anything",
        instead: "let a `migrate` step apply what is pending; a database that was there before is signed once, by hand",
        tool: "prisma",
        words: &["db", "sign"],
        option: None,
    },
    Forbidden {
        name: "drizzle-kit push",
        why: "it changes the schema without a migration, and may drop data",
        instead: "generate a migration (`drizzle-kit generate`) and let a `migrate` step apply it",
        tool: "drizzle-kit",
        words: &["push"],
        option: None,
    },
    Forbidden {
        name: "alembic stamp",
        why: "it writes into the history without applying anything",
        instead: "let a `migrate` step apply what is pending",
        tool: "alembic",
        words: &["stamp"],
        option: None,
    },
    Forbidden {
        name: "alembic downgrade",
        why: "it takes back migrations with what they hold: the running version needs it, and data is lost",
        instead: "make a migration that undoes it and let a `migrate` step apply it, or restore a backup",
        tool: "alembic",
        words: &["downgrade"],
        option: None,
    },
    Forbidden {
        name: "rails db:schema:load",
        why: "it replaces the tables by empty ones",
        instead: "use a `migrate` step: it runs `rails db:migrate`",
        tool: "rails",
        words: &["db:schema:load"],
        option: None,
    },
    Forbidden {
        name: "rails db:setup",
        why: "it replaces the tables by empty ones",
        instead: "use a `migrate` step: it runs `rails db:migrate`",
        tool: "rails",
        words: &["db:setup"],
        option: None,
    },
    Forbidden {
        name: "rails db:migrate:reset",
        why: "it drops the database",
        instead: "use a `migrate` step; for an empty database make a new one by hand",
        tool: "rails",
        words: &["db:migrate:reset"],
        option: None,
    },
    Forbidden {
        name: "rails db:reset",
        why: "it drops the database",
        instead: "use a `migrate` step; for an empty database make a new one by hand",
        tool: "rails",
        words: &["db:reset"],
        option: None,
    },
    Forbidden {
        name: "rails db:drop",
        why: "it drops the database",
        instead: "use a `migrate` step; for an empty database make a new one by hand",
        tool: "rails",
        words: &["db:drop"],
        option: None,
    },
    Forbidden {
        name: "rails db:purge",
        why: "it empties the database",
        instead: "use a `migrate` step; for an empty database make a new one by hand",
        tool: "rails",
        words: &["db:purge"],
        option: None,
    },
    Forbidden {
        name: "rails db:truncate_all",
        why: "it empties every table",
        instead: "delete what must go by a migration that was reviewed",
        tool: "rails",
        words: &["db:truncate_all"],
        option: None,
    },
    Forbidden {
        name: "rails db:seed:replant",
        why: "it empties every table",
        instead: "delete what must go by a migration that was reviewed",
        tool: "rails",
        words: &["db:seed:replant"],
        option: None,
    },
    Forbidden {
        name: "rake db:schema:load",
        why: "it replaces the tables by empty ones",
        instead: "use a `migrate` step: it runs `rails db:migrate`",
        tool: "rake",
        words: &["db:schema:load"],
        option: None,
    },
    Forbidden {
        name: "rake db:setup",
        why: "it replaces the tables by empty ones",
        instead: "use a `migrate` step: it runs `rails db:migrate`",
        tool: "rake",
        words: &["db:setup"],
        option: None,
    },
    Forbidden {
        name: "rake db:migrate:reset",
        why: "it drops the database",
        instead: "use a `migrate` step; for an empty database make a new one by hand",
        tool: "rake",
        words: &["db:migrate:reset"],
        option: None,
    },
    Forbidden {
        name: "rake db:reset",
        why: "it drops the database",
        instead: "use a `migrate` step; for an empty database make a new one by hand",
        tool: "rake",
        words: &["db:reset"],
        option: None,
    },
    Forbidden {
        name: "rake db:drop",
        why: "it drops the database",
        instead: "use a `migrate` step; for an empty database make a new one by hand",
        tool: "rake",
        words: &["db:drop"],
        option: None,
    },
    Forbidden {
        name: "rake db:purge",
        why: "it empties the database",
        instead: "use a `migrate` step; for an empty database make a new one by hand",
        tool: "rake",
        words: &["db:purge"],
        option: None,
    },
    Forbidden {
        name: "rake db:truncate_all",
        why: "it empties every table",
        instead: "delete what must go by a migration that was reviewed",
        tool: "rake",
        words: &["db:truncate_all"],
        option: None,
    },
    Forbidden {
        name: "rake db:seed:replant",
        why: "it empties every table",
        instead: "delete what must go by a migration that was reviewed",
        tool: "rake",
        words: &["db:seed:replant"],
        option: None,
    },
    Forbidden {
        name: "django flush",
        why: "it empties every table",
        instead: "delete what must go by a migration that was reviewed",
        tool: "manage.py",
        words: &["flush"],
        option: None,
    },
    Forbidden {
        name: "django flush",
        why: "it empties every table",
        instead: "delete what must go by a migration that was reviewed",
        tool: "django-admin",
        words: &["flush"],
        option: None,
    },
    Forbidden {
        name: "django flush",
        why: "it empties every table",
        instead: "delete what must go by a migration that was reviewed",
        tool: "django",
        words: &["flush"],
        option: None,
    },
    Forbidden {
        name: "dbmate drop",
        why: "it drops the database",
        instead: "use a `migrate` step; for an empty database make a new one by hand",
        tool: "dbmate",
        words: &["drop"],
        option: None,
    },
    Forbidden {
        name: "diesel database reset",
        why: "it drops the database",
        instead: "use a `migrate` step; for an empty database make a new one by hand",
        tool: "diesel",
        words: &["database", "reset"],
        option: None,
    },
    Forbidden {
        name: "diesel database drop",
        why: "it drops the database",
        instead: "use a `migrate` step; for an empty database make a new one by hand",
        tool: "diesel",
        words: &["database", "drop"],
        option: None,
    },
    Forbidden {
        name: "diesel migration revert",
        why: "it takes back migrations with what they hold: the running version needs it, and data is lost",
        instead: "make a migration that undoes it and let a `migrate` step apply it, or restore a backup",
        tool: "diesel",
        words: &["migration", "revert"],
        option: None,
    },
    Forbidden {
        name: "diesel migration redo",
        why: "it takes back migrations with what they hold: the running version needs it, and data is lost",
        instead: "make a migration that undoes it and let a `migrate` step apply it, or restore a backup",
        tool: "diesel",
        words: &["migration", "redo"],
        option: None,
    },
    Forbidden {
        name: "sqlx database drop",
        why: "it drops the database",
        instead: "use a `migrate` step; for an empty database make a new one by hand",
        tool: "sqlx",
        words: &["database", "drop"],
        option: None,
    },
    Forbidden {
        name: "sqlx database drop",
        why: "it drops the database",
        instead: "use a `migrate` step; for an empty database make a new one by hand",
        tool: "sqlx",
        words: &["db", "drop"],
        option: None,
    },
    Forbidden {
        name: "sqlx database reset",
        why: "it drops the database",
        instead: "use a `migrate` step; for an empty database make a new one by hand",
        tool: "sqlx",
        words: &["database", "reset"],
        option: None,
    },
    Forbidden {
        name: "sqlx database reset",
        why: "it drops the database",
        instead: "use a `migrate` step; for an empty database make a new one by hand",
        tool: "sqlx",
        words: &["db", "reset"],
        option: None,
    },
    Forbidden {
        name: "flyway clean",
        why: "it drops everything in the schema",
        instead: "use a `migrate` step: it runs `flyway migrate`; for an empty database make a new one by hand",
        tool: "flyway",
        words: &["clean"],
        option: None,
    },
    Forbidden {
        name: "golang-migrate drop",
        why: "it drops everything in the database",
        instead: "use a `migrate` step; for an empty database make a new one by hand",
        tool: "migrate",
        words: &["drop"],
        option: None,
    },
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
            is_tool(word, forbidden.tool)
                && plain.windows(forbidden.words.len()).any(|window| window.iter().zip(forbidden.words).all(is_word))
                && forbidden.option.is_none_or(|option| after.iter().any(|word| word.starts_with(option)))
        })
    })
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
            ("rake db:drop", "rake db:drop"),
            ("bundle exec rake db:reset", "rake db:reset"),
            ("bin/rake db:schema:load", "rake db:schema:load"),
            ("RAILS_ENV=production bin/rails db:setup", "rails db:setup"),
            ("rails db:migrate:reset", "rails db:migrate:reset"),
            ("bundle exec rails db:schema:load:animals", "rails db:schema:load"),
            ("bin/rails db:drop:primary db:create", "rails db:drop"),
            ("rails db:seed:replant", "rails db:seed:replant"),
            ("python -m django flush --no-input", "django flush"),
            ("diesel migration redo", "diesel migration redo"),
            ("diesel --database-url x migration revert --all", "diesel migration revert"),
            ("alembic -c a.ini downgrade -1", "alembic downgrade"),
            ("pnpm dlx prisma@6 migrate reset --force", "prisma migrate reset"),
            ("yarn prisma migrate reset", "prisma migrate reset"),
            ("bunx --bun prisma migrate reset", "prisma migrate reset"),
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
            "bundle exec rake db:migrate",
            "python manage.py migrate --no-input",
            "python -m django migrate",
            "diesel migration run",
            "alembic upgrade head",
            "pnpm prisma migrate deploy",
        ] {
            assert_eq!(name(&[fine]), None, "{fine}");
            assert_eq!(name(&fine.split(' ').collect::<Vec<_>>()), None, "{fine}");
        }
    }
}
