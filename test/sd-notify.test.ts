import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { startProcess, type StartedProcess } from './helpers/process.ts'
import { answers, rawClient, request } from './helpers/raw-client.ts'
import { startReceiver } from './helpers/sd-notify.ts'
import { lacks } from './helpers/systemd.ts'
import { withoutKoffi } from './helpers/without-koffi.ts'

const skip = lacks(['python3', 'python3'])
if (skip !== false && process.env.CI === 'true') t.fail(skip)

interface Test { teardown (fn: () => unknown): void }

const host = '127.0.0.1'
const extend = 'EXTEND_TIMEOUT_USEC=5000000\nSTATUS='

async function folder (t: Test): Promise<string> {
  const path = await mkdtemp(join(tmpdir(), 'drain-'))
  t.teardown(() => rm(path, { recursive: true }))
  return path
}

interface Apps extends StartedProcess {
  /** Gives an order to an app, and waits until it is carried out. */
  tell (order: 'ready' | 'listen' | 'close', index?: number): Promise<{ port: number }>
  send (order: 'release' | 'leave', index?: number): void
  warnings (): string[]
}

/** Starts a process with apps that are registered, and listen when they are told to. */
async function startApps (
  t: Test, address: string | undefined, { apps = 1, options = {}, nodeArgs = [] }: { apps?: number, options?: object, nodeArgs?: readonly string[] } = {}
): Promise<Apps> {
  const started = startProcess(t, new URL('fixtures/sd-notify-apps.ts', import.meta.url), {
    env: {
      NOTIFY_SOCKET: address, APPS: String(apps), OPTIONS: JSON.stringify({ idleGrace: 100, peerCloseTimeout: 100, ...options }), KUBERNETES_SERVICE_HOST: undefined
    },
    nodeArgs: [...nodeArgs]
  })
  await started.message(({ type }) => type === 'registered')
  return Object.assign(Object.create(started), {
    async tell (order: string, index = 0) {
      started.child.send({ index, order })
      return started.message(message => message.type === order && message.index === index)
    },
    send: (order: string, index = 0) => { started.child.send({ index, order }) },
    warnings: () => started.lines.filter(line => line.startsWith('{')).map(line => JSON.parse(line)).filter(({ level }) => level >= 40).map(({ msg }) => msg)
  })
}

for (const kind of ['a path', 'an abstract name']) {
  t.test(`READY=1 comes to ${kind} when the app listens, and not before; nothing comes after STOPPING=1 of an idle app`, { skip }, async t => {
    const address = kind === 'a path' ? join(await folder(t), 'notify') : `@drain-test-${process.pid}`
    const receiver = await startReceiver(t, address)
    const apps = await startApps(t, address)
    await apps.tell('ready')
    await receiver.settled()
    t.same(receiver.texts, [], 'registered and ready is not listening')

    await apps.tell('listen')
    await receiver.until('READY=1')
    apps.child.kill('SIGTERM')
    t.match(await apps.exited, { code: 0 })
    await receiver.settled()
    t.match(receiver.texts, ['READY=1', 'STOPPING=1', new RegExp(`^${extend}`)])
    t.equal(receiver.received.length, 3)
    t.same(new Set(receiver.received.map(({ pid }) => pid)), new Set([apps.pid]), 'the main process says it itself: NotifyAccess=main')
    t.same(apps.warnings(), [])
  })
}

t.test('STOPPING=1 comes while new connections are still served, and the timeout is extended about once per second until the last answer', { skip }, async t => {
  const address = join(await folder(t), 'notify')
  const receiver = await startReceiver(t, address)
  const apps = await startApps(t, address, { options: { shutdownDelay: 500 } })
  const { port } = await apps.tell('listen')
  const slow = await rawClient(t, { host, port })
  slow.write(request('/held'))
  await apps.message(({ type }) => type === 'held')

  apps.child.kill('SIGTERM')
  await receiver.until('STOPPING=1')
  const late = await rawClient(t, { host, port })
  late.write(request('/', { headers: { connection: 'close' } }))
  await late.fin()
  late.halfClose()
  t.match(answers(late.received), [{ status: 200 }], 'nothing is refused yet')

  await receiver.until(`${extend}draining, 1 active`)
  const extended = (): number[] => receiver.received.filter(({ text }) => text.startsWith(extend)).map(({ at }) => at)
  while (extended().length < 4) {
    await receiver.settled()
    await new Promise(resolve => setTimeout(resolve, 50))
  }
  apps.send('release')
  await slow.until(/at last/)
  slow.halfClose()
  t.match(await apps.exited, { code: 0 })
  await receiver.settled()

  t.match(receiver.texts.slice(0, 2), ['READY=1', 'STOPPING=1'])
  t.same(receiver.texts.slice(2).filter(text => !text.startsWith(extend)), [], 'nothing else after it')
  const times = extended()
  const gaps = times.slice(1).map((at, i) => at - times[i]!)
  t.comment(`gaps of ${gaps.map(Math.round).join(', ')} ms`)
  t.ok(gaps.every(gap => gap > 500 && gap < 4000), 'about once per second, and well within the 5 s that each one gives')
})

