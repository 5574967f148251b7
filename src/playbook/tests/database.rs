//! `[database]` of an inventory.

use std::path::Path;

use crate::playbook::Inventory;
use crate::protocol::{Database, Engine, Way};
use crate::secret::SecretRef;
use crate::source::Sink;

fn read(table: &str) -> Result<Option<Database>, String> {
    let text = format!("project = \"etally\"\n[hosts.a]\n[database]\n{table}\n");
    let sink = Sink::default();
    let inventory = Inventory::parse(Path::new("landfall.toml"), &text, &sink);
    let told = |diags: crate::source::Diags| diags.iter().map(|diag| diag.message.clone()).collect::<Vec<_>>().join("; ");
    sink.finish(()).map_err(told).map(|()| inventory.database)
}

#[test]
fn a_service_or_a_url() {
    let service = read("service = \"postgres\"\nname = \"etally\"\nengine = \"mariadb\"").expect("read").expect("some");
    assert_eq!((service.way, service.engine), (Way::Service("postgres".parse().expect("name")), Some(Engine::Mysql)));
    let url = read("url = { secret = \"DATABASE_URL\" }\nclient_image = \"postgres:17\"\nca = \"ca.crt\"")
        .expect("read")
        .expect("some");
    let way = Way::Url { secret: SecretRef("DATABASE_URL".into()), client_image: "postgres:17".into() };
    assert_eq!((url.way, url.ca.as_deref()), (way, Some("ca.crt")));
}

#[test]
fn what_does_not_go_together() {
    let both = "service = \"db\"\nurl = { secret = \"U\" }\nclient_image = \"x\"";
    for (table, told) in [
        ("", "[database] needs `service`"),
        ("url = { secret = \"U\" }", "[database] needs `client_image`"),
        ("url = \"postgres://db.example.com/x\"\nclient_image = \"x\"", "`url` must be a table, not a string"),
        (both, "`service` and `url` of [database] exclude each other"),
        ("service = \"db\"\nclient_image = \"x\"", "`client_image` goes with `url` only"),
        ("service = \"db\"\nca = \"x\"", "`ca` goes with `url` only"),
        ("service = \"db\"\nname = \"-x\"", "\"-x\" cannot be the name of a database"),
        ("service = \"db\"\nengine = \"oracle\"", "`engine` cannot be \"oracle\""),
    ] {
        assert_eq!(read(table).expect_err(table), told);
    }
}
