// Every fenced block of every page: programs are compiled and run, configurations go to the program that they are for, commands have to exist.
// A block that nobody has accounted for is a failure.
import { spawnSync } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { parse } from 'yaml'
import { compile, runIn } from './helpers/consumer.ts'
import { problems } from './helpers/kubernetes.ts'
import { blocksOf, deadLinks, pages, read, type Block } from './helpers/markdown.ts'
import { testApp } from './helpers/app.ts'
import { unknownScripts, wrongCommands } from './helpers/shell-commands.ts'
import { programs } from './helpers/snippet-programs.ts'
import { snippets } from './helpers/snippets.ts'
import { lacks } from './helpers/systemd.ts'

/** What is neither to be run nor to be read by a program. */
const transcripts: Record<string, string> = {
  'bench/README.md: setsockopt(19, SOL_SOCKET, SO_KEEPALIVE, [1], 4) = 0': 'what strace has shown',
  'docs/interop-proxies.md: 21.936978  Caddy > server  HEADERS 6945, 21.937036 HEADERS 6947             served': 'what was on the wire',
  'docs/interop.md: 264.5  40766 > 37413  [P.] HEADERS stream 3 END_STREAM; HEADERS stream 5 END_STREAM; HEADERS stream 7 END_STREAM': 'what was on the wire',
  'docs/interop.md: * Found bundle for host: 0x55fa22ad43e0 [can multiplex]': 'what curl has said'
}

type Check = (t: Test, block: Block) => void | Promise<void>

