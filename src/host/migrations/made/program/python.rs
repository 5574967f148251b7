//! The calls of Alembic and Django.

use super::super::tokens::{Language, Token};
use super::{Call, Made, Read, Reader, call, name};

impl<'t> Reader<'t> {
    /// The table that a variable stands for since `with op.batch_alter_table('x') as variable`.
    pub(super) fn batch(&self, variable: &str) -> Option<String> {
        self.tables.iter().rev().find(|(known, _)| known == variable).map(|(_, table)| table.clone())
    }

    pub(super) fn of_alembic(&mut self, call: &Call<'t>) -> Option<Read> {
        let batch = self.batch(call.on?);
        let own = usize::from(batch.is_none());
        let table = |at, key| batch.clone().or_else(|| self.named(call, at, key));
        match call.name {
            "execute" | "f" | "get_bind" => {}
            "batch_alter_table" => {
                let table = self.named(call, 0, "table_name")?;
                let here = self.given(call, 1, "schema").is_none_or(|schema| *schema == [Token::Word("None")]);
                let (Some([Token::Word("as"), Token::Word(variable)]), true) = (self.tokens.get(call.end..call.end + 2), here)
                else {
                    // Whatever the variable is from here on, it is not what it was.
                    self.tables.clear();
                    return None;
                };
                self.tables.push(((*variable).to_owned(), table));
            }
            "create_table" => self.table(call)?,
            "add_column" => {
                let column = self.argument(call, own)?;
                let at = column.iter().position(|token| *token == Token::Word("Column"))?;
                let inner = tokens_of(column, at)?;
                let made = Made::Column(table(0, "table_name")?, name(inner)?);
                self.only(call)?;
                self.reading.made.push(made);
            }
            "create_index" | "create_unique_constraint" => {
                let given = self.argument(call, 0)?;
                let plain = match given {
                    [
                        Token::Word("op" | "batch_op"),
                        Token::Mark('.'),
                        Token::Word("f"),
                        Token::Mark('('),
                        inner @ ..,
                        Token::Mark(')'),
                    ] => inner,
                    _ => given,
                };
                let made = Made::Index(table(1, "table_name")?, name(plain)?);
                self.only(call)?;
                self.reading.made.push(made);
            }
            _ => return None,
        }
        Some(Read::Whole)
    }

    pub(super) fn of_django(&mut self, call: &Call<'t>) -> Option<Read> {
        match call.name {
            "CreateModel" => self.model(call)?,
            "AddField" => {
                let model = self.named(call, 0, "model_name")?;
                let column = self.column_of_field(call)?;
                self.of_model(&model, |table| Made::Column(table, column))?;
            }
            "AddIndex" => {
                let model = self.named(call, 0, "model_name")?;
                let index = self.given(call, 1, "index")?;
                let at = index.windows(2).position(|two| two == [Token::Word("name"), Token::Mark('=')])?;
                let index = name(index.get(at + 2..at + 3)?)?;
                self.of_model(&model, |table| Made::Index(table, index))?;
            }
            // What is not called on the operations themselves does nothing.
            _ if call.on != Some("migrations") || call.name == "RunSQL" => return Some(Read::Into),
            _ => return None,
        }
        Some(Read::Whole)
    }

    /// `CreateModel(name='X', …, options={'db_table': 'x'})`
    fn model(&mut self, call: &Call<'_>) -> Option<()> {
        let model = self.named(call, 0, "name")?.to_lowercase();
        let options = self.given(call, 2, "options").unwrap_or_default();
        let says = |key: &str| options.iter().position(|token| matches!(token, Token::Text { text, .. } if text == key));
        if ["managed", "proxy", "swappable"].iter().any(|key| says(key).is_some()) {
            return None;
        }
        let table = match says("db_table") {
            Some(at) => name(options.get(at + 2..at + 3)?)?,
            None if self.app.is_empty() => return None,
            None => format!("{}_{model}", self.app),
        };
        self.tables.push((model, table.clone()));
        self.reading.made.push(Made::Table(table));
        Some(())
    }

    /// Of a model that is made here the table is known; of another it may have a name of its own.
    fn of_model(&mut self, model: &str, made: impl FnOnce(String) -> Made) -> Option<()> {
        let model = model.to_lowercase();
        match self.tables.iter().find(|(known, _)| *known == model) {
            Some((_, table)) => self.reading.made.push(made(table.clone())),
            None if self.app.is_empty() => return None,
            None => self.reading.perhaps.push(made(format!("{}_{model}", self.app))),
        }
        Some(())
    }

    /// The column of a field; of one that is not Django's own nobody knows.
    fn column_of_field(&self, call: &Call<'_>) -> Option<String> {
        let field = self.named(call, 1, "name")?;
        let [Token::Word("models"), Token::Mark('.'), Token::Word(kind), told @ ..] = self.given(call, 2, "field")? else {
            return None;
        };
        if let Some(at) = told.windows(2).position(|two| two == [Token::Word("db_column"), Token::Mark('=')]) {
            return name(told.get(at + 2..at + 3)?);
        }
        match *kind {
            "ForeignKey" | "OneToOneField" => Some(format!("{field}_id")),
            kind => (kind.ends_with("Field") && kind != "ManyToManyField").then_some(field),
        }
    }
}

/// The first argument of the call that begins here.
fn tokens_of<'a, 't>(tokens: &'a [Token<'t>], at: usize) -> Option<&'a [Token<'t>]> {
    let call = call(Language::Python, tokens, at)?;
    call.arguments.first().map(|range| &tokens[range.start..range.end])
}
