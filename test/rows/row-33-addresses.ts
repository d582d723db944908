import { rmSync } from 'node:fs'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Test } from 'tap'
import type { FastifyDrainOptions } from '../../index.ts'
import { testApp } from '../helpers/app.ts'
import type { Row } from '../helpers/rows.ts'
import type { Client, Server } from '../helpers/servers.ts'
import { leave, type To } from '../helpers/wire.ts'

async function appOn (t: Test, server: Server, options: FastifyDrainOptions, listen: { host?: string, port?: number, path?: string }) {
  const { app } = await testApp(t, options, server.options)
  app.get('/', async () => 'hello')
  await app.listen(listen)
  return app
}

/** Each client has been answered; the drain is polite to all of them. */
async function isPolite (t: Test, app: Awaited<ReturnType<typeof appOn>>, clients: Client[]): Promise<void> {
  for (const client of clients) t.match(await client.ask('/').answer(), { status: 200, body: 'hello' })
  t.equal(app.drain.connections.idle, clients.length)
  const closing = app.drain.begin('test')
  t.same(await Promise.all(clients.map(client => leave(client.wire))), clients.map(() => null), 'no RST')
  t.match(await closing, { connections: { total: clients.length, cut: 0, 'timed-out': 0, destroyed: 0 } })
}

export default {
  number: 33,
  situation: 'the same app listens on several addresses, `localhost`, a Unix socket',
  expected: 'every server’s connections are tracked and drained',
  tests: {
    'connections of both servers of localhost are tracked and drained': async (t, server) => {
      const app = await appOn(t, server, { idleGrace: 50 }, { host: 'localhost', port: 0 })
      // Where the name has one address only there is one server.
      const addresses = app.addresses() as AddressInfo[]
      await isPolite(t, app, await Promise.all(addresses.map(({ address, port }) => server.client(t, { host: address, port }))))
    },

    'connections on a Unix socket are tracked and drained': async (t, server) => {
      const path = join(tmpdir(), `fastify-drain-${process.pid}-${server.name}.sock`)
      t.teardown(() => rmSync(path, { force: true }))
      const app = await appOn(t, server, { idleGrace: 50 }, { path })
      await isPolite(t, app, [await server.client(t, { path } as unknown as To)])
    }
  }
} satisfies Row
