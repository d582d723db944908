import t from 'tap'
import { once } from 'node:events'
import { createServer, type AddressInfo } from 'node:net'
import { watchListen } from '../../../lib/listen/watch-listen.ts'
import { resolveOptions } from '../../../lib/options.ts'
import { native, skip } from '../../helpers/unit-native.ts'

// The first Node whose listen() takes reusePort, on every line.
const { versions } = process
Object.defineProperty(process, 'versions', { value: { ...versions, node: '22.12.0' }, configurable: true, enumerable: true })
t.teardown(() => Object.defineProperty(process, 'versions', { value: versions, configurable: true, enumerable: true }))

const { limits } = await import('../../../lib/limits.ts')
const { Listeners } = await import('../../../lib/listen/listeners.ts')
const { systemClock } = await import('../../../lib/clock.ts')
const { Sockets } = await import('../../../lib/os/sockets.ts')

const settings = resolveOptions({ reusePort: true, keepAlive: false }, {})

t.test('a Node that can share a port is told to', { skip }, async t => {
  for (const calls of [native, null]) {
    const silent = (): void => {}
    const log = { debug: silent, info: silent, warn: silent, error: silent }
    const listeners = new Listeners({ receive: () => {}, settings, native: calls, sockets: new Sockets(calls), clock: systemClock, log, inherited: [] })
    const server = createServer()
    const told: unknown[] = []
    watchListen(server, (server, options) => {
      listeners.prepare(server, options, true)
      told.push(options.reusePort, options.fd)
    })
    const options = { host: '127.0.0.1', port: 0 }
    await once(server.listen(options), 'listening')
    t.teardown(() => server.close())
    t.same(told, [true, undefined])
    t.notOk('reusePort' in options, 'the options are those of the user')
    t.ok((server.address() as AddressInfo).port > 0)
  }
})

t.test('without system calls only the way to leave is missing there', async t => {
  t.match(limits(settings, 'koffi cannot be loaded', { env: {} }), /a listener with reusePort cannot send new connections to the others before it closes/)
})
