import t from 'tap'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { createServer, type Server } from 'node:net'
import { join } from 'node:path'
import { handOver, type Member } from '../../../lib/handover/handover.ts'
import type { Movable, Mover } from '../../../lib/handover/mover.ts'
import type { PassedListener } from '../../../lib/listen/inherited.ts'
import { Child } from '../../../lib/handover/successor.ts'
import { descriptorOf } from '../../../lib/os/descriptor.ts'
import { handleOf } from '../../../lib/os/handle.ts'
import { eventually } from '../../helpers/app.ts'
import { FakeClock } from '../../helpers/fake-clock.ts'
import { socketPair } from '../../helpers/socket-pair.ts'

interface Teardown { teardown (fn: () => unknown): void }

async function listening (t: Teardown): Promise<Server> {
  const server = createServer()
  await once(server.listen(0, '127.0.0.1'), 'listening')
  t.teardown(() => server.close())
  return server
}

// Not kept by anybody: it ends with its channel.
const prelude = `
  const say = message => process.send({ 'fastify-drain': message })
  const on = (type, fn) => process.on('message', ({ 'fastify-drain': order }) => { if (order.type === type) fn(order) })
  const ready = (...listeners) => say({ type: 'ready', listeners })
  process.on('message', () => {})
  process.on('error', () => {})
  process.on('disconnect', () => process.exit())
  say({ type: 'hello', speaks: [1] });
`

const stays = 'process.removeAllListeners("disconnect"); process.on("SIGTERM", () => {}); setInterval(() => {}, 1000)'

/** Apps with these servers, and a successor that runs this script. `happened` is what the apps were told. */
async function setUp (t: Teardown, script: string, { servers = [], readyTimeouts = [30_000], execPath = process.execPath, saysHello = true }: { servers?: Server[], readyTimeouts?: number[], execPath?: string, saysHello?: boolean } = {}) {
  const clock = new FakeClock()
  const happened: string[] = []
  const logged: string[] = []
  const to = (level: string) => (fields: object, message: string) => { logged.push(`${level}: ${message}${'err' in fields ? ` (${(fields.err as Error).message})` : ''}`) }
  const log = { debug: to('debug'), info: to('info'), warn: to('warn'), error: to('error') }
  const closing = new AbortController()
  const all = servers.length > 0 ? servers : [await listening(t)]
  let departed: { mover: Mover, listenerOf: (server: Server) => number | undefined } | null = null
  const onDepart: Array<(mover: Mover) => void> = []
  let pid: number | null = null

  const members: Member[] = readyTimeouts.map((readyTimeout, i) => ({
    log,
    signal: false,
    readyTimeout,
    closing: closing.signal,
    passed: () => new Map(all.filter((_server, j) => j % readyTimeouts.length === i).map(server => [server, passedOf(server)])),
    begun: () => { happened.push('begun') },
    depart (mover, listenerOf) {
      happened.push('depart')
      departed = { mover, listenerOf }
      for (const fn of onDepart) fn(mover)
      return () => { happened.push('stay') }
    },
    succeeded: successor => { pid = successor; happened.push('succeeded') },
    failed: () => { happened.push('failed') }
  }))
  const running = handOver(members, {
    clock,
    start: passed => new Child({ execPath, args: ['-e', (saysHello ? prelude : '') + script], cwd: process.cwd(), env: {} }, passed, clock),
    endProcess: () => { happened.push('end') }
  })
  running.catch(() => {})
  // A successor does not keep this process, and a test waits for it.
  const waiting = setInterval(() => {}, 60_000)
  t.teardown(() => {
    clearInterval(waiting)
    if (pid !== null && isAlive(pid)) process.kill(pid, 'SIGKILL')
  })
  return { clock, happened, logged, closing, running, servers: all, onDepart, departed: () => departed }
}

function passedOf (server: Server): PassedListener {
  return { fd: descriptorOf(server) as number, name: '', anyPort: true }
}

function isAlive (pid: number): boolean {
  try {
    return process.kill(pid, 0)
  } catch {
    return false
  }
}

/** The process that a line of the log names. */
function successorOf (logged: string[]): number {
  return Number(/process (\d+) is starting/.exec(logged.join('\n'))?.[1])
}

