import t from 'tap'
import type { Processes } from '../../lib/launcher.ts'
import { resolveOptions, type FastifyDrainOptions } from '../../lib/options.ts'
import { listenerWarnings, restartWarnings } from '../../lib/warnings.ts'

const kubernetes = { KUBERNETES_SERVICE_HOST: '10.0.0.1' }
const alone: Processes = { ppid: 0, isInTerminal: false, argumentsOf: () => [], parentOf: () => null }
const belowNpm: Processes = { ...alone, ppid: 10, argumentsOf: () => ['npm start'] }

function warnings (options: FastifyDrainOptions = {}, { env = {}, processes = alone, forceCloseConnections = undefined as boolean | 'idle' | undefined, contradiction = null as string | null } = {}): string[] {
  return restartWarnings({ settings: resolveOptions(options, env), env, processes, forceCloseConnections, contradiction })
}

t.test('where all is well there is nothing to say', async t => {
  t.same(warnings(), [])
  t.same(warnings({}, { env: kubernetes }), [])
  t.same(warnings({ hardStopAfter: false }), [])
  t.same(warnings({ shutdownDelay: 0 }), [])
  t.same(warnings({ terminationGracePeriodSeconds: 30 }, { env: kubernetes, forceCloseConnections: 'idle' }), [])
})

t.test('each thing that would break a restart is one line, with what to do', async t => {
  for (const [line, found] of [
    [warnings({}, { contradiction: 'behind nginx ...' }), /^behind nginx/],
    [warnings({}, { processes: belowNpm }), /^npm has started this process: .*; start it with node itself/],
    [warnings({}, { forceCloseConnections: true }), /^forceCloseConnections is true, .*; leave it out/],
    [warnings({ shutdownDelay: 0 }, { env: kubernetes }), /^shutdownDelay is 0, .*; leave it out \(5000 ms\)/],
    [warnings({ hardStopAfter: false, terminationGracePeriodSeconds: 30 }), /^hardStopAfter is false, .* 30 s after SIGTERM .*; leave hardStopAfter out/]
  ] as const) {
    t.equal(line.length, 1)
    t.match(line[0], found)
  }
})

t.test('an app without signals is ended in another way, so nobody can keep them from it', async t => {
  t.same(warnings({ signals: false }, { processes: belowNpm }), [])
})

t.test('all that is wrong is said', async t => {
  t.equal(warnings({ shutdownDelay: 0, hardStopAfter: false, terminationGracePeriodSeconds: 30 }, { env: kubernetes, forceCloseConnections: true, processes: belowNpm, contradiction: 'x' }).length, 5)
})

t.test('other listeners are named, once', async t => {
  t.same(listenerWarnings([]), [])
  t.match(listenerWarnings([{ signal: 'SIGTERM', names: [] }]), [/^SIGTERM has another listener in this process: .*; remove it, and do its work in an onClose hook/])
  t.match(listenerWarnings([{ signal: 'SIGTERM', names: ['stop'] }, { signal: 'SIGINT', names: ['stop', 'leave'] }]), [/^SIGTERM and SIGINT have another listener in this process \(stop, leave\): /])
})
