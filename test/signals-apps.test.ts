import { cp, mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import t, { type Test } from 'tap'
import { closesToo } from './helpers/drain-service.ts'
import { startProcess } from './helpers/process.ts'
import { answers, rawClient, request, type RawClient } from './helpers/raw-client.ts'

const original = new URL('../index.ts', import.meta.url)

for (const copies of [1, 2]) {
  const which = copies === 1 ? 'one copy' : 'two copies'

  t.test(`two apps with ${which} of the package drain side by side, and the process exits when the last is closed`, async t => {
    const { service, asking, handlers } = await start(t, copies)
    t.equal(handlers, 1)
    const client = await asking(1, '/slow')
    service.child.kill('SIGTERM')
    t.equal((await service.message(({ type }) => type === 'closed')).app, 0, 'the idle one does not wait')
    t.equal(await closesToo(client), null)
    t.match(answers(client.received), [{ status: 200, headers: { connection: 'close' }, body: 'at last' }])
    t.equal((await service.message(({ type }) => type === 'closed')).app, 1)
    t.match(await service.exited, { code: 0, signal: null })
  })

  t.test(`of two apps with ${which} of the package, one that cuts does not hurt the other, and the exit code is 1`, async t => {
    const { service, asking } = await start(t, copies)
    const [slow] = [await asking(0, '/slow'), await asking(1, '/endless')]
    service.child.kill('SIGTERM')
    t.equal(await closesToo(slow), null)
    t.match(answers(slow.received), [{ status: 200 }])
    t.match(await service.exited, { code: 1, signal: null })
  })

  t.test(`a second signal cuts both apps with ${which} of the package`, async t => {
    const { service, asking } = await start(t, copies)
    const clients = [await asking(0, '/endless'), await asking(1, '/endless')]
    service.child.kill('SIGTERM')
    await service.message(({ type }) => type === 'draining')
    service.child.kill('SIGINT')
    t.match(await service.exited, { code: 1, signal: null })
    t.same(await Promise.all(clients.map(closesToo)), ['ECONNRESET', 'ECONNRESET'])
  })
}

async function start (t: Test, copies: number) {
  const urls = [original.href, copies === 1 ? original.href : await copyOfPackage(t)]
  // The copy is no source whose coverage counts.
  const env = { KUBERNETES_SERVICE_HOST: undefined, ...(copies === 1 ? {} : { _TAPJS_PROCESSINFO_COVERAGE_: '0' }) }
  const service = startProcess(t, new URL('fixtures/signals-two-apps.ts', import.meta.url), { args: urls, env })
  const { ports, handlers, copies: found } = await service.message(({ type }) => type === 'listening')
  t.equal(found, copies)
  return { service, handlers, asking }

  async function asking (app: number, path: string): Promise<RawClient> {
    const client = await rawClient(t, { host: '127.0.0.1', port: ports[app] })
    client.write(request(path))
    await service.message(({ type }) => type === 'request')
    return client
  }
}

// Inside the project, where it finds its dependencies.
async function copyOfPackage (t: Test): Promise<string> {
  const folder = t.testdir({ 'package.json': '{"type":"module"}' })
  await mkdir(join(folder, 'lib'))
  for (const name of ['index.ts', 'lib']) await cp(new URL(name, original), join(folder, name), { recursive: true })
  return pathToFileURL(join(folder, 'index.ts')).href
}
