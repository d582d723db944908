import t from 'tap'
import { createHash } from 'node:crypto'
import type { RecordedConnection } from '../../../lib/timeline.ts'
import { drawPage } from '../../../lib/picture/page.ts'
import { script } from '../../../lib/picture/script.ts'
import { style } from '../../../lib/picture/style.ts'
import { crowd, recorded, reportOf } from '../../helpers/unit-report.ts'

const draw = (connections: RecordedConnection[], more = {}): string => drawPage(reportOf(connections, more), 'drain.json')
const count = (page: string, what: RegExp): number => page.match(what)?.length ?? 0
const bars = /<g class="item [a-z-]+"/g
const moments = /<g class="item"><title>at /g

// Elements that have no end, and those of SVG that are closed where they are opened.
const unended = new Set(['meta', 'input', 'br'])

/** What is wrong with the nesting of its elements. */
function misnested (page: string): string[] {
  const open: string[] = []
  const wrong: string[] = []
  const body = page.replace(/<(style|script)>[^]*?<\/\1>/g, '')
  for (const [, end, name = '', closed] of body.matchAll(/<(\/?)([a-z][a-z0-9]*)(?:"[^"]*"|[^">])*?(\/?)>/g)) {
    if (end === '/') {
      const last = open.pop()
      if (last !== name) wrong.push(`</${name}> behind <${last}>`)
    } else if (closed !== '/' && !unended.has(name)) open.push(name)
  }
  return [...wrong, ...open.map(name => `<${name}> is not closed`)]
}