const gone = (logged: string[]): Promise<void> => eventually(() => !isAlive(successorOf(logged)), 'the successor has ended')

const goesOn = 'this process goes on serving; see the output of its successor, mend the cause and begin again'

t.test('a process that listens on nothing has nothing to hand over', async t => {
  for (const [members, message] of [
    [[], 'fastify-drain: no handover: this process is closing; begin in one that serves'],
    [[{ passed: () => new Map() } as Member], 'fastify-drain: no handover: this process listens on nothing; begin when app.listen() has resolved']
  ] as const) {
    await t.rejects(handOver([...members], { clock: new FakeClock(), start: () => t.fail('started') as never, endProcess () {} }), {
      code: 'FST_DRAIN_HANDOVER',
      message
    })
  }
})

t.test('a successor that the kernel does not start at all is an error like every other', async t => {
  const { happened, logged, running, clock } = await setUp(t, `//${'x'.repeat(200_000)}`)
  await t.rejects(running, { code: 'FST_DRAIN_HANDOVER', message: `fastify-drain: no handover: the successor cannot be started: spawn E2BIG; ${goesOn}` })
  t.same([happened, logged, clock.timers], [[], [], 0])
})

t.test('when the successor is ready the connections leave, and then the process', async t => {
  const servers = [await listening(t), await listening(t), await listening(t)]
  const { clock, happened, logged, running, departed } = await setUp(t, 'ready(4, 6)', { servers, readyTimeouts: [30_000, 30_000] })
  t.same(happened, ['begun', 'begun'])
  const pid = await running
  t.equal(pid, successorOf(logged))
  t.ok(isAlive(pid))
  t.same(happened, ['begun', 'begun', 'depart', 'depart', 'succeeded', 'succeeded', 'end'])
  t.same(logged, [`info: handover: process ${pid} is starting`, `info: handover: process ${pid} has taken over after 0 ms`])
  t.equal(clock.timers, 0)
  // The first app has the first and the third one, of which the third, descriptor 5, is not wanted any more.
  t.strictSame(servers.map(server => departed()?.listenerOf(server)), [4, 6, undefined])
})

