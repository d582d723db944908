import t from 'tap'
import { createServer } from 'node:net'
import { ListenState } from '../../../lib/listen/settled.ts'

async function isPending (promise: Promise<void>): Promise<boolean> {
  return Promise.race([promise.then(() => false), new Promise<boolean>(resolve => setImmediate(resolve, true))])
}

t.test('without a listen() there is nothing to wait for', async t => {
  const state = new ListenState()
  t.notOk(await isPending(state.settled()))
  state.done()
  t.notOk(await isPending(state.settled()))
})

t.test('a listen() is under way until it is done', async t => {
  const server = createServer()
  const state = new ListenState()
  state.begin(server)
  t.ok(await isPending(state.settled()))
  state.done()
  t.notOk(await isPending(state.settled()))
  t.equal(server.listenerCount('error'), 0, 'errors that come later are not ours')
})

t.test('a listen() is under way until it fails', async t => {
  const server = createServer()
  const state = new ListenState()
  state.begin(server)
  server.emit('error', new Error('EADDRINUSE'))
  t.notOk(await isPending(state.settled()))
  state.done()
})
