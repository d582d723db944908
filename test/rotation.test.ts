import t, { type Test } from 'tap'
import http from 'node:http'
import { setTimeout as sleep } from 'node:timers/promises'
import { Agent, request as undici } from 'undici'
import { eventually } from './helpers/app.ts'
import { asHttp2, servers, type Client } from './helpers/servers.ts'
import { rawClient, request } from './helpers/raw-client.ts'

const age = 1000
const maxConnectionAge = age

// Whoever hears the first GOAWAY, or reads of a close, opens no further stream and sends no further request.
const hasHeard = (client: Client): boolean => client.isTold || ('goaways' in client && asHttp2(client).goaways.length > 0)

/** Asks again and again until the server says that it will serve no more; how many it has served, and how old it was then. */
async function askUntilTold (t: Test, client: Client, pause = 20): Promise<{ served: number, after: number }> {
  const began = performance.now()
  let served = 0
  while (!hasHeard(client)) {
    if (performance.now() - began > 20_000) throw new Error('the server never said so')
    t.equal((await client.ask('/').answer()).body, 'hello')
    served++
    if (pause > 0) await sleep(pause)
  }
  return { served, after: performance.now() - began }
}

async function endsWell (t: Test, client: Client): Promise<void> {
  await client.wire.until(() => client.wire.sawEnd, 'its end')
  t.equal(client.wire.error, null)
  client.wire.end()
}

for (const server of Object.values(servers)) {
  t.test(`${server.name}: a connection in use is told when it is old, and everything that it has asked for is answered`, async t => {
    const { app, to } = await server.start(t, { maxConnectionAge })
    const [old, young] = [await server.client(t, to), await server.client(t, to)]
    const { after } = await askUntilTold(t, old)
    t.ok(after > 800, `${after} ms`)
    await endsWell(t, old)
    await askUntilTold(t, young)
    await endsWell(t, young)
    await eventually(() => Object.values(app.drain.connections).every(count => count === 0), 'none is left')
    t.equal(app.drain.phase, 'serving')
    const next = await server.client(t, to)
    t.equal((await next.ask('/').answer()).body, 'hello')
    t.notOk(next.isTold, 'a new connection is young')
    const report = await app.drain.begin('test')
    t.match(report, { requests: { served: 0 }, connections: { total: 1 } })
  })

  t.test(`${server.name}: a request that is open when its connection gets old is answered in full`, async t => {
    const { app, to } = await server.start(t, { maxConnectionAge }, app => {
      app.get('/', async () => 'hello')
      app.get('/long', async () => { await sleep(3 * age); return 'long' })
    })
    const client = await server.client(t, to)
    const long = client.ask('/long')
    t.equal((await long.answer()).body, 'long')
    if (!hasHeard(client)) await askUntilTold(t, client)
    await endsWell(t, client)
    t.equal(app.drain.phase, 'serving')
  })

  t.test(`${server.name}: the last of maxRequestsPerConnection requests tells it`, async t => {
    const { to } = await server.start(t, { maxRequestsPerConnection: 5 })
    const client = await server.client(t, to)
    for (let i = 1; i <= 5; i++) {
      t.notOk(client.isTold, `before request ${i}`)
      t.equal((await client.ask('/').answer()).body, 'hello')
    }
    await client.wire.until(() => client.isTold, 'it is told')
    await endsWell(t, client)
  })

  t.test(`${server.name}: a drain that begins while connections are being rotated ends all of them, and cuts none`, async t => {
    const { app, to } = await server.start(t, { maxConnectionAge }, app => {
      app.get('/', async () => 'hello')
      app.get('/long', async () => { await sleep(1500); return 'long' })
    })
    const [busy, idle] = [await server.client(t, to), await server.client(t, to)]
    await idle.ask('/').answer()
    const long = busy.ask('/long')
    // Both are old, or about to be.
    await sleep(1150)
    const draining = app.drain.begin('test')
    t.equal((await long.answer()).body, 'long')
    await Promise.all([busy, idle].map(client => endsWell(t, client)))
    const report = await draining
    t.match(report, { connections: { cut: 0, 'timed-out': 0, destroyed: 0 } })
    t.ok(report.phases.at(-1)!.at < 9000, JSON.stringify(report.phases))
  })

  t.test(`${server.name}: close() ends what is being rotated`, async t => {
    const { app, to } = await server.start(t, { maxConnectionAge, maxRequestsPerConnection: 2 })
    const clients = [await server.client(t, to), await server.client(t, to), await server.client(t, to)]
    await clients[0]?.ask('/').answer()
    await clients[1]?.ask('/').answer()
    await clients[1]?.ask('/').answer()
    await app.close()
    t.match(app.drain.report, { connections: { cut: 0 } })
  })
}

for (const name of ['h2c', 'h2'] as const) {
  t.test(`${name}: streams that are opened all the time lose nothing to GOAWAY`, async t => {
    const server = servers[name]
    const { to } = await server.start(t, { maxConnectionAge })
    let refused = 0
    let served = 0
    for (let session = 0; session < 3; session++) {
      const client = asHttp2(await server.client(t, to))
      const open = new Set<Promise<void>>()
      while (!hasHeard(client)) {
        const one = client.ask('/')
        const done = one.answer().then(() => { served++ }, () => { if (one.end === 'refused') refused++; else throw new Error(one.end) })
        open.add(done)
        done.finally(() => open.delete(done)).catch(() => {})
        if (open.size >= 4) await Promise.race(open)
      }
      await Promise.all(open)
      await endsWell(t, client)
    }
    t.ok(served > 100, `${served} served`)
    t.equal(refused, 0)
  })
}

