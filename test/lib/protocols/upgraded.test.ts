import t from 'tap'
import { PassThrough, type Duplex } from 'node:stream'
import { UpgradeClosers } from '../../../lib/protocols/upgraded.ts'

function setUp () {
  const failed: unknown[] = []
  return { failed, closers: new UpgradeClosers(error => { failed.push(error) }) }
}

t.test('the closers of sockets that are no connection are called once, when the connections are closed', async t => {
  const { closers, failed } = setUp()
  const called: string[] = []
  for (const name of ['a', 'b']) closers.add(new PassThrough(), () => { called.push(name) })
  t.same(called, [])
  closers.begin(() => false)
  closers.begin(() => false)
  t.same(called, ['a', 'b'])
  t.same(failed, [])
})

t.test('the closer of a connection is called when its turn comes', async t => {
  const { closers } = setUp()
  const called: string[] = []
  const [known, foreign] = [new PassThrough(), new PassThrough()]
  closers.add(known, () => { called.push('known') })
  closers.add(foreign, () => { called.push('foreign') })
  closers.begin(socket => socket === known)
  t.same(called, ['foreign'])
  t.equal(closers.close(known), true)
  t.same(called, ['foreign', 'known'])
  t.equal(closers.close(known), true, 'its owner has been told')
  t.same(called, ['foreign', 'known'], 'once')
  t.equal(closers.close(new PassThrough()), false, 'one that has none')
})

t.test('row 15: a closer that comes late is called at once', async t => {
  const { closers } = setUp()
  let called = 0
  closers.begin(() => false)
  closers.add(new PassThrough(), () => { called++ })
  t.equal(called, 1)
})

t.test('of a socket that has closed nobody is told', async t => {
  const { closers } = setUp()
  let called = 0
  const socket = new PassThrough()
  closers.add(socket, () => { called++ })
  socket.destroy()
  await new Promise<void>(resolve => { socket.on('close', resolve) })
  closers.begin(() => false)
  t.equal(called, 0)
})

t.test('of two closers for one socket the last one counts', async t => {
  const { closers } = setUp()
  const called: string[] = []
  const socket = new PassThrough()
  for (const name of ['first', 'second']) closers.add(socket, () => { called.push(name) })
  closers.begin(() => false)
  t.same(called, ['second'])
})

t.test('a closer that fails, at once or later, is reported and keeps no other from being called', async t => {
  const { closers, failed } = setUp()
  const [first, second] = [new Error('at once'), new Error('later')]
  let called = 0
  closers.add(new PassThrough(), () => { throw first })
  closers.add(new PassThrough(), () => Promise.reject(second))
  closers.add(new PassThrough(), () => { called++ })
  closers.begin(() => false)
  t.equal(called, 1)
  await new Promise(resolve => setImmediate(resolve))
  t.same(failed, [first, second])
})

t.test('a closer needs a socket and a function', async t => {
  const { closers } = setUp()
  for (const socket of [undefined, null, {}, 'socket', 1]) {
    t.throws(() => closers.add(socket as unknown as Duplex, () => {}), {
      code: 'FST_DRAIN_INVALID_CLOSER',
      message: 'fastify-drain: onUpgradeClose(socket, fn) needs the socket of an upgrade as its first argument'
    })
  }
  for (const closer of [undefined, null, {}, 'close']) {
    t.throws(() => closers.add(new PassThrough(), closer as unknown as () => void), {
      code: 'FST_DRAIN_INVALID_CLOSER',
      message: 'fastify-drain: onUpgradeClose(socket, fn) needs a function as its second argument'
    })
  }
})
