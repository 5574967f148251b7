import http from 'node:http'

const answer = { status: 'starting', version: process.env.APP_VERSION, reason: 'warming up' }
http
  .createServer((_, response) => {
    response.writeHead(503, { 'content-type': 'application/json' })
    response.end(`${JSON.stringify(answer)}\n`)
  })
  .listen(3000, () => console.log('etally api, version 4, warming up'))
for (const signal of ['SIGTERM', 'SIGINT']) process.on(signal, () => process.exit(0))
