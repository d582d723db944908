import t from 'tap'
import { testApp } from './helpers/app.ts'

t.test('drain.signal aborts when everything else has heard of the drain: a listener may begin it again, or close the app', async t => {
  const { app, listen } = await testApp(t)
  await listen()
  const seen: unknown[] = []
  app.drain.signal.addEventListener('abort', () => {
    seen.push(app.drain.phase, app.drain.begin('again'), app.close())
  })
  const begun = app.drain.begin('test')
  t.equal(app.drain.phase, 'lame-duck', 'at once')
  t.equal(seen[0], 'lame-duck')
  t.equal(seen[1], begun, 'the same promise')
  const { reason, phases } = await begun
  await seen[2]
  t.equal(reason, 'test')
  t.same(phases.map(({ phase }) => phase), ['lame-duck', 'draining', 'closed'])
})

t.test('hundreds of long answers may listen to drain.signal without a warning of a leak', async t => {
  const warnings: Error[] = []
  const note = (warning: Error): void => { warnings.push(warning) }
  process.on('warning', note)
  t.teardown(() => { process.off('warning', note) })
  const { app } = await testApp(t)
  for (let i = 0; i < 300; i++) app.drain.signal.addEventListener('abort', () => {})
  await new Promise(resolve => setImmediate(resolve))
  t.same(warnings, [])
})
