#!/usr/bin/env node
// Prisma 7 downloads its native schema engine from a host of its own, which a closed network cannot reach. This stand-in
// speaks that engine's JSON-RPC on standard input and output, and runs the same Rust core compiled to WebAssembly
// (@prisma/schema-engine-wasm) through @prisma/adapter-pg. PRISMA_SCHEMA_ENGINE_BINARY points at it.
import fs from 'node:fs'
import path from 'node:path'
import readline from 'node:readline'
import { PrismaPg } from '@prisma/adapter-pg'
import { bindMigrationAwareSqlAdapterFactory } from '@prisma/driver-adapter-utils'
import pg from 'pg'

const argv = process.argv.slice(2)
const datamodels = []
let datasource = {}
let cli = null
for (let i = 0; i < argv.length; i++) {
  if (argv[i] === '--datamodels') datamodels.push(argv[++i])
  else if (argv[i] === '--datasource') datasource = JSON.parse(argv[++i])
  else if (argv[i] === 'cli') cli = argv[++i]
  else if (argv[i] === '--version') {
    console.log('schema-engine-cli stand-in')
    process.exit(0)
  } else if (argv[i].startsWith('--')) i++
}

const url = new URL(datasource.url)
const reply = (body) =>
  process.stdout.write(
    `${JSON.stringify({ jsonrpc: '2.0', ...body }, (_, value) =>
      value instanceof Map ? Object.fromEntries(value) : typeof value === 'bigint' ? Number(value) : value,
    )}\n`,
  )
const logError = (message, error_code) =>
  process.stderr.write(
    `${JSON.stringify({
      timestamp: new Date().toISOString(),
      level: 'ERROR',
      target: 'schema_engine::logger',
      fields: { message, is_panic: false, error_code },
    })}\n`,
  )

// `cli can-connect-to-database` and `cli create-database`
if (cli) {
  const database = url.pathname.slice(1)
  const server = `${url.hostname}:${url.port || 5432}`
  try {
    const client = new pg.Client({ connectionString: url.href })
    await client.connect()
    await client.end()
    process.exit(0)
  } catch (error) {
    if (error.code !== '3D000')
      logError(
        `Can't reach database server at \`${server}\`\n\nPlease make sure your database server is running at \`${server}\`.`,
        'P1001',
      )
    else if (cli === 'create-database') {
      const admin = new URL(url)
      admin.pathname = '/postgres'
      const client = new pg.Client({ connectionString: admin.href })
      await client.connect()
      await client.query(`CREATE DATABASE "${database}"`)
      await client.end()
      process.exit(0)
    } else logError(`Database \`${database}\` does not exist`, 'P1003')
    process.exit(1)
  }
}

const wasm = new URL('./node_modules/@prisma/schema-engine-wasm', import.meta.url).pathname
const runtime = await import(path.join(wasm, 'schema_engine_bg.js'))
const instance = new WebAssembly.Instance(
  new WebAssembly.Module(fs.readFileSync(path.join(wasm, 'schema_engine_bg.wasm'))),
  { './schema_engine_bg.js': runtime },
)
runtime.__wbg_set_wasm(instance.exports)
instance.exports.__wbindgen_start()

const factory = new PrismaPg({ connectionString: url.href, idleTimeoutMillis: 100 })
for (const method of ['connect', 'connectToShadowDb']) {
  const original = factory[method].bind(factory)
  factory[method] = async (...args) => {
    const connection = await original(...args)
    const performIO = connection.performIO.bind(connection)
    connection.performIO = async (query) => {
      const result = await performIO(query)
      // "char" and its arrays, which the adapter does not know, are text to the engine.
      for (const field of result.fields || []) {
        if (field.dataTypeID === 18) field.dataTypeID = 25
        else if (field.dataTypeID === 1002 || field.dataTypeID === 1003) field.dataTypeID = 1009
      }
      return result
    }
    // A script goes to PostgreSQL whole, as from the native engine: one implicit transaction.
    connection.executeScript = async function (script) {
      try {
        await this.client.query(script)
      } catch (error) {
        this.onError(error)
      }
    }
    return connection
  }
}
const engine = await runtime.SchemaEngine.new(
  { datamodels: datamodels.length ? datamodels.map((file) => [file, fs.readFileSync(file, 'utf8')]) : undefined },
  () => {},
  bindMigrationAwareSqlAdapterFactory(factory),
)

let pending = 0
const lines = readline.createInterface({ input: process.stdin })
lines.on('line', async (line) => {
  let request
  try {
    request = JSON.parse(line)
  } catch {
    return
  }
  if (!request.method) return
  pending++
  try {
    const result = await engine[request.method](request.params)
    if (request.method === 'diff' && result?.stdout)
      reply({ id: 9999, method: 'print', params: { content: result.stdout } })
    reply({ id: request.id, result: result ?? null })
  } catch (error) {
    const data = { is_panic: false, message: String(error.message), error_code: error.code, meta: error.meta }
    reply({ id: request.id, error: { code: 4466, message: 'An error happened. Check the data field for details.', data } })
  }
  pending--
})
lines.on('close', () => setInterval(() => pending <= 0 && process.exit(0), 20))
