// The API that a release of the testbed rolls out: healthy only when the database has what this version needs.
import http from 'node:http'
import pg from 'pg'

const version = process.env.APP_VERSION
const table = process.env.APP_NEWEST_TABLE
const pool = new pg.Pool({ connectionString: process.env.DATABASE_URL, max: 4, connectionTimeoutMillis: 3000 })
pool.on('error', (error) => console.error(`database: ${error.message}`))

async function health() {
  try {
    const { rows } = await pool.query('SELECT to_regclass($1) IS NOT NULL AS present', [`public.${table}`])
    if (rows[0].present) return { status: 'ok', version, database: 'ok' }
    return { status: 'unavailable', version, reason: `table ${table} is missing` }
  } catch (error) {
    return { status: 'unavailable', version, reason: `database: ${error.code ?? error.message}` }
  }
}

const routes = {
  '/health': health,
  '/configurations': async () => (await pool.query('SELECT key, value FROM configurations ORDER BY key')).rows,
}

const server = http.createServer(async (request, response) => {
  const send = (code, body) => {
    response.writeHead(code, { 'content-type': 'application/json' })
    response.end(`${JSON.stringify(body)}\n`)
  }
  const route = routes[request.url]
  if (!route) return send(404, { error: 'not found' })
  try {
    const body = await route()
    if (request.url !== '/health') console.log(`${request.method} ${request.url}`)
    send(body.status === 'unavailable' ? 503 : 200, body)
  } catch (error) {
    send(500, { error: error.message })
  }
})
server.listen(3000, () => console.log(`etally api, version ${version}, listening on 3000`))

// PID 1 of its container has no default action for these.
for (const signal of ['SIGTERM', 'SIGINT']) process.on(signal, () => process.exit(0))
