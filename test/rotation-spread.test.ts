import t from 'tap'
import { connect } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { Client } from 'undici'
import { eventually } from './helpers/app.ts'
import { startProcess } from './helpers/process.ts'
import { rawClient, request } from './helpers/raw-client.ts'
import { servers } from './helpers/servers.ts'

const replicas = 10
const clients = 200

t.test('clients that are all connected to two replicas spread over ten when their connections are old, and lose nothing', async t => {
  const apps = await Promise.all(Array.from({ length: replicas }, () => servers.http.start(t, { maxConnectionAge: 4000 }, app => {
    app.get('/', async () => 'hello')
    app.post('/', async ({ body }) => body)
  })))
  // Whoever chooses for new connections knows two of them at first, then all.
  let known = apps.slice(0, 2)
  let next = 0
  const choose = () => known[next++ % known.length]!.to
  const stopping = new AbortController()
  const lost: unknown[] = []
  let answered = 0
  let warm = 0

  const done = Promise.all(Array.from({ length: clients }, async (_, i) => {
    const client = new Client('http://127.0.0.1', {
      connect: (_options, callback) => {
        const socket = connect(choose())
        socket.once('connect', () => callback(null, socket)).once('error', error => callback(error, null))
      }
    })
    for (let n = 0; !stopping.signal.aborted; n++) {
      const body = `${i}-${n}`
      try {
        const answer = n % 2 === 0
          ? await client.request({ path: '/', method: 'POST', headers: { 'content-type': 'text/plain' }, body })
          : await client.request({ path: '/', method: 'GET' })
        const right = n % 2 === 0 ? body : 'hello'
        if (await answer.body.text() === right) answered++
        else lost.push(answer.statusCode)
      } catch (error) {
        lost.push(error)
      }
      if (n === 0) warm++
      await sleep(150 + Math.random() * 150)
    }
    await client.close()
  }))

  const largestShare = () => {
    const counts = apps.map(({ app: { drain: { connections } } }) => connections.new + connections.active + connections.idle)
    return Math.max(...counts) * replicas / counts.reduce((sum, count) => sum + count, 0)
  }

  await eventually(() => warm === clients, 'all are connected')
  t.ok(largestShare() > 4, `largest share ${largestShare()} times the fair one`)
  known = apps
  await eventually(() => largestShare() < 2, 'the largest share is less than twice the fair one')
  stopping.abort()
  await done
  t.same(lost, [])
  t.ok(answered >= clients, `${answered} answered`)
})

t.test('a process whose connections are old, told, or neither ends by itself when its app closes', async t => {
  const { child, message, exited } = startProcess(t, new URL('./fixtures/rotation-ends.ts', import.meta.url))
  const { port } = await message()
  const to = { host: '127.0.0.1', port }
  const [old, told, young] = [await rawClient(t, to), await rawClient(t, to), await rawClient(t, to)]
  for (const client of [old, told]) {
    client.write(request('/'))
    await client.until(/hello/)
  }
  await sleep(1200)
  told.write(request('/'))
  await told.until(/connection: close/i)
  young.write(request('/'))
  await young.until(/hello/)
  child.send('close')
  const clients = [old, told, young]
  await Promise.all(clients.map(async client => { await client.fin(); client.halfClose() }))
  t.match(await exited, { code: 0, signal: null })
})
