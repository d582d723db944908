import t from 'tap'
import { requestLine } from '../../../lib/protocols/request-line.ts'

const routeOf = (target: string): string | null => requestLine('GET', target).route

t.test('a path is told as it came', async t => {
  for (const path of ['/', '/orders/7', '//double//slashes', '/%72eadyz', '/@user', '/a:b@c', '*']) t.equal(routeOf(path), path)
})

t.test('what can be a secret is left out', async t => {
  for (const [target, route] of [
    ['/a?token=secret', '/a'],
    ['/a;jsessionid=secret', '/a'],
    ['/a;v=secret/b', '/a'],
    ['/a#secret', '/a'],
    ['?secret', ''],
    ['http://me:secret@example.org/a?secret', '/a'],
    ['HTTPS://me:secret@example.org', '/'],
    ['http://me:secret@example.org?secret', '/'],
    ['http://example.org//a@b', '//a@b'],
    ['me:secret@example.org:443', 'example.org:443'],
    ['http:me:secret@example.org', 'example.org'],
    ['a\nb:secret@example.org', 'example.org'],
    ['h2+c.1-x://me:secret@example.org/a', '/a'],
    ['1http://example.org/a', '1http://example.org/a']
  ] as const) t.equal(routeOf(target), route, target)
})

t.test('a control character is no text, whatever a terminal would make of it', async t => {
  t.equal(routeOf('/\u001b[2J\r\n\u009b2J\t\u007f\u00ad\u202e'), '/\ufffd[2J\ufffd\ufffd\ufffd2J\ufffd\ufffd\ufffd\ufffd')
  t.equal(requestLine('A\u009bB', '/').method, 'A\ufffdB')
  t.equal(routeOf('/caf\u00e9 \u{1f600}'), '/caf\u00e9 \u{1f600}')
})

t.test('neither a method nor a path fills a report', async t => {
  const { method, route } = requestLine('M'.repeat(60_000), `/${'x'.repeat(60_000)}`)
  t.equal(method, `${'M'.repeat(32)}…`)
  t.equal(route, `/${'x'.repeat(499)}…`)
  const longest = `/${'x'.repeat(499)}`
  t.equal(routeOf(longest), longest)
})

t.test('a request that is not known has neither', async t => {
  t.same(requestLine(undefined, undefined), { method: null, route: null })
  t.same(requestLine('CONNECT', undefined), { method: 'CONNECT', route: null })
})
