import t from 'tap'
import { Socket } from 'node:net'
import { restartReads } from '../../../lib/protocols/reads.ts'

/** A socket with such a handle, and what that was told. */
function socketWith (missing: 'readStart' | 'readStop' | null, isEnded = false) {
  const told: string[] = []
  const handle = {
    reading: false,
    ...(missing === 'readStart' ? {} : { readStart: () => { told.push('start') } }),
    ...(missing === 'readStop' ? {} : { readStop: () => { told.push('stop') } })
  }
  const socket = Object.assign(Object.create(Socket.prototype) as Socket, { _handle: handle })
  Object.defineProperty(socket, 'readableEnded', { value: isEnded })
  return { socket, told, handle }
}

t.test('reads are stopped, because to start what is started is an error on Node 20, and started', async t => {
  const { socket, told, handle } = socketWith(null)
  restartReads(socket)
  t.same(told, ['stop', 'start'])
  t.ok(handle.reading)
})

t.test('a socket that has ended, or has no such handle, is left alone', async t => {
  for (const { socket, told } of [socketWith(null, true), socketWith('readStart'), socketWith('readStop')]) {
    restartReads(socket)
    t.same(told, [])
  }
  restartReads(Object.assign(Object.create(Socket.prototype) as Socket, { _handle: null }))
})
