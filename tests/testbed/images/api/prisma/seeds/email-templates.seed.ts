// Idempotent: run twice, it leaves what one run left.
import pg from 'pg'

type Template = { name: string; subject: string; body: string }

const templates: Template[] = [
  { name: 'invitation', subject: 'You may vote', body: 'The election {{election}} is open.' },
  { name: 'receipt', subject: 'Your vote was counted', body: 'Thank you for voting in {{election}}.' },
]

const client = new pg.Client({ connectionString: process.env.DATABASE_URL })
await client.connect()
for (const { name, subject, body } of templates) {
  await client.query(
    `INSERT INTO email_templates (name, subject, body) VALUES ($1, $2, $3)
     ON CONFLICT (name) DO UPDATE SET subject = excluded.subject, body = excluded.body, updated_at = now()`,
    [name, subject, body],
  )
  console.log(`email template ${name}`)
}
await client.end()
console.log(`${templates.length} email templates seeded`)
