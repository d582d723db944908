import t from 'tap'
import { once } from 'node:events'
import { createServer as createHttpServer } from 'node:http'
import { createServer, type AddressInfo } from 'node:net'
import type { Connection } from '../../lib/connection.ts'
import { Observers, type Observer } from '../../lib/observer.ts'
import type { HttpServer } from '../../lib/server.ts'
import { eventually } from '../helpers/app.ts'
import { rawClient, request, type RawClient } from '../helpers/raw-client.ts'
import { hello, setUp } from '../helpers/unit-connections.ts'
import { drainByHand } from '../helpers/unit-drain.ts'

/** Remembers what it was told. */
class Recorder implements Observer {
  isActive = true
  wantsStates = true
  readonly told: string[] = []
  readonly connections = new Set<Connection>()

  opened (connection: Connection): void { this.#tell('opened', connection) }
  changed (connection: Connection): void { this.#tell(connection.state, connection) }
  closed (connection: Connection): void { this.#tell(`closed ${connection.outcome}`, connection) }
  phase (...[phase, reason, { active }]: Parameters<Observer['phase']>): void { this.told.push(`${phase} (${reason}), ${active} active`) }
  finished ({ connections: { total } }: Parameters<Observer['finished']>[0]): void { this.told.push(`finished, ${total} in total`) }

  #tell (what: string, connection: Connection): void {
    this.told.push(what)
    this.connections.add(connection)
  }
}

t.test('an observer hears of an open, of changes and of a close, and always of the same connection', async t => {
  const observer = new Recorder()
  const { connectIdle } = await setUp(t, hello, {}, { observer: new Observers([observer]) })
  const client = await connectIdle()
  await eventually(() => observer.told.length === 3, 'the end of the answer')
  client.halfClose()
  await eventually(() => observer.told.length === 4, 'the close')
  t.same(observer.told, ['opened', 'active', 'idle', 'closed peer-closed'])
  t.equal(observer.connections.size, 1)
})

t.test('an observer that wants no states hears of opens and closes only, and nothing is kept of a connection', async t => {
  const observer = new Recorder()
  observer.wantsStates = false
  const { connectIdle, server } = await setUp(t, hello, {}, { observer: new Observers([observer]) })
  t.equal(server.listenerCount('request'), 1)
  const client = await connectIdle()
  client.halfClose()
  await eventually(() => observer.told.length === 2, 'the close')
  t.same(observer.told, ['opened', 'closed peer-closed'])
  t.equal(observer.connections.size, 2, 'an object for each moment')
})

t.test('an observer that is not active hears of nothing, until it is', async t => {
  const observer = new Recorder()
  observer.isActive = observer.wantsStates = false
  const { connections, connectIdle, server, retire } = await setUp(t, hello, {}, { observer: new Observers([observer]) })
  const before = await connectIdle()
  t.same(observer.told, [])
  observer.isActive = observer.wantsStates = true
  retire()
  t.ok(server.listenerCount('request') > 1)
  before.write(request('/'))
  await eventually(() => observer.told.includes('active'), 'a state')
  observer.isActive = observer.wantsStates = false
  const { length } = observer.told
  const after = await connectIdle()
  after.halfClose()
  await after.fin()
  await eventually(() => connections.size === 1, 'the close')
  t.equal(observer.told.length, length)
})

t.test('an observer that comes later hears of requests with the next connection, on servers that come later, too', async t => {
  const observer = new Recorder()
  observer.isActive = observer.wantsStates = false
  const { connect, listen } = await setUp(t, hello, {}, { observer: new Observers([observer]) })
  await connect()
  observer.isActive = observer.wantsStates = true
  const asks = async (client: RawClient): Promise<void> => {
    client.write(request('/'))
    await client.until(/hello/)
    await eventually(() => observer.told.at(-1) === 'idle', 'the end of the answer')
  }
  await asks(await connect())
  t.same(observer.told, ['opened', 'active', 'idle'])
  await asks(await connect(await listen(createHttpServer(hello))))
  t.same(observer.told.slice(3), ['opened', 'active', 'idle'])
})

t.test('a request that was answered early ends with its body', async t => {
  const observer = new Recorder()
  const { connect } = await setUp(t, hello, {}, { observer: new Observers([observer]) })
  const client = await connect()
  client.write(request('/', { method: 'POST', headers: { 'content-length': '3' } }))
  await client.until(/hello/)
  await eventually(() => observer.told.length === 3, 'the end of the answer')
  t.same(observer.told, ['opened', 'active', 'active'])
  client.write('all')
  await eventually(() => observer.told.length === 4, 'the end of the request')
  t.equal(observer.told.at(-1), 'idle')
})

t.test('requests are listened to once, however many want states', async t => {
  const { server, connectIdle, retire, close } = await setUp(t, hello, {}, { observer: new Observers([new Recorder(), new Recorder()]) })
  t.equal(server.listenerCount('request'), 2)
  await connectIdle()
  retire()
  await close()
  t.equal(server.listenerCount('request'), 3, 'and the drain does, too')
})

t.test('each of several observers hears what it wants to know', async t => {
  const [all, closes, none] = [new Recorder(), new Recorder(), new Recorder()]
  closes.wantsStates = false
  none.isActive = none.wantsStates = false
  const observers = new Observers([all, closes, none])
  t.match(observers, { isActive: true, wantsStates: true })
  t.match(new Observers([closes, none]), { isActive: true, wantsStates: false })
  t.match(new Observers([]), { isActive: false, wantsStates: false })
  const { connectIdle } = await setUp(t, hello, {}, { observer: observers })
  const client = await connectIdle()
  client.halfClose()
  await eventually(() => closes.told.includes('closed peer-closed'), 'the close')
  t.same(all.told, ['opened', 'active', 'idle', 'closed peer-closed'])
  t.same(none.told, [])
})

t.test('an answer that was promised to be the last goes from active to lingering', async t => {
  const observer = new Recorder()
  const { connect, retire, close, clock } = await setUp(t, hello, {}, { observer: new Observers([observer]) })
  retire()
  const client = await connect()
  await close()
  client.write(request('/'))
  await client.until(/hello/)
  await eventually(() => observer.told.at(-1) !== 'active', 'the end of the answer')
  await clock.pass(250)
  await client.fin()
  client.halfClose()
  await eventually(() => observer.told.some(what => what.startsWith('closed')), 'the close')
  t.same(observer.told.filter((what, i, all) => what !== all[i - 1]), ['opened', 'active', 'idle', 'lingering', 'closed half-closed'])
})

t.test('a second signal, after which the process ends, tells of the closes and then of the end', async t => {
  const observer = new Recorder()
  const { drain, listen } = drainByHand(t, {}, undefined, undefined, () => [observer])
  const connect = await listen()
  const client = await connect()
  client.write(request('/'))
  await eventually(() => observer.told.includes('active'), 'the request')
  drain.stop('SIGTERM')
  drain.hardStopAndFinish()
  const told = ['opened', 'active', 'lame-duck (SIGTERM), 1 active', 'aborting (SIGTERM), 1 active', 'closed cut', 'closed (SIGTERM), 0 active', 'finished, 1 in total']
  t.same(observer.told, told)
  await client.fin()
  await eventually(() => drain.connections.size === 0, 'the close of the socket')
  t.equal(observer.told.filter(what => what === 'closed cut').length, 1)
})

t.test('an observer that wants states in the middle of a lame duck hears of them when connections are closed', async t => {
  const observer = new Recorder()
  observer.isActive = observer.wantsStates = false
  const { connectIdle, retire, close } = await setUp(t, hello, {}, { observer: new Observers([observer]) })
  const client = await connectIdle()
  retire()
  observer.isActive = observer.wantsStates = true
  await close()
  client.write(request('/'))
  await client.until(/hello.*hello/s)
  await eventually(() => observer.told.length === 2, 'the end of the answer')
  t.same(observer.told, ['active', 'idle'])
})

t.test('a connection that another process has accepted is opened, and is idle', async t => {
  const observer = new Recorder()
  const { connections, server } = await setUp(t, hello, {}, { observer: new Observers([observer]) })
  const other = createServer({ pauseOnConnect: true }).listen(0, '127.0.0.1')
  t.teardown(() => other.close())
  await once(other, 'listening')
  const accepted = once(other, 'connection')
  const client = await rawClient(t, { host: '127.0.0.1', port: (other.address() as AddressInfo).port })
  const [socket] = await accepted
  const handle = socket._handle
  socket._handle = null
  connections.receive(server as HttpServer, handle, { age: 5000, requests: 3, isFresh: false })
  t.same(observer.told, ['opened', 'idle'])
  client.write(request('/'))
  await client.until(/hello/)
  await eventually(() => observer.told.length === 4, 'the end of the answer')
  t.same(observer.told, ['opened', 'idle', 'active', 'idle'])
})
