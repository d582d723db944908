import t from 'tap'
import { startProcess } from './helpers/process.ts'

async function collected (t: { teardown (fn: () => unknown): void }, variant: string): Promise<number> {
  const fixture = startProcess(t, new URL('./fixtures/forgotten.ts', import.meta.url), { args: [variant], nodeArgs: ['--expose-gc'] })
  return (await fixture.message()).collected
}

t.test('apps that were used through inject() and never closed are collected as without the plugin', async t => {
  const bare = await collected(t, 'bare')
  const withPlugin = await collected(t, 'drain')
  t.ok(bare > 40, `bare: ${bare} of 50`)
  t.ok(withPlugin >= bare - 2, `with the plugin: ${withPlugin} of 50`)
})