t.test('h2c: an idle session that is old is closed without a request', async t => {
  const server = servers.h2c
  const { to } = await server.start(t, { maxConnectionAge })
  const [used, unused] = [asHttp2(await server.client(t, to)), asHttp2(await server.client(t, to))]
  await used.ask('/').answer()
  for (const client of [used, unused]) {
    await endsWell(t, client)
    t.equal(client.goaways.at(-1)?.code, 0)
  }
})

t.test('h2: an idle session that is old stays until its next stream, which is served and tells it', async t => {
  const { to } = await servers.h2.start(t, { maxConnectionAge })
  const clients = [asHttp2(await servers.h2.client(t, to)), asHttp2(await servers.h2.client(t, to))]
  // What it has had open at the same time, it will not have again.
  await Promise.all(Array.from({ length: 5 }, () => clients[0]!.ask('/').answer()))
  await sleep(2 * age)
  for (const client of clients) {
    t.same(client.goaways, [])
    t.equal((await client.ask('/').answer()).body, 'hello')
    await endsWell(t, client)
    t.equal(client.goaways.at(-1)?.lastStream, client === clients[0] ? 11 : 1)
  }
})

t.test('an idle connection of HTTP/1.x that is old is not closed before keepAliveTimeout', async t => {
  const { app, to } = await servers.http.start(t, { maxConnectionAge }, undefined, { keepAliveTimeout: 2500 })
  Object.assign(app.server, { keepAliveTimeoutBuffer: 0 })
  const client = await rawClient(t, to)
  const began = performance.now()
  client.write(request('/'))
  await client.until(/hello/)
  await client.fin()
  t.ok(performance.now() - began > 2000)
})

t.test('a keep-alive client of undici loses nothing over many rotations', async t => {
  const { app, to } = await servers.http.start(t, { maxRequestsPerConnection: 7, maxConnectionAge }, app => {
    app.get('/', async () => 'hello')
    app.post('/', async ({ body }) => body)
  })
  let opened = 0
  app.server.on('connection', () => { opened++ })
  const dispatcher = new Agent({ connections: 4 })
  t.teardown(() => dispatcher.close())
  const origin = `http://127.0.0.1:${to.port}`
  await Promise.all(Array.from({ length: 4 }, async () => {
    for (let i = 0; i < 100; i++) {
      const body = `body ${i}`
      const answer = await (i % 2 === 0
        ? undici(origin, { dispatcher, method: 'POST', headers: { 'content-type': 'text/plain' }, body })
        : undici(origin, { dispatcher }))
      t.equal(await answer.body.text(), i % 2 === 0 ? body : 'hello')
    }
  }))
  t.ok(opened >= 400 / 7, `${opened} connections`)
})

t.test('a pipelining client of undici loses nothing over many rotations', async t => {
  const { app, to } = await servers.http.start(t, { maxRequestsPerConnection: 7 })
  let opened = 0
  app.server.on('connection', () => { opened++ })
  const dispatcher = new Agent({ connections: 2, pipelining: 5 })
  t.teardown(() => dispatcher.close())
  await Promise.all(Array.from({ length: 20 }, async () => {
    for (let i = 0; i < 20; i++) {
      const answer = await undici(`http://127.0.0.1:${to.port}`, { dispatcher })
      t.equal(await answer.body.text(), 'hello')
    }
  }))
  t.ok(opened >= 400 / 7, `${opened} connections`)
})

t.test('a keep-alive client of http.Agent loses nothing over many rotations', async t => {
  const { app, to } = await servers.http.start(t, { maxRequestsPerConnection: 7, maxConnectionAge })
  let opened = 0
  app.server.on('connection', () => { opened++ })
  const agent = new http.Agent({ keepAlive: true, maxSockets: 4 })
  t.teardown(() => agent.destroy())
  const get = () => new Promise<string>((resolve, reject) => {
    http.get({ ...to, agent }, answer => {
      let body = ''
      answer.setEncoding('utf8').on('data', text => { body += text }).on('end', () => resolve(body))
    }).on('error', reject)
  })
  await Promise.all(Array.from({ length: 4 }, async () => {
    for (let i = 0; i < 100; i++) t.equal(await get(), 'hello')
  }))
  t.ok(opened >= 400 / 7, `${opened} connections`)
})

t.test('without the options nothing listens to the requests of the app, nor to its connections', async t => {
  const { app: without } = await servers.http.start(t)
  const { app: withBoth } = await servers.http.start(t, { maxConnectionAge, maxRequestsPerConnection: 5 })
  const { app: forever } = await servers.http.start(t, { maxConnectionAge: false, maxRequestsPerConnection: false })
  for (const event of ['request', 'connection']) {
    t.equal(forever.server.listenerCount(event), without.server.listenerCount(event), event)
    t.equal(withBoth.server.listenerCount(event), without.server.listenerCount(event) + 1, event)
  }
})
