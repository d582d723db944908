import t from 'tap'
import { systemClock } from '../../lib/clock.ts'
import { socketPair } from '../helpers/socket-pair.ts'

t.test('the clock runs forward', async t => {
  const before = systemClock.now()
  await new Promise<void>(resolve => { systemClock.after(20, resolve) })
  t.ok(systemClock.now() - before >= 19)
})

t.test('what is cancelled does not happen', async t => {
  let calls = 0
  const cancels = [systemClock.after(10, () => { calls++ }), systemClock.every(10, () => { calls++ })]
  for (const cancel of cancels) cancel()
  await new Promise<void>(resolve => { systemClock.after(60, resolve) })
  t.equal(calls, 0)
})

t.test('every() repeats until it is ended', async t => {
  let calls = 0
  await new Promise<void>(resolve => {
    const end = systemClock.every(5, () => { if (++calls === 3) { end(); resolve() } })
  })
  await new Promise<void>(resolve => { systemClock.after(30, resolve) })
  t.equal(calls, 3)
})

t.test('row 2: a turn is over when everything has been read that had arrived, also if it began while something was read', async t => {
  const { socket, client } = await socketPair(t)
  const seen = new Promise<string>(resolve => {
    let received = ''
    socket.setEncoding('latin1')
    socket.on('data', text => {
      received += text
      if (received !== 'a') return
      // In the kernel's buffer as soon as write() returns.
      client.write('b')
      systemClock.turn(() => resolve(received))
    })
  })
  client.write('a')
  t.equal(await seen, 'ab')
})

t.test('a turn is soon over where nothing happens', async t => {
  const before = systemClock.now()
  await new Promise<void>(resolve => { systemClock.turn(resolve) })
  t.ok(systemClock.now() - before < 5000)
})
