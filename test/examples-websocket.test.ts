import { once } from 'node:events'
import t from 'tap'
import { startProcess, type StartedProcess } from './helpers/process.ts'
import { client } from './helpers/websocket.ts'

const example = new URL('../examples/websocket.ts', import.meta.url)

/** Where it listens; the test's own timeout bounds the wait, because a process can be slow to start. */
async function listening (started: StartedProcess): Promise<{ host: string, port: number }> {
  const failed = started.exited.then(() => { throw new Error(`it has ended\n${started.lines.join('\n')}\n${started.stderr}`) })
  for (;;) {
    const url = /Server listening at (http:[^"]+)/.exec(started.lines.join('\n'))?.[1]
    if (url !== undefined) {
      failed.catch(() => {})
      const { hostname, port } = new URL(url)
      return { host: hostname, port: Number(port) }
    }
    await Promise.race([once(started.child.stdout as never, 'data'), failed])
  }
}

t.test('examples/websocket.ts: a chat, whose clients are told 1001 over closeSpread and find the next process', async t => {
  const started = startProcess(t, example, { env: { PORT: '0', KUBERNETES_SERVICE_HOST: undefined } })
  const to = await listening(started)
  const page = await (await fetch(`http://${to.host}:${to.port}/`, { headers: { connection: 'close' } })).text()
  t.match(page, /new WebSocket\(/)
  t.notMatch(page, /\$\{/)

  const clients = [await client(t, to, { path: '/chat' }), await client(t, to, { path: '/chat' })]
  const [one, other] = clients
  one?.socket.send('how are you?')
  await other?.until('how are you?')
  t.equal(other?.messages[0], `process ${started.pid} says hello`)

  started.child.kill('SIGTERM')
  for (const { closed } of clients) t.same(await closed, { code: 1001, reason: 'service restart', wasClean: true })
  t.match(await started.exited, { code: 0, signal: null })
  t.match(started.lines.join('\n'), /closed with 1001 service restart/)

  const next = startProcess(t, example, { env: { PORT: String(to.port), KUBERNETES_SERVICE_HOST: undefined } })
  await listening(next)
  const again = await client(t, to, { path: '/chat' })
  await again.until(`process ${next.pid} says hello`)
  next.child.kill('SIGTERM')
  t.match(await again.closed, { code: 1001 })
  t.match(await next.exited, { code: 0 })
})