t.test('STOPPING=1 comes with the last of several apps', { skip }, async t => {
  const address = join(await folder(t), 'notify')
  const receiver = await startReceiver(t, address)
  const apps = await startApps(t, address, { apps: 3 })
  await apps.tell('listen', 0)
  await receiver.until('READY=1')
  const { port } = await apps.tell('listen', 1)
  await apps.tell('close', 2)
  await apps.tell('close', 0)
  await receiver.settled()
  t.same(new Set(receiver.texts), new Set(['READY=1']), 'one of two that listen, and one that never has: the service goes on')

  const client = await rawClient(t, { host, port })
  client.write(request('/held'))
  await apps.message(({ type }) => type === 'held')
  apps.child.kill('SIGTERM')
  await receiver.until(extend)
  apps.send('release', 1)
  await client.until(/at last/)
  client.halfClose()
  t.match(await apps.exited, { code: 0 })
  await receiver.settled()
  t.equal(receiver.texts.filter(text => text === 'STOPPING=1').length, 1)
})

t.test('a signal that drains several apps says STOPPING=1 once', { skip }, async t => {
  const address = join(await folder(t), 'notify')
  const receiver = await startReceiver(t, address)
  const apps = await startApps(t, address, { apps: 2 })
  await apps.tell('listen', 0)
  await apps.tell('listen', 1)
  apps.child.kill('SIGTERM')
  t.match(await apps.exited, { code: 0 })
  await receiver.settled()
  t.equal(receiver.texts.filter(text => text === 'STOPPING=1').length, 1)
  t.ok(receiver.texts.indexOf('STOPPING=1') > receiver.texts.lastIndexOf('READY=1'))
})

t.test('an app that is closed says STOPPING=1, and nothing once it is closed, although the process goes on', { skip }, async t => {
  const address = join(await folder(t), 'notify')
  const receiver = await startReceiver(t, address)
  const apps = await startApps(t, address, { apps: 2 })
  await apps.tell('ready', 0)
  await apps.tell('close', 0)
  await receiver.settled()
  t.same(receiver.texts, [], 'it never listened')

  await apps.tell('listen', 1)
  await apps.tell('close', 1)
  await receiver.settled()
  const before = receiver.received.length
  t.match(receiver.texts, ['READY=1', 'STOPPING=1'])
  // Longer than it takes until the next word of a drain.
  await new Promise(resolve => setTimeout(resolve, 1200))
  await receiver.settled()
  t.equal(receiver.received.length, before)
  apps.send('leave')
  t.match(await apps.exited, { code: 0 }, 'nothing keeps the process')
})

const bad = {
  'a path where nobody is': async (t: Test) => join(await folder(t), 'nobody'),
  'a path that is too long': async () => `/${'x'.repeat(200)}`,
  'no path at all': async () => 'vsock:2:1234'
}
for (const [name, make] of Object.entries(bad)) {
  t.test(`NOTIFY_SOCKET with ${name}: one warning, and the app works`, { skip }, async t => {
    const apps = await startApps(t, await make(t))
    const { port } = await apps.tell('listen')
    const client = await rawClient(t, { host, port })
    client.write(request('/', { headers: { connection: 'close' } }))
    await client.until(/hello/)
    client.halfClose()
    apps.child.kill('SIGTERM')
    t.match(await apps.exited, { code: 0 })
    t.match(apps.warnings(), [/NOTIFY_SOCKET/])
    t.equal(apps.warnings().length, 1)
  })
}

t.test('without NOTIFY_SOCKET nobody is told, and nothing is said about it', { skip }, async t => {
  const apps = await startApps(t, undefined)
  await apps.tell('listen')
  apps.child.kill('SIGTERM')
  t.match(await apps.exited, { code: 0 })
  t.same(apps.warnings(), [])
})

t.test('without koffi one warning says that the service manager is not notified, and how to get that', { skip }, async t => {
  const address = join(await folder(t), 'notify')
  const receiver = await startReceiver(t, address)
  const apps = await startApps(t, address, { nodeArgs: withoutKoffi })
  await apps.tell('listen')
  apps.child.kill('SIGTERM')
  t.match(await apps.exited, { code: 0 })
  await receiver.settled()
  t.same(receiver.texts, [])
  t.match(apps.warnings(), [/npm install koffi.*NOTIFY_SOCKET/])
  t.equal(apps.warnings().length, 1)
})
