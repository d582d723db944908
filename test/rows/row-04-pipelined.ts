import type { FastifyInstance } from 'fastify'
import { eventually } from '../helpers/app.ts'
import type { Row } from '../helpers/rows.ts'
import { leave } from '../helpers/wire.ts'

/** Requests that wait until they are told to go on. */
function waitingRoom (): { executed: string[], routes (app: FastifyInstance): void, go (url: string): void } {
  const waiting = new Map<string, () => void>()
  const executed: string[] = []
  return {
    executed,
    go (url) { waiting.get(url)?.() },
    routes (app) {
      app.get('/:name', async ({ url }) => {
        executed.push(url)
        await new Promise<void>(resolve => { waiting.set(url, resolve) })
        return url
      })
    }
  }
}

export default {
  number: 4,
  situation: 'pipelined A, B (HTTP/2: two streams at once)',
  expected: 'A answered with close; B answered or never executed; no RST before A is read',
  tests: {
    'two requests that are under way when the drain begins are both answered, whichever is ready first': async (t, server) => {
      const { executed, routes, go } = waitingRoom()
      const { app, to } = await server.start(t, { idleGrace: 0 }, routes)
      const client = await server.client(t, to)
      const [a, b] = [client.prepare('/a'), client.prepare('/b')]
      client.wire.write(Buffer.concat([a.bytes, b.bytes]))
      await eventually(() => executed.length === 2, 'both are under way')
      const closing = app.drain.begin('test')
      go('/b')
      await new Promise(resolve => setImmediate(resolve))
      go('/a')
      t.match(await a.answer(), { status: 200, body: '/a' })
      t.match(await b.answer(), { status: 200, body: '/b' })
      t.equal(await leave(client.wire), null, 'no RST')
      t.ok(client.isTold)
      t.match(await closing, { requests: { served: 2 }, connections: { total: 1, cut: 0, destroyed: 0 } })
    },

    'a request that comes after the drain began, behind one that is pending, is answered, or refused and never executed': async (t, server) => {
      const { executed, routes, go } = waitingRoom()
      const { app, to } = await server.start(t, { idleGrace: 0 }, routes)
      const client = await server.client(t, to)
      const a = client.ask('/a')
      await eventually(() => executed.length === 1, 'the first is under way')
      const closing = app.drain.begin('test')
      const b = client.ask('/b')
      // On HTTP/1.x nothing tells that it has arrived, since nothing must happen.
      if (server.isHttp2) await eventually(() => executed.length === 2 || b.end !== 'open', 'the second has arrived')
      else await new Promise(resolve => setTimeout(resolve, 50))
      go('/a')
      go('/b')
      t.match(await a.answer(), { status: 200, body: '/a' })
      t.equal(await leave(client.wire), null, 'no RST')
      t.equal(b.end, executed.includes('/b') ? 'served' : 'refused')
      const served = executed.length
      if (!server.isHttp2) t.same(executed, ['/a'])
      t.match(await closing, { requests: { served }, connections: { total: 1, cut: 0, destroyed: 0 } })
    }
  }
} satisfies Row
