import t from 'tap'
import { once } from 'node:events'
import { readFile } from 'node:fs/promises'
import http2 from 'node:http2'
import { join } from 'node:path'
import { loadNative } from '../lib/os/native.ts'
import { startProcess, type StartedProcess } from './helpers/process.ts'
import { answers, rawClient, request } from './helpers/raw-client.ts'
import { skip as skipNative } from './helpers/unit-native.ts'

/** Starts an example on a free port. */
async function start (t: { teardown (fn: () => unknown): void }, name: string, env: Record<string, string> = {}): Promise<{ example: StartedProcess, to: { host: string, port: number } }> {
  const example = startProcess(t, new URL(`../examples/${name}`, import.meta.url), { env: { PORT: '0', ...env } })
  const line = await lineWith(example, 'Server listening at')
  const { hostname, port } = new URL(/http:[^"]+/.exec(line)?.[0] ?? '')
  return { example, to: { host: hostname, port: Number(port) } }
}

function lineWith (example: StartedProcess, text: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const look = (): void => {
      const line = example.lines.find(line => line.includes(text))
      if (line !== undefined) resolve(line)
    }
    look()
    example.child.stdout?.on('data', look)
    example.exited.then(() => { look(); reject(new Error(`no line with ${text}\n${example.lines.join('\n')}\n${example.stderr}`)) })
  })
}

t.test('examples/basic.ts answers a slow request after SIGTERM, and exits with 0', async t => {
  const { example, to } = await start(t, 'basic.ts')
  const client = await rawClient(t, to)
  client.write(request('/'))
  await client.until(/world/)
  client.write(request('/slow'))
  // The request has been read when another one on a second connection is answered.
  const second = await rawClient(t, to)
  second.write(request('/'))
  await second.until(/world/)
  example.child.kill('SIGTERM')
  await client.until(/"slow":true/)
  t.match(client.received, /connection: close/i)
  client.halfClose()
  second.halfClose()
  t.match(await example.exited, { code: 0, signal: null })
})

t.test('examples/shutdown.ts fails its readiness, ends its event stream and leaves a report', async t => {
  const file = join(t.testdir(), 'drain.json')
  const { example, to } = await start(t, 'shutdown.ts', { REPORT: file })
  const events = await rawClient(t, to)
  events.write(request('/events'))
  await events.until(/data: \d+/)
  const before = await rawClient(t, to)
  before.write(request('/readyz'))
  await before.until(/^HTTP\/1.1 200 /)

  example.child.kill('SIGTERM')
  await events.until(/event: bye/)
  const during = await rawClient(t, to)
  during.write(request('/readyz'))
  t.match(await during.until(/^HTTP\/1.1 503 /), /^HTTP\/1.1 503 /, 'new connections are answered in the lame duck')
  for (const client of [events, before, during]) client.halfClose()

  t.match(await example.exited, { code: 0, signal: null })
  t.match(await lineWith(example, 'no connection is left'), /"total":3/)
  t.match(JSON.parse(await readFile(file, 'utf8')), { reason: 'SIGTERM', connections: { total: 3, cut: 0 } })
})

t.test('examples/http2.ts answers the streams that are open after SIGTERM, and exits with 0', async t => {
  const { example, to } = await start(t, 'http2.ts')
  const session = http2.connect(`http://${to.host}:${to.port}`)
  t.teardown(() => session.destroy())
  const bodyOf = async (path: string): Promise<string> => {
    let body = ''
    for await (const part of session.request({ ':path': path }).setEncoding('utf8')) body += part
    return body
  }
  const slow = bodyOf('/slow')
  t.match(await bodyOf('/'), /"httpVersion":"2.0".*"streams":2/)
  const goaway = once(session, 'goaway')
  example.child.kill('SIGTERM')
  const [code, last] = await goaway
  t.equal(code, 0)
  if (skipNative === false) t.equal(last, 2 ** 31 - 1, 'the notice refuses nothing')
  t.equal(await slow, '{"slow":true}')
  t.match(await example.exited, { code: 0, signal: null })
})

t.test('examples/systemd/app.ts runs from a shell as well, answers a slow request after SIGTERM, and exits with 0', async t => {
  const { example, to } = await start(t, 'systemd/app.ts')
  const client = await rawClient(t, to)
  client.write(request('/slow'))
  // The request has been read when another one on a second connection is answered.
  const second = await rawClient(t, to)
  second.write(request('/'))
  await second.until(new RegExp(`"pid":${example.pid}`))
  example.child.kill('SIGTERM')
  await client.until(/"slow":true/)
  client.halfClose()
  second.halfClose()
  t.match(await example.exited, { code: 0, signal: null })
})

const native = await loadNative()
const skipReusePort = process.platform !== 'linux' ? 'only Linux can leave a shared port without a reset' : typeof native === 'string' ? native : false
if (skipReusePort !== false && process.env.CI === 'true') t.fail(skipReusePort)

t.test('examples/reuse-port.ts restarts both of its processes under load, and loses nothing', { skip: skipReusePort }, async t => {
  const example = startProcess(t, new URL('../examples/reuse-port.ts', import.meta.url), { env: { PORT: undefined } })
  t.match(await example.exited, { code: 0, signal: null })
  const [, answered, lost] = /^(\d+) answered, (\d+) lost$/.exec(example.lines.at(-1) ?? '') ?? []
  t.equal(Number(lost), 0)
  t.ok(Number(answered) > 100, `${answered} answered`)
  t.same(example.lines.filter(line => line.startsWith('{')), [], 'none has logged a warning')
  t.same(example.lines.flatMap(line => / left with (.*?),/.exec(line)?.[1] ?? []), ['0', '0'], 'both have drained')
  t.equal(example.lines.filter(line => /^process \d+ answered [1-9]/.test(line)).length, 4, 'all four took part')
})

t.test('examples/sse.ts ends its streams with retry, goes on where a client was, and exits with 0', async t => {
  const { example, to } = await start(t, 'sse.ts')
  const first = await rawClient(t, to)
  first.write(request('/events'))
  await first.until(/id: 2\n/)
  const second = await rawClient(t, to)
  second.write(request('/events', { headers: { 'last-event-id': '1' } }))
  await second.until(/id: 2\n/)
  t.notMatch(second.received, 'id: 1\n')

  example.child.kill('SIGTERM')
  for (const client of [first, second]) {
    await client.fin()
    client.halfClose()
    const [answer] = answers(client.received)
    const ms = Number(/\n\nretry: (\d+)\n\n$/.exec(answer?.body ?? '')?.[1])
    t.ok(ms >= 500 && ms <= 2000, `${ms}`)
  }
  t.match(await example.exited, { code: 0, signal: null })
})
