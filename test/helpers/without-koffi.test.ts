import t from 'tap'
import { startProcess } from './process.ts'
import { withoutKoffi } from './without-koffi.ts'

const fixture = new URL('../fixtures/loads-koffi.ts', import.meta.url)

t.test('a process that is started without koffi can neither import nor require it, and everything else', async t => {
  const started = startProcess(t, fixture, { nodeArgs: [...withoutKoffi] })
  t.same(await started.message(), { imported: 'ERR_MODULE_NOT_FOUND', required: 'MODULE_NOT_FOUND', fastify: 'loaded' })
  t.match(await started.exited, { code: 0 })
  t.equal(started.stderr, '')
})

t.test('any other process can do both', async t => {
  const started = startProcess(t, fixture)
  t.same(await started.message(), { imported: 'loaded', required: 'loaded', fastify: 'loaded' })
})
