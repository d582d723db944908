import t from 'tap'
import { EventBoundary } from '../../lib/event-boundary.ts'
import { random } from '../helpers/fuzz-random.ts'

const bytes = (text: string): Buffer => Buffer.from(text)

function after (...chunks: string[]): boolean {
  const boundary = new EventBoundary()
  for (const chunk of chunks) boundary.read(bytes(chunk))
  return boundary.isReached
}

t.test('it is reached before the first event, and behind a blank line, whatever ends a line', async t => {
  t.equal(after(), true)
  for (const end of ['\n', '\r', '\r\n']) {
    t.equal(after('data: 1'), false)
    t.equal(after(`data: 1${end}`), false)
    t.equal(after(`data: 1${end}${end}`), true)
    t.equal(after(`data: 1${end}`, end), true)
    t.equal(after(`data: 1${end}${end}data`), false)
    t.equal(after(`data: 1${end}`, `id: 2${end}`, `${end}${end}`), true)
  }
  t.equal(after('data: 1\r', '\n'), false, 'CR LF is one end')
  t.equal(after('data: 1\r', '\n\r', '\n'), true)
  t.equal(after('data: 1\r\r', '\n', 'id'), false)
})

t.test('a comment belongs to no event, but is not cut either', async t => {
  t.equal(after('data: 1\n\n:heartbeat'), false)
  t.equal(after('data: 1\n\n:heartbeat\n'), true)
  t.equal(after('data: 1\n:heartbeat\n'), false)
  t.equal(after(':one\n', 'data: 1\n', ':two\n', '\n'), true)
})

t.test('rest() says how much belongs to the event that is half written', async t => {
  const rest = (written: string, next: string): string => {
    const boundary = new EventBoundary()
    boundary.read(bytes(written))
    return next.slice(0, boundary.rest(bytes(next)))
  }
  t.equal(rest('data: 1', '2\n\ndata: 3\n\n'), '2\n\n')
  t.equal(rest('data: 1\n', '\ndata: 3\n\n'), '\n')
  t.equal(rest('data: 1\r\n', '\r\ndata: 3'), '\r\n')
  t.equal(rest('data: 1\r', '\n\r\ndata: 3'), '\n\r\n')
  t.equal(rest('data: 1\r', '\rdata: 3'), '\r')
  t.equal(rest('data: 1', '2\nid: 3'), '2\nid: 3')
  t.equal(rest(':comm', 'ent\ndata: 1'), 'ent\n')
})

t.test('how the bytes are cut into writes makes no difference', async t => {
  const parts = ['data: x', 'id: 1', ':c', '\n', '\n', '\r\n', '\r', '\n\n', '\r\n\r\n', ':', 'd']
  const { int, pick } = random(17)
  let wrong = 0
  for (let round = 0; round < 2000; round++) {
    const text = Array.from({ length: int(1, 8) }, () => pick(parts)).join('')
    const cuts = Array.from({ length: int(0, 3) }, () => int(0, text.length)).sort((a, b) => a - b)
    const chunks = [0, ...cuts].map((from, i) => text.slice(from, cuts[i] ?? text.length))
    // The standard's own way: lines, of which a blank one ends the event; the last has no end yet.
    const lines = text.split(/\r\n|\r|\n/)
    const event = lines.slice(lines.lastIndexOf('', lines.length - 2) + 1)
    const expected = lines.at(-1) === '' && event.every(line => line === '' || line.startsWith(':'))
    if (after(...chunks) !== expected) { wrong++; t.fail(JSON.stringify({ chunks, expected })) }
    if (wrong > 3) break
  }
  t.equal(wrong, 0)
})
