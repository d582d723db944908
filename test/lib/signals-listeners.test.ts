import t from 'tap'
import { EventEmitter } from 'node:events'
import { otherListeners } from '../../lib/signals.ts'
import { listenerWarnings } from '../../lib/warnings.ts'

function host (): NodeJS.Process {
  return new EventEmitter() as unknown as NodeJS.Process
}

t.test('whoever listens to one of these signals is found, by name where there is one', async t => {
  const process = host()
  t.same(otherListeners(['SIGTERM', 'SIGINT'], process), [])
  process.on('SIGTERM', function flush () {})
  process.once('SIGTERM', () => {})
  process.on('SIGHUP', function reload () {})
  t.same(otherListeners(['SIGTERM', 'SIGINT'], process), [{ signal: 'SIGTERM', names: ['flush'] }])
})

t.test('copies of signal-exit, which do nothing while others listen, are not counted', async t => {
  const key = Symbol.for('signal-exit emitter')
  const before = Reflect.get(globalThis, key)
  t.teardown(() => Reflect.set(globalThis, key, before))
  Reflect.set(globalThis, key, { count: 1 })
  const process = Object.assign(host(), { __signal_exit_emitter__: { count: 1 } })
  for (let i = 0; i < 2; i++) process.on('SIGTERM', () => {})
  t.same(otherListeners(['SIGTERM'], process), [])
  process.on('SIGTERM', () => {})
  t.same(otherListeners(['SIGTERM'], process), [{ signal: 'SIGTERM', names: [] }])
})

t.test('all of them are one line', async t => {
  t.same(listenerWarnings([]), [])
  t.match(listenerWarnings([{ signal: 'SIGTERM', names: ['a', 'b'] }, { signal: 'SIGINT', names: ['a'] }]), [/^SIGTERM and SIGINT have another listener in this process \(a, b\): .+; remove it/])
  t.match(listenerWarnings([{ signal: 'SIGINT', names: [] }]), [/^SIGINT has another listener in this process: .+; remove it/])
})
