// One process of a service that is soaked: an app for HTTP/1.1, one for h2c and one for TLS (HTTP/2 and HTTP/1.1). It takes orders from
// the harness, and tells it what happens, at the Unix socket CONTROL. Plain JavaScript on the built package: many are started.
import websocket from '@fastify/websocket'
import Fastify from 'fastify'
import { openSync, readFileSync, writeSync } from 'node:fs'
import { connect } from 'node:net'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { setTimeout as sleep } from 'node:timers/promises'
import { ownSample } from './own-sample.js'

const { CONTROL, FOLDER, PORTS, OPTIONS, DRAIN = 'fastify-drain', FAULTS = '' } = process.env
const isSuccessor = process.env.FASTIFY_DRAIN_HANDOVER !== undefined
const { pid } = process
// What this process does wrong, so that a test can see whether it is found out.
const faults = new Set(FAULTS.split(',').filter(Boolean))

const control = connect(CONTROL)
control.on('error', () => {})
// The harness is gone, so nothing of it shall stay.
control.on('close', () => process.kill(pid, 'SIGKILL'))
control.unref()
tell('started', { pid, isSuccessor })
process.on('exit', code => tell('exit', { code }))

const ledger = openSync(join(FOLDER, `ledger-${pid}`), 'a')
const enter = (step, id) => { writeSync(ledger, `${step} ${id}\n`) }
let requests = 0

const key = readFileSync(new URL('../fixtures/tls/key.pem', import.meta.url))
const cert = readFileSync(new URL('../fixtures/tls/cert.pem', import.meta.url))
const servers = { http1: {}, h2c: { http2: true }, tls: { http2: true, https: { key, cert, allowHTTP1: true } } }
const ports = PORTS.split(',').map(Number)
const { default: drain } = faults.has('bare') ? { default: null } : await import(DRAIN)
const apps = []
const endOfBare = new AbortController()
for (const [index, [name, server]] of Object.entries(servers).entries()) await startApp(name, server, index)
tell('listening', { ports: apps.map(app => app.server.address().port) })

control.setEncoding('utf8').on('data', text => {
  for (const line of text.trim().split('\n')) if (JSON.parse(line).order === 'sample') tell('sample', ownSample())
})

async function startApp (name, server, index) {
  const app = Fastify({ logger: { level: 'warn' }, ...server })
  apps.push(app)
  if (drain === null) endOnSigterm(app)
  else await app.register(drain, JSON.parse(OPTIONS))
  await app.register(websocket)
  app.addContentTypeParser('application/octet-stream', { parseAs: 'buffer' }, (_request, body, done) => done(null, body))
  app.register(async scope => routes(scope))
  app.addHook('onClose', async () => {
    if (drain === null) return
    const { connections, ...rest } = app.drain.report
    tell('report', { app: name, report: { ...rest, connections: { ...connections, total: connections.total + Number(faults.has('report')) } } })
  })
  await app.listen({ ...(drain === null ? { fd: 3 + index } : { host: '127.0.0.1', port: ports[index] }) })
}

function routes (app) {
  const id = ({ params, query }) => {
    requests++
    enter('run', params.id)
    if (faults.has('twice') && requests % 10 === 0) enter('run', params.id)
    return sleep(Number(query.ms ?? 0), params.id)
  }
  app.get('/items/:id', id)
  app.post('/items/:id', { bodyLimit: 2 ** 22 }, async request => {
    const answer = await id(request)
    return `${answer} ${request.body.length}`
  })
  // Never run: what is sent here is too large.
  app.post('/small/:id', { bodyLimit: 1000 }, id)
  app.get('/big/:id/:size', async (request, reply) => {
    await id(request)
    reply.type('text/plain')
    return Readable.from(parts(request.params))
  })
  // Ended by itself when the drain begins, or by the plugin.
  app.get('/events/:id', async (request, reply) => {
    reply.type('text/event-stream')
    return Readable.from(events(request, drain === null ? endOfBare.signal : app.drain.signal))
  })
  app.get('/ended/:id', { config: { drain: { endStreams: 'begin', retry: [50, 200] } } }, async (request, reply) => {
    reply.type('text/event-stream')
    return Readable.from(events(request))
  })
  app.get('/ws', { websocket: true }, socket => {
    socket.on('error', () => {})
    socket.on('message', data => {
      const message = String(data)
      // Behind our close frame nothing can be said any more.
      enter(socket.readyState === 1 ? 'run' : 'late', message)
      socket.send(message)
      requests++
      if (faults.has('echo') && requests % 5 === 0) socket.send(message)
    })
  })
}

async function * parts ({ id, size }) {
  for (let left = Number(size); left > 0; left -= 2 ** 16) yield 'x'.repeat(Math.min(left, 2 ** 16))
  yield ` ${id}`
}

/** The next event after the last that the client has seen, and so on, ten in a second. */
async function * events ({ params: { id }, headers }, signal) {
  for (let n = Number(headers['last-event-id'] ?? 0) + 1; signal?.aborted !== true; n++) {
    if (faults.has('event') && n % 7 === 0) n++
    if (signal !== undefined) enter('event', `${id} ${n}`)
    yield `id: ${n}\ndata: ${pid}\n\n`
    await sleep(100, undefined, signal === undefined ? {} : { signal }).catch(() => {})
  }
}

// What most services do.
function endOnSigterm (app) {
  if (apps.length > 1) return
  process.once('SIGTERM', async () => {
    const end = () => process.exit(faults.has('code') ? 3 : 0)
    endOfBare.abort()
    // Sessions of HTTP/2 hold it for ever.
    setTimeout(end, 1000)
    await Promise.all(apps.map(each => each.close()))
    end()
  })
}

// A Unix socket takes it at once: nothing is lost when the process ends.
function tell (type, more = {}) {
  control.write(`${JSON.stringify({ type, ...more })}\n`)
}
