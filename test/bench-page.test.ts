import { execFile, spawnSync } from 'node:child_process'
import { existsSync, readFileSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import t, { type Test } from 'tap'
import { rawResults } from './helpers/bench-raw.ts'

const bench = new URL('../bench/', import.meta.url)
const command = fileURLToPath(new URL('all.js', bench))
// They are a package of their own.
const isInstalled = existsSync(new URL('node_modules/vega', bench))
const skip = isInstalled || process.env.CI === 'true' ? false : 'the dependencies of bench/ are not installed: npm ci in bench/'

t.test('the page of the benches', { skip }, async t => {
  const { parts } = await import(new URL('page/index.js', bench).href)

  const { render } = await import(new URL('lib/page/render.js', bench).href)

  /** What results.json has after a run of all parts. */
  function aRun (change: (raw: Record<string, any>) => void = () => {}): any {
    const raw = rawResults()
    change(raw)
    const of = (name: string) => ({ began: '2026-01-01T10:00:00Z', load: 0.25, seconds: 61, commands: ['x.js'], data: parts[name].condense(raw[name]) })
    return {
      format: 1,
      quick: false,
      machine: { cpu: 'A processor', cores: 2, memory: '8 GiB', kernel: 'Linux 6', node: 'v20', fastify: '5', plugin: '0', date: '2026-01-01' },
      parts: Object.fromEntries(Object.keys(parts).map(name => [name, of(name)]))
    }
  }

  async function runPageOnly (folder: string): Promise<{ code: unknown, output: string }> {
    return new Promise(resolve => {
      execFile(process.execPath, [command, '--page-only', '--out', folder], (error, stdout, stderr) => resolve({ code: error?.code ?? 0, output: stdout + stderr }))
    })
  }

  function folderOf (t: Test, results: object): string {
    return join(t.testdir({ page: { 'results.json': JSON.stringify(results) } }), 'page')
  }

  const targetsOf = (page: string): string[] => page.split('## The machine')[0]?.split('\n').filter(line => line.startsWith('| ')).slice(1) ?? []

  t.test('a run that reaches every target ends with 0, and its page has the tables, the charts and the machine', async t => {
    const folder = folderOf(t, aRun())
    const { code, output } = await runPageOnly(folder)
    t.equal(code, 0, output)
    const page = readFileSync(join(folder, 'README.md'), 'utf8')
    const targets = targetsOf(page)
    t.ok(targets.length >= 20)
    for (const line of targets) t.match(line, / \| yes \|$/)
    t.match(page, 'A processor, 2 cores, 8 GiB of memory, Linux 6; Node v20, Fastify 5')
    t.match(page, '| [Scale](#scale) | 2026-01-01 10:00 | 1 min 1 s | 0.25 | `x.js` |')
    t.match(page, '| Fastify alone | 1,000 | 9 / 9 | 0 / 0 | 3 / 3 | 150 / 150 | 41 / 41 |', 'median and worst of the rounds')
    t.match(page, '| **fastify-drain** | 462 / 462 | 448 / 448 | 1.03 / 1.03 | 0 / 0 |', 'the ratio to the longest request')
    t.match(page, '| 300 | 3,000 / 3,000 | 5,000 / 5,000 | 60 % |', 'the ratio to bare descriptor passing')
    t.match(page, '| stoppable | 26 / 26 | 26 / 26 | 26 / 26 | 26 / 26 | 112 x EPIPE |')
    t.notMatch(page, /undefined|NaN|\[object/)

    const charts = readdirSync(folder).filter(name => name.endsWith('.svg'))
    for (const name of charts) t.match(page, `](${name})`)
    t.equal(charts.length, page.match(/\]\([a-z0-9-]+\.svg\)/g)?.length)
    const parsed = spawnSync('python3', ['-c', 'import sys\nfrom xml.etree import ElementTree\nfor name in sys.argv[1:]: print(ElementTree.parse(name).getroot().tag)', ...charts.map(name => join(folder, name))], { encoding: 'utf8' })
    t.strictSame(new Set(parsed.stdout.trim().split('\n')), new Set(['{http://www.w3.org/2000/svg}svg']), parsed.stderr)
    for (const name of charts) {
      const svg = readFileSync(join(folder, name), 'utf8')
      t.match(svg, 'fill="white"', `${name} is drawn on white`)
      t.notMatch(svg, /NaN|undefined/, name)
    }
  })

  t.test('a target that is missed is shown as missed, named, and makes the exit code 1', async t => {
    const results = aRun(raw => {
      const mine = (list: any[]): any => list.find(({ variant }) => variant === 'fastify-drain')
      mine(raw.sigterm.sigterm.results).lost = 1
      mine(raw['early-413'].uploads.results).whole = 39
      mine(raw['exit-time'].exits.results).exit.ms = 600
    })
    const folder = folderOf(t, results)
    const { code, output } = await runPageOnly(folder)
    t.equal(code, 1)
    const missed = targetsOf(readFileSync(join(folder, 'README.md'), 'utf8')).filter(line => line.endsWith('| **no** |'))
    t.equal(missed.length, 3)
    t.match(missed[0], '| requests lost or answered 503 at SIGTERM, each restart | 0 | 0 / 1 | worst | **no** |')
    t.match(missed[1], '| exit when all connections are busy, beyond the longest request in flight | at most 100 ms | 83 / 152 ms | worst | **no** |')
    t.match(missed[2], '| early 413 read by Python http.client, in steady state and at SIGTERM | 40 of 40 | 40 / 39 | worst | **no** |')
    t.match(output, 'Missed: requests lost or answered 503 at SIGTERM, each restart: 0 / 1')
  })

  t.test('the other servers have to lose what they always lose: otherwise the load was not what it should be', async t => {
    const { markdown, missed } = await render(aRun(raw => {
      for (const result of raw.sigterm.sigterm.results) {
        if (result.variant === 'stoppable') Object.assign(result, { lost: 0, answered503: 1 })
      }
    }), parts)
    t.equal(missed.length, 1)
    t.match(markdown, '| the same of every other server, all 4 restarts together | at least 26 each | 25 / 4 (the least: stoppable) | worst | **no** |')
  })

  t.test('what was not measured is neither reached nor missed', async t => {
    const { markdown, missed } = await render(aRun(raw => {
      raw.overhead.apart.results[0].cpu.pairs.splice(29)
      for (const result of raw.scale.scale.results) result.bareLoopMs = null
    }), parts)
    t.strictSame(missed, [])
    t.match(markdown, '| CPU per request beyond bare Fastify, median of 29 pairs | at most 1 %, of at least 30 pairs | not measured | median | not measured |')
    t.match(markdown, /time of the closes \/ bare loop of close\(\) \| at most 1.5 \| not measured \|/)
  })

  t.test('a part that has failed costs only itself: it is named on the page, and the exit code is 1', async t => {
    const results = aRun(raw => raw.handover.handover.results.push({ round: 1, way: 'cluster', connections: 300, error: 'The server has ended\nand how' }))
    results.quick = true
    results.parts.rolling = { began: '2026-01-01T10:00:00Z', load: 1, seconds: 2, commands: ['rolling.js'], error: 'rolling.js has failed: Not installed: caddy' }
    delete results.parts.http2
    const { markdown: page, missed } = await render(results, parts)
    t.match(page, '**Failed: Rolling restart behind a proxy.** rolling.js has failed: Not installed: caddy')
    t.match(page, 'Not run: HTTP/2.')
    t.match(page, '**This was a quick run')
    t.match(page, '## Handover')
    t.match(page, '**Failed:** a run did not come to its end: handover of workers, 300 connections: The server has ended.')
    t.strictSame(missed, ['Handover: a run did not come to its end: handover of workers, 300 connections: The server has ended', 'rolling has failed: rolling.js has failed: Not installed: caddy'])
  })

  t.test('a bench that fails costs only its part, and says why', async t => {
    const { runParts } = await import(new URL('lib/page/run-parts.js', bench).href)
    const said: string[] = []
    const results: Record<string, any> = {}
    const part = (...command: string[]) => ({ title: command[0], minutes: { full: 1, quick: 1 }, runs: () => ({ one: command }), condense: ({ one }: any) => one.flags })
    await runParts({ broken: part('descriptors.js', '--rounds', '0'), whole: part('descriptors.js', '--rounds', '1', '--connections', '3', '--windows', '2') }, {
      quick: true, line: '20', say: (text: string) => said.push(text), onPart: async (name: string, result: object) => { results[name] = result }
    })
    t.match(results.broken, { error: /descriptors.js has failed \(exit code 1\): --rounds must be a whole number from 1 to 100/ })
    t.match(results.whole, { data: { windows: [2], connections: [3] }, commands: ['descriptors.js --rounds 1 --connections 3 --windows 2'] })
    t.match(said.join('\n'), /2\/2 whole \(0:\d\d min gone, about 0:\d\d min to go\) \[1\/1\] 3 connections, 2 at a time/)
  })

  t.test('without results, or with those of another version, --page-only says so', async t => {
    const folder = folderOf(t, { ...aRun(), format: 0 })
    const [none, other] = await Promise.all([runPageOnly(join(folder, 'none')), runPageOnly(folder)])
    t.match(none, { code: 1, output: /There are no results to begin with/ })
    t.match(other, { code: 1, output: /is of another version of the benches: run them again/ })
  })
})
