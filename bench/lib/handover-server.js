// A server process that says on stdout what happens to it. A successor that it starts itself inherits that; an IPC channel it would not.
import { writeSync } from 'node:fs'
import { Socket } from 'node:net'

import { buildApp } from './app.js'
import { now } from './now.js'

const [variant, port, work] = process.argv.slice(2)
const app = buildApp({ work: Number(work) })

// Whoever asks can tell the processes apart.
app.addHook('onRequest', (request, reply, done) => {
  reply.header('x-member', process.pid)
  done()
})

app.get('/heap', async () => {
  for (let i = 0; i < 5; i++) {
    globalThis.gc()
    // What one collection only marks as free, a turn of the loop lets go.
    await new Promise(resolve => setTimeout(resolve, 20))
  }
  return { heap: process.memoryUsage().heapUsed }
})

process.on('exit', code => report('exit', { code }))
// What Node calls a pipe can be read, too. Nobody writes to this one: it ends when the bench does, or when the bench has enough.
new Socket({ fd: 1, readable: true, writable: false }).on('close', () => process.kill(process.pid, 'SIGKILL')).resume().unref()

const { install, listen = (app, options) => app.listen(options) } = await import(`../variants/${variant}.js`)
await install(app, report)
await listen(app, { host: '127.0.0.1', port: Number(port) })
report('listening', { port: app.server.address().port })

function report (event, more) {
  writeSync(1, `${JSON.stringify({ event, pid: process.pid, at: now(), ...more })}\n`)
}