/** By the name of the block. */
const checks: Record<string, Check> = {
  'README.md: spec:': isPodSpec,
  'docs/behind-a-load-balancer.md: spec:': isPodSpec,
  'docs/behind-a-load-balancer.md: readinessProbe:': (t, { code }) => {
    const probes = parse(code)
    isPod(t, { containers: [{ name: 'app', ...probes }] })
    t.same([probes.readinessProbe.httpGet.path, probes.livenessProbe.httpGet.path], ['/readyz', '/livez'])
  },
  'docs/behind-a-load-balancer.md: { "status": "ok", "phase": "serving" }': async (t, { code }) => {
    const { app } = await testApp(t, { health: true })
    const [serving, draining] = code.trim().split('\n').map(line => JSON.parse(line))
    t.same(serving, (await app.inject('/readyz')).json())
    t.same(Object.keys(draining.connections), Object.keys(app.drain.connections))
  },
  'docs/decisions/0014-how-a-process-hands-over.md: { "speaks": [1], "predecessor": 4711, "listeners": [{ "fd": 4, "name": "", "anyPort": false }] }': (t, { code }) => {
    const [first = ''] = readFileSync(new URL('fixtures/handover-v1.json', import.meta.url), 'utf8').split('\n')
    t.same({ ...JSON.parse(code), listeners: JSON.parse(first).message.listeners }, JSON.parse(first).message)
    t.same(Object.keys(JSON.parse(code).listeners[0]), Object.keys(JSON.parse(first).message.listeners[0]))
  },
  'docs/behind-a-load-balancer.md: backend app': (t, { code }) => {
    accepts(t, ['haproxy', '-c', '-f', join(t.testdir({
      'haproxy.cfg': `defaults\n  mode http\n  timeout connect 1s\n  timeout client 9s\n  timeout server 9s\n\n${code}  server one 127.0.0.1:3000\n\nfrontend all\n  bind 127.0.0.1:3001\n  default_backend app\n`
    }), 'haproxy.cfg')], ['haproxy', 'haproxy'])
  },
  'docs/observability.md: - alert: DrainCutsConnections': (t, { code }) => {
    const file = JSON.stringify({ groups: [{ name: 'drains', rules: parse(code) }] })
    accepts(t, ['promtool', 'check', 'rules', join(t.testdir({ 'rules.yml': file }), 'rules.yml')], ['promtool', 'prometheus'])
  },
  'examples/grafana/README.md: apiVersion: 1': (t, { code }) => {
    const { apiVersion, providers: [provider] } = parse(code)
    t.equal(apiVersion, 1)
    t.match(provider, { name: String, type: 'file', options: { path: /^\// } })
  },
  'examples/grafana/README.md: # prometheus.yml': (t, { code }) => {
    accepts(t, ['promtool', 'check', 'config', join(t.testdir({ 'prometheus.yml': code }), 'prometheus.yml')], ['promtool', 'prometheus'])
  },
  'examples/systemd/README.md: ListenStream=3000': (t, { code }) => {
    const folder = t.testdir({
      'app.socket': `[Socket]\n${code}`,
      'app.service': `[Service]\nExecStart=${process.execPath} app.js\n`
    })
    accepts(t, ['systemd-analyze', 'verify', join(folder, 'app.socket')], ['systemd-analyze', 'systemd'])
  }
}

const all = pages().flatMap(blocksOf)
// Each page there has a test of its own, which runs the files that the page shows.
const ofEnvironments = all.filter(({ page }) => page.startsWith('docs/environments/'))
const others = all.filter(block => !ofEnvironments.includes(block))
const ofShell = others.filter(({ language }) => language === 'sh')

t.test('every block is accounted for, and nothing is accounted for that is not there', async t => {
  const names = others.filter(block => !ofShell.includes(block)).map(({ name }) => name)
  t.same(names.sort(), [...Object.keys(programs), ...Object.keys(checks), ...Object.keys(transcripts)].sort())
  for (const { page, line, code } of ofEnvironments) {
    const name = page.slice('docs/environments/'.length, -'.md'.length)
    t.ok(Object.values(snippets(name)).includes(code), `${page}:${line} is a file with a name`)
    t.ok(existsSync(new URL(`environments-${name}.test.ts`, import.meta.url)), `${page} has a test`)
  }
})

t.test('the files that links lead to exist, and so do the headings', async t => {
  for (const page of pages()) t.same(deadLinks(page), [], page)
})

t.test('the commands in blocks exist, with their files and packages, and the shell can read them', async t => {
  for (const { page, line, code } of ofShell) t.same(wrongCommands(code, page), [], `${page}:${line}`)
})

t.test('every `npm run` in a text is a script', async t => {
  for (const page of pages()) t.same(unknownScripts(read(page)), [], page)
})

for (const block of others) {
  const check = checks[block.name]
  if (check !== undefined) t.test(`${block.page}:${block.line}: ${block.language} is accepted`, async t => { await check(t, block) })
}

const ofPrograms = others.filter(({ name }) => name in programs)
const written = ofPrograms.map(({ name, page, line, code }) => ({ file: `${page}-${line}.js`.replaceAll('/', '-'), text: programOf(name, code) }))
const folder = t.testdir({
  'worker.js': fixture('worker'),
  ...Object.fromEntries(written.map(({ file, text }) => [file, text]))
})

t.test('programs', { jobs: 3 }, async t => {
  t.setTimeout(300_000)

  for (const { file } of written) {
    t.test(`${file} does what its page says`, async t => {
      const { code, stdout, stderr } = await runIn(folder, process.execPath, ['--throw-deprecation', file])
      t.equal(code, 0, 'its end', { stdout, stderr })
      t.equal(stderr, '')
    })
  }

  t.test('TypeScript has nothing to say against them', async t => {
    const [compiled] = await compile([{
      folder,
      files: written.map(({ file }) => file),
      // As an editor looks through JavaScript.
      options: { module: 'nodenext', strict: false, exactOptionalPropertyTypes: false }
    }])
    t.equal(compiled?.text, '')
  })
})

function programOf (name: string, snippet: string): string {
  const { program, changes = [] } = programs[name] as typeof programs[string]
  const changed = changes.reduce((text, [from, to]) => {
    if (!text.includes(from)) throw new Error(`${name} has no ${from} any more`)
    return text.replace(from, () => to)
  }, snippet)
  return fixture(program).replace('// the snippet\n', () => changed)
}

function fixture (name: string): string {
  return readFileSync(new URL(`fixtures/snippets/${name}.js`, import.meta.url), 'utf8')
}

function isPodSpec (t: Test, { code }: Block): void {
  isPod(t, parse(code).spec)
}

function isPod (t: Test, spec: object): void {
  t.same(problems([{ apiVersion: 'v1', kind: 'Pod', metadata: { name: 'app' }, spec }]), [])
}

/** A program that knows the format has nothing to say against it. */
function accepts (t: Test, [command = '', ...args]: string[], tool: [command: string, debian: string]): void {
  const missing = lacks(tool)
  if (missing !== false && process.env.CI !== 'true') return t.comment(missing)
  const { status, stdout, stderr } = spawnSync(command, args, { encoding: 'utf8' })
  t.equal(status, 0, `${command} accepts it`, { stdout, stderr })
}
