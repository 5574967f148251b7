// Idempotent: run twice, it leaves what one run left.
import pg from 'pg'

const configurations: Record<string, string> = {
  'ballot.max_choices': '1',
  'results.publish': 'after-close',
  'session.minutes': '30',
}

const client = new pg.Client({ connectionString: process.env.DATABASE_URL })
await client.connect()
for (const [key, value] of Object.entries(configurations)) {
  await client.query(
    `INSERT INTO configurations (key, value) VALUES ($1, $2)
     ON CONFLICT (key) DO UPDATE SET value = excluded.value, updated_at = now()`,
    [key, value],
  )
  console.log(`configuration ${key}`)
}
await client.end()
console.log(`${Object.keys(configurations).length} configurations seeded`)
