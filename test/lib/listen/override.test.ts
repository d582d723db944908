import t from 'tap'
import { override, type ListenOptions } from '../../../lib/listen/override.ts'

const nextTick = () => new Promise<void>(resolve => { process.nextTick(resolve) })

t.test('options are changed for the listen() that is under way, and are what they were afterwards', async t => {
  const options: ListenOptions = { host: '127.0.0.1', port: 0, fd: undefined }
  override(options, { fd: 7, port: 80, reusePort: true })
  t.strictSame(options, { host: '127.0.0.1', port: 80, fd: 7, reusePort: true })
  await nextTick()
  t.strictSame(options, { host: '127.0.0.1', port: 0, fd: undefined })
  t.same(Object.keys(options), ['host', 'port', 'fd'])
})

t.test('an option that the user computes is computed again afterwards', async t => {
  const options = Object.defineProperty({} as ListenOptions, 'port', { get: () => 80, set () {}, enumerable: false, configurable: true })
  override(options, { port: 81 })
  await nextTick()
  t.equal(options.port, 80)
  t.same(Object.keys(options), [])
})
