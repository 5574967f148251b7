//! `[database]` of an inventory: where the project's database is, and where a client of it runs.

use std::collections::BTreeSet;

use crate::protocol::{Database, Engine, Way};
use crate::secret::SecretRef;
use crate::source::{Place, Placed, Reader};

const ENGINES: [(&str, Engine); 3] = [("postgres", Engine::Postgres), ("mysql", Engine::Mysql), ("mariadb", Engine::Mysql)];

/// Reads `[database]`. None: something is wrong with it, and was told.
pub(super) fn read(reader: Reader<'_>) -> Option<Database> {
    let service = reader.name("service").map(|name| name.value);
    let url = reader.entry("url").is_some().then(|| url(&reader));
    let image = reader.text("client_image");
    let database = Database {
        engine: reader.choice("engine", &ENGINES).map(|engine| engine.value),
        name: plain(&reader, "name"),
        user: plain(&reader, "user"),
        ca: reader.text("ca").map(|ca| ca.value),
        way: match (service, url, &image) {
            (Some(service), None, None) => Way::Service(service),
            (None, Some(Some(secret)), Some(image)) => Way::Url { secret, client_image: image.value.clone() },
            (service, url, image) => {
                let place = reader.place();
                match (service.is_some() || reader.entry("service").is_some(), url.is_some(), image.is_some()) {
                    (true, true, _) => {
                        let help = "keep the one that is meant: a service of the project, or a database elsewhere";
                        reader.error(place, "`service` and `url` of [database] exclude each other", help);
                    }
                    (true, false, true) => {
                        let help = "leave it out: with `service` psql runs in the database's own container";
                        reader.error(&reader.place_of("client_image"), "`client_image` goes with `url` only", help);
                    }
                    (false, true, false) => reader.missing(
                        "client_image",
                        "say which image holds psql or mysql: client_image = \"postgres:17\"; it must be on the host",
                    ),
                    (false, false, _) => reader.missing(
                        "service",
                        "say where psql runs: service = \"postgres\"; or url = { secret = \"DATABASE_URL\" } and client_image",
                    ),
                    _ => {}
                }
                reader.entry("ca");
                reader.finish();
                return None;
            }
        },
    };
    if database.ca.is_some() && matches!(database.way, Way::Service(_)) {
        let help = "leave it out: inside the database's own container there is no network to guard against";
        reader.error(&reader.place_of("ca"), "`ca` goes with `url` only", help);
    }
    reader.finish();
    Some(database)
}

fn url(reader: &Reader<'_>) -> Option<SecretRef> {
    let table = reader.table("url", "`url`")?;
    let secret = table.text("secret");
    if table.entry("secret").is_none() {
        table.missing("secret", "name it: url = { secret = \"DATABASE_URL\" }");
    }
    table.finish();
    secret.map(|secret| SecretRef(secret.value))
}

/// A word that may stand in an argv.
fn plain(reader: &Reader<'_>, key: &'static str) -> Option<String> {
    let text: Placed<String> = reader.text(key)?;
    if text.value.is_empty() || text.value.starts_with('-') || text.value.contains(|c: char| c.is_control()) {
        let place: &Place = &text.place;
        reader.error(place, format!("{:?} cannot be the {key} of a database", text.value), "write it as the server knows it");
        return None;
    }
    Some(text.value)
}

/// What it says that is not secret.
pub(super) fn words(database: &Database) -> BTreeSet<String> {
    let mut words: BTreeSet<String> = database.name.iter().chain(&database.user).cloned().collect();
    words.insert(match &database.way {
        Way::Service(service) => service.to_string(),
        Way::Url { client_image, .. } => client_image.clone(),
    });
    words
}
