import t from 'tap'
import { headOf, type Answer } from '../../../lib/protocols/head.ts'

/** What an answer of Node's shows of its head. */
function answerWith (shown: object): Answer {
  return shown as Answer
}

t.test('before its head is out an answer has none', async t => {
  t.equal(headOf(answerWith({ headersSent: false, _header: null, getHeader: () => 'x' })), null)
  t.equal(headOf(answerWith({ stream: { headersSent: false, sentHeaders: undefined } })), null)
})

t.test('the head of HTTP/1.x is read as it was sent, in whatever case', async t => {
  const head = headOf(answerWith({
    headersSent: true,
    _header: 'HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nX-Accel:no\r\n\r\n',
    getHeader: () => 'what was set is not what was sent'
  }))
  t.equal(head?.('content-type'), 'text/event-stream')
  t.equal(head?.('x-accel'), 'no')
  t.equal(head?.('location'), undefined)
})

t.test('where Node does not show the head of HTTP/1.x, what was set is known', async t => {
  const head = headOf(answerWith({ headersSent: true, _header: undefined, getHeader: (name: string) => ({ 'content-length': 12 })[name] }))
  t.equal(head?.('content-length'), '12')
  t.equal(head?.('location'), undefined)
})

t.test('the head of a stream is what was sent, in whatever case', async t => {
  const head = headOf(answerWith({ stream: { headersSent: true, sentHeaders: { ':status': 200, 'Content-Type': 'text/event-stream', 'set-cookie': ['a', 'b'] } } }))
  t.equal(head?.(':status'), '200')
  t.equal(head?.('content-type'), 'text/event-stream')
  t.equal(head?.('set-cookie'), 'a,b')
  t.equal(head?.('location'), undefined)
})
