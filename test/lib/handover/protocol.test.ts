import t from 'tap'
import { commonVersion, envelope, open, readInvitation, speaks } from '../../../lib/handover/protocol.ts'

t.test('an invitation is read as it was written', async t => {
  const invitation = { speaks: [1, 2], predecessor: 4711, listeners: [{ fd: 4, name: 'web', anyPort: true }, { fd: 5, name: '', anyPort: false, at: { path: '/run/app' } }, { fd: 6, name: '', anyPort: false, at: { address: '::', port: 80 } }] }
  t.strictSame(readInvitation(JSON.stringify(invitation)), invitation)
})

t.test('what a newer predecessor adds to its invitation is left alone', async t => {
  const text = JSON.stringify({ speaks: [2], predecessor: 1, listeners: [{ fd: 4, name: '', anyPort: false, colour: 'red' }], mood: 'good' })
  t.match(readInvitation(text), { speaks: [2], predecessor: 1, listeners: [{ fd: 4 }] })
})

const good = { speaks: [1], predecessor: 4711, listeners: [] }
const listener = { fd: 4, name: '', anyPort: false }

for (const [what, text] of [
  ['nothing', ''],
  ['half of it', JSON.stringify(good).slice(0, -1)],
  ['something else', '1'],
  ['null', 'null'],
  ['an empty object', '{}'],
  ...Object.keys(good).map(name => [`no ${name}`, JSON.stringify({ ...good, [name]: undefined })]),
  ['a version that is no number', JSON.stringify({ ...good, speaks: ['1'] })],
  ['one version', JSON.stringify({ ...good, speaks: 1 })],
  ['a negative pid', JSON.stringify({ ...good, predecessor: -1 })],
  ['half a pid', JSON.stringify({ ...good, predecessor: 1.5 })],
  ['listeners that are none', JSON.stringify({ ...good, listeners: { 0: listener, length: 1 } })],
  ...[null, 4, {}, { ...listener, fd: '4' }, { ...listener, fd: -1 }, { ...listener, name: null }, { ...listener, anyPort: 1 }, ...[null, {}, { path: 1 }, { address: '::' }, { port: 80 }].map(at => ({ ...listener, at }))]
    .map(one => [`the listener ${JSON.stringify(one)}`, JSON.stringify({ ...good, listeners: [listener, one] })])
] as Array<[string, string]>) {
  t.test(`no invitation: ${what}`, async t => {
    t.throws(() => readInvitation(text))
  })
}

t.test('two sides speak the highest version that both know', async t => {
  const own = Math.max(...speaks)
  t.equal(commonVersion(speaks), own)
  t.equal(commonVersion([own + 1, ...speaks]), own)
  t.equal(commonVersion([0, own]), own)
  t.equal(commonVersion([own + 1]), null)
  t.equal(commonVersion([]), null)
})

t.test('messages of this package are in an envelope, and those of the application are not', async t => {
  t.same(open({ [envelope]: { type: 'have', id: 1 } }), { type: 'have', id: 1 })
  for (const other of [null, undefined, 'have', 1, {}, { type: 'have', id: 1 }, { [envelope]: null }, { [envelope]: 'have' }, { [envelope]: { id: 1 } }, [envelope]]) {
    t.equal(open(other), null, JSON.stringify(other))
  }
})