t.test('a successor that ends afterwards ends the service: that is an error, and what is still here stays', async t => {
  const { clock, happened, logged, running } = await setUp(t, 'ready(4); on("forget", () => {}); setInterval(() => {}, 1000)')
  const pid = await running
  happened.splice(0)
  process.kill(pid, 'SIGKILL')
  await eventually(() => happened.length > 0, 'it was told')
  t.same(happened, ['stay', 'failed'])
  t.match(logged.slice(-1), [/^error: handover: the successor has ended before its predecessor; .* \(.*it was ended by SIGKILL; this process goes on serving/])
  await clock.pass(60_000)
  t.same(happened, ['stay', 'failed'], 'once')
})

for (const [what, script, message] of [
  ['ends', 'process.exit(7)', `it has ended with code 7; ${goesOn}`],
  ['is killed', 'process.kill(process.pid, "SIGKILL")', `it was ended by SIGKILL; ${goesOn}`],
  ['speaks only another version', 'say({ type: "hello", speaks: [2, 3] })', 'it takes over by version 2, 3 of the protocol, which this process does not speak; restart the service in the ordinary way once']
] as const) {
  t.test(`row 31: http: when the successor ${what} this process goes on`, async t => {
    const { clock, happened, logged, running } = await setUp(t, script)
    await t.rejects(running, { code: 'FST_DRAIN_HANDOVER', message: `fastify-drain: no handover: ${message}` })
    t.same(happened, ['begun', 'failed'])
    await gone(logged)
    await eventually(() => clock.timers <= 1, 'it was seen')
    await clock.pass(60_000)
    t.same(happened, ['begun', 'failed'])
    t.equal(clock.timers, 0)
  })
}

t.test('a successor that is closing gets no second signal, which would cut what it serves', async t => {
  const { happened, logged, running } = await setUp(t, 'process.removeAllListeners("disconnect"); process.on("SIGTERM", () => process.exit(9)); say({ type: "leaving" }); setTimeout(() => process.exit(0), 300)')
  await t.rejects(running, { code: 'FST_DRAIN_HANDOVER', message: `fastify-drain: no handover: it is closing; ${goesOn}` })
  t.same(happened, ['begun', 'failed'])
  await new Promise(resolve => setTimeout(resolve, 100))
  t.ok(isAlive(successorOf(logged)))
  await gone(logged)
})

t.test('a successor that cannot be started is an error like any other', async t => {
  const { clock, happened, running } = await setUp(t, '', { execPath: '/does/not/exist' })
  await t.rejects(running, { code: 'FST_DRAIN_HANDOVER', message: /no handover: it cannot be started: .*ENOENT/ })
  t.same(happened, ['begun', 'failed'])
  await clock.pass(60_000)
  t.equal(clock.timers, 0)
})

t.test('a successor has the shortest of the times that the apps give it', async t => {
  const servers = [await listening(t), await listening(t)]
  const { clock, happened, logged, running } = await setUp(t, '', { servers, readyTimeouts: [3000, 2000] })
  await clock.pass(1999)
  t.same(happened, ['begun', 'begun'])
  await clock.pass(1)
  await t.rejects(running, { message: 'fastify-drain: no handover: it was not ready after 2000 ms; let it listen sooner, or set "readyTimeout" to more' })
  t.same(happened, ['begun', 'begun', 'failed', 'failed'])
  await gone(logged)
})

t.test('a successor that closes its channel and lives has failed; one that ends is given the time to say how', async t => {
  const lives = await setUp(t, 'process.removeAllListeners("disconnect"); process.disconnect(); setInterval(() => {}, 1000)')
  await eventually(() => lives.clock.timers === 2, 'the end of the channel was seen')
  await lives.clock.pass(500)
  await t.rejects(lives.running, { message: `fastify-drain: no handover: it has closed the channel to its predecessor; ${goesOn}` })
  await gone(lives.logged)

  const ends = await setUp(t, 'process.removeAllListeners("disconnect"); process.disconnect(); process.on("exit", () => { process.exitCode = 9 })')
  await t.rejects(ends.running, { message: `fastify-drain: no handover: it has ended with code 9; ${goesOn}` })
  await ends.clock.pass(500)
})

t.test('a process that is told to close meanwhile closes, and so does its successor', async t => {
  const { happened, logged, closing, running } = await setUp(t, 'setInterval(() => {}, 1000)')
  closing.abort()
  await t.rejects(running, { message: 'fastify-drain: no handover: this process was told to close meanwhile; its successor closes as well' })
  t.same(happened, ['begun', 'failed'])
  await gone(logged)
})

t.test('a process that is told to close while connections move asks its successor to close, without a signal that may be its second one', async t => {
  const item = await movable(t)
  const { closing, logged, onDepart, running } = await setUp(t,
    'process.removeAllListeners("disconnect"); process.on("SIGTERM", () => process.exit(9)); on("close", () => setTimeout(() => process.exit(0), 300)); ready(4); setInterval(() => {}, 1000)')
  onDepart.push(mover => {
    mover.offer(item)
    closing.abort()
  })
  await t.rejects(running, { message: /this process was told to close meanwhile/ })
  await new Promise(resolve => setTimeout(resolve, 100))
  t.ok(isAlive(successorOf(logged)))
  await gone(logged)
})

t.test('what happens to the app when the successor has taken over does not concern the handover', async t => {
  const { happened, closing, running } = await setUp(t, 'ready(4)')
  await running
  closing.abort()
  await new Promise(resolve => setImmediate(resolve))
  t.same(happened, ['begun', 'depart', 'succeeded', 'end'])
})

/** A connection that is free, and what was done with it. */
async function movable (t: Teardown): Promise<Movable & { done: string[] }> {
  const { socket } = await socketPair(t)
  const done: string[] = []
  return {
    listener: 4,
    get handle () { return handleOf(socket) },
    isFree: true,
    done,
    describe: () => ({ age: 0, requests: 0, isFresh: true }),
    release: () => { done.push('released') },
    keep: () => { done.push('kept') }
  }
}

t.test('it has not taken over before everything that is free has moved', async t => {
  const item = await movable(t)
  const { happened, onDepart, running } = await setUp(t, 'ready(4); on("offer", ({ id }) => say({ type: "have", id })); on("yours", () => setTimeout(() => say({ type: "took", ids: [1] }), 50))')
  onDepart.push(mover => mover.offer(item))
  await eventually(() => item.done.length > 0, 'it was given away')
  t.same(happened, ['begun', 'depart'])
  await running
  t.same(item.done, ['released'])
})

t.test('a successor that takes no connection is stuck: what it was not given stays, and it drains what it has accepted itself', async t => {
  const item = await movable(t)
  const { clock, happened, logged, onDepart, running } = await setUp(t, `ready(4); ${stays}`)
  onDepart.push(mover => mover.offer(item))
  await eventually(() => happened.includes('depart'), 'it was offered')
  await clock.pass(5000)
  await t.rejects(running, { message: `fastify-drain: no handover: it takes no more connections; ${goesOn}` })
  t.same(happened, ['begun', 'depart', 'stay', 'failed'])
  t.same(item.done, ['kept'])
  await clock.pass(59_999)
  t.ok(isAlive(successorOf(logged)))
  await clock.pass(1)
  await gone(logged)
})

t.test('a successor that has not said a word can have no connection, and has to end soon', async t => {
  const file = join(t.testdir(), 'loaded')
  const { clock, logged, running } = await setUp(t, `${stays}; require('node:fs').writeFileSync(${JSON.stringify(file)}, '')`, { saysHello: false })
  await eventually(() => existsSync(file), 'it has loaded')
  await clock.pass(30_000)
  await t.rejects(running, { message: /it was not ready after 30000 ms/ })
  await clock.pass(4999)
  t.ok(isAlive(successorOf(logged)))
  await clock.pass(1)
  await gone(logged)
})

t.test('a successor that has been given connections gets the time to drain them', async t => {
  const [first, second] = [await movable(t), await movable(t)]
  const { clock, happened, logged, onDepart, running } = await setUp(t, `ready(4); on("offer", ({ id }) => { if (id === 1) say({ type: "have", id }) }); ${stays}`)
  onDepart.push(mover => { mover.offer(first); mover.offer(second) })
  await eventually(() => first.done.length > 0, 'the first one was given away')
  await clock.pass(5000)
  await t.rejects(running, { message: /it takes no more connections/ })
  t.same([first.done, second.done], [['released'], ['kept']])
  t.same(happened, ['begun', 'depart', 'stay', 'failed'])
  await clock.pass(59_999)
  t.ok(isAlive(successorOf(logged)))
  await clock.pass(1)
  await gone(logged)
})

t.test('the first thing that goes wrong is the one that counts', async t => {
  const { closing, clock, happened, logged, running } = await setUp(t, '')
  closing.abort()
  await clock.pass(30_000)
  await t.rejects(running, { message: /told to close meanwhile/ })
  t.same(happened, ['begun', 'failed'])
  await gone(logged)
})

t.test('a channel that closes while connections move is the end of the handover; what was not given away stays', async t => {
  const item = await movable(t)
  const { clock, happened, logged, onDepart, running } = await setUp(t, 'ready(4); on("offer", () => { process.removeAllListeners("disconnect"); process.disconnect() }); setInterval(() => {}, 1000)')
  onDepart.push(mover => mover.offer(item))
  await eventually(() => item.done.length > 0, 'the end of the channel was seen')
  t.same([item.done, happened], [['kept'], ['begun', 'depart']])
  await clock.pass(500)
  await t.rejects(running, { message: `fastify-drain: no handover: it has closed the channel to its predecessor; ${goesOn}` })
  t.same(happened, ['begun', 'depart', 'stay', 'failed'])
  await gone(logged)
})

t.test('a successor that closes the channel when it has taken over is the service; what is still here stays', async t => {
  const { clock, happened, logged, running } = await setUp(t, 'ready(4); setTimeout(() => { process.removeAllListeners("disconnect"); process.disconnect() }, 200); setInterval(() => {}, 1000)')
  await running
  happened.splice(0)
  await eventually(() => clock.timers > 0, 'the end of the channel was seen')
  await clock.pass(500)
  t.same(happened, ['stay'])
  t.match(logged.at(-1), /^error: handover: the successor serves, but what is left here cannot go to it any more; this process drains it \(.*it has closed the channel/)
  t.ok(isAlive(successorOf(logged)))
})