t.test('up to 500 connections have a bar each, more are counted by state and only stragglers have one', async t => {
  for (const [size, wantedBars, areMoments] of [[0, 0, false], [1, 1, false], [3, 3, false], [500, 500, false], [501, 51, true], [10_000, 200, true]] as const) {
    const page = draw(crowd(size))
    t.equal(count(page, bars), wantedBars, `${size} connections`)
    t.equal(count(page, moments), areMoments ? 101 : 0)
    t.match(page, `<title>Drain of ${size} connections, `)
    t.same(misnested(page), [], 'it is well formed')
    t.notMatch(page, /NaN|undefined|Infinity|\[object/, 'and makes sense')
    t.notMatch(page, /(?:^|[\s"'(=])(?:https?:)?\/\/[a-z]/, 'without an address of anywhere else')
  }
})

t.test('18,000 connections, every one of which had to be cut, make a page below 2 MB', async t => {
  const connections = Array.from({ length: 18_000 }, (_, i) => recorded({ remoteAddress: '2001:db8:1234:5678:9abc:def0:1234:5678', remotePort: 1024 + i, outcome: 'cut', states: [[0, 'active']], endedAt: 25_000, method: 'GET', route: `/${'long/'.repeat(100)}` }))
  const before = performance.now()
  const page = draw(connections)
  t.comment(`${Math.round(performance.now() - before)} ms, ${Buffer.byteLength(page)} bytes`)
  t.ok(Buffer.byteLength(page) < 2_000_000)
  t.match(page, '17500 more are in drain.json')
})

t.test('so do 500 sessions that never rest', async t => {
  const states: RecordedConnection['states'] = Array.from({ length: 66 }, (_, i) => [i * 7, i % 2 === 0 ? 'active' : 'idle'])
  const page = draw(Array.from({ length: 500 }, (_, i) => recorded({ remotePort: i, states, omittedChanges: 5000 })))
  t.comment(`${Buffer.byteLength(page)} bytes`)
  t.ok(Buffer.byteLength(page) < 2_000_000)
  t.match(page, 'and 5058 more changes')
})

t.test('what comes from outside is text, wherever it stands', async t => {
  const evil = '/<script>alert("1")</script>\'&\u0000\u009f'
  const connections = [
    recorded({ remoteAddress: '<img src=x>', route: evil, method: '"><b>', outcome: 'cut' }),
    recorded({ route: evil, method: '"><b>' })
  ]
  for (const size of [0, 600]) {
    const page = drawPage(reportOf([...connections, ...crowd(size)], { reason: evil }), '"><script>.json')
    t.match(page, '/&lt;script&gt;alert(&quot;1&quot;)&lt;/script&gt;&#39;&amp;\ufffd\ufffd')
    t.match(page, '&lt;img src=x&gt;')
    t.match(page, 'href="%22%3E%3Cscript%3E.json"')
    t.equal(count(page, /<script/g), 1, 'one script, ours')
    t.notMatch(page, /<img|<b>&quot;|"><b>/)
    t.same(misnested(page), [])
  }
})

t.test('the page lets nothing in but its own style and its own script, known by their hashes', async t => {
  const page = draw(crowd(3))
  const sha256 = (text: string): string => `'sha256-${createHash('sha256').update(text).digest('base64')}'`
  t.match(page, `<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src ${sha256(style)}; script-src ${sha256(script)}; base-uri 'none'; form-action 'none'">`)
  t.ok(page.indexOf('Content-Security-Policy') < page.indexOf('<style>'))
  t.match(page, `<style>${style}</style>`)
  t.match(page, `<script>${script}</script>`)
  t.notMatch(page, /\s(?:style|on[a-z]+)=/, 'no attribute would be let in')
})

t.test('stragglers come first and are named; then whoever stayed longest', async t => {
  const page = draw([
    recorded({ remotePort: 1, endedAt: 10, states: [[0, 'idle']] }),
    recorded({ remotePort: 2, endedAt: 3000, outcome: 'cut', method: 'GET', route: '/endless', states: [[0, 'active']] }),
    recorded({ remotePort: 3, endedAt: 900 }),
    recorded({ remotePort: 4, endedAt: null, outcome: null }),
    recorded({ remotePort: 5, endedAt: 2000, outcome: 'peer-lost', remoteAddress: null }),
    recorded({ remotePort: 6, endedAt: null, outcome: null, remoteAddress: '::1' })
  ])
  t.same([...page.matchAll(/<g class="item [^>]*><title>([^;<]*);/g)].map(([, name]) => name), [
    '127.0.0.1:2 GET /endless', 'local socket', '127.0.0.1:4', '[::1]:6', '127.0.0.1:3', '127.0.0.1:1'
  ])
  t.match(page, '<title>127.0.0.1:2 GET /endless; accepted 500 ms before the drain; active 0 ms to 3000 ms; cut at 3000 ms</title>')
  t.match(page, 'open when the process ended</title>')
  t.equal(count(page, /<tr data-outcome=/g), 2, 'a row for each of them')
})

t.test('a bar has a piece for each state, in the place of its times', async t => {
  const page = draw([recorded({ acceptedAt: 500, states: [[500, 'new'], [600, 'active'], [600, 'idle'], [700, 'active'], [1000, 'lingering']], endedAt: 1000 })])
  const pieces = Object.fromEntries([...page.matchAll(/<path class="([a-z]+)" stroke-width="12" d="([^"]*)"/g)].map(([, state, path]) => [state, path]))
  // From 190 to 965 for 1000 ms; what was there for less than 1 ms can still be seen.
  t.same(pieces, { new: 'M577.5 8h77.5', active: 'M655 8h1M732.5 8h232.5', idle: 'M655 8h77.5', lingering: 'M965 8h1' })
  t.match(page, 'accepted at 500 ms')
})

t.test('the phases are drawn, and said, those too that took no time', async t => {
  const page = draw([recorded()], { duration: 12_345, phases: [{ phase: 'lame-duck', at: 0, duration: 5000 }, { phase: 'draining', at: 5000, duration: 7345 }, { phase: 'closed', at: 12_345, duration: 0 }] })
  t.match(page, 'aria-label="Phases: lame-duck at 0 ms for 5000 ms, draining at 5000 ms for 7345 ms, closed at 12.3 s for 0 ms"')
  t.equal(count(page, /<g class="phase /g), 2)
})

t.test('there is a bar for each 100 ms in which something has closed, and its height is the number', async t => {
  const page = draw([10, 20, 99, 100, 350, 1000].map((endedAt, i) => recorded({ states: [[0, 'idle']], endedAt, outcome: i === 0 ? 'cut' : 'peer-closed' })))
  t.match(page, 'Connections closed per 100 ms: at most 3, at 0 ms')
  t.same([...page.matchAll(/<rect class="close [^>]*height="([\d.]+)"><title>([^<]*)/g)].map(([, height, title]) => `${title}: ${height}`), [
    '0 ms to 100 ms: 2 peer-closed: 60', '0 ms to 100 ms: 1 cut: 30', '100 ms to 200 ms: 1 peer-closed: 30', '300 ms to 400 ms: 1 peer-closed: 30', '1000 ms to 1100 ms: 1 peer-closed: 30'
  ])
  t.match(draw([recorded({ endedAt: 3_600_000 })]), 'Closes per 9000 ms', 'a long drain has no more of them')
})

t.test('outcomes that have occurred can be chosen, with their counts', async t => {
  const page = draw(crowd(30))
  t.same([...page.matchAll(/value="([a-z-]+)"(?: checked)?>[^<]*<b>(\d+)/g)].map(([, outcome, count]) => `${outcome} ${count}`), ['all 30', 'peer-closed 27', 'cut 3'])
})

t.test('every chart says what it is to those who do not see it', async t => {
  for (const size of [3, 501]) {
    const svgs = draw(crowd(size)).match(/<svg [^>]*viewBox="0 0 1000[^>]*>/g) ?? []
    t.ok(svgs.length >= 3)
    for (const svg of svgs) t.match(svg, /role="img" aria-label="[^"]+"/)
  }
})

t.test('the crowd is counted at each moment', async t => {
  const many = Array.from({ length: 600 }, (_, i) => recorded({ states: [[0, 'idle'], [500, 'lingering']], endedAt: 1000, remotePort: i }))
  const page = draw([...many, recorded({ acceptedAt: 250, states: [[250, 'active']], endedAt: 750 })])
  const said = Object.fromEntries([...page.matchAll(/<title>at (\d+) ms: ([^<]*)</g)].map(([, at, what]) => [at, what]))
  t.match(said, { 0: '600 idle', 240: '600 idle', 250: '1 active, 600 idle', 490: '1 active, 600 idle', 500: '1 active, 600 lingering', 750: '600 lingering', 990: '600 lingering', 1000: 'no connection' })
})
