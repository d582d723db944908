// pm2 itself is one thing on all Node lines, and takes its time: it is tried on the oldest and the newest one.
import { execFile } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import t, { type Test } from 'tap'
import { request } from 'undici'
import { startClients } from './helpers/keep-alive-clients.ts'
import { snippets } from './helpers/snippets.ts'
import { unusedPort } from './helpers/systemd.ts'

const run = promisify(execFile)
const folder = fileURLToPath(new URL('../environments/', import.meta.url))
const pm2 = join(folder, 'node_modules/pm2/bin/pm2')
const skip = /^(20|26)\./.test(process.versions.node) ? false : 'on Node 20 and 26 only'

if (skip === false) {
  const { install, needsInstall } = await import(new URL('../scripts/toolchain.js', import.meta.url).href)
  if (needsInstall(folder)) {
    const { ok, output } = await install(folder)
    if (!ok) throw new Error(`pm2 cannot be installed: ${output}`)
  }
}

/** An answer takes this long, in ms; pm2 waits for 1600 by default. */
const slow = (text: string, ms: number): string =>
  text.replace('({ body }) => body', `({ body }) => new Promise(resolve => setTimeout(resolve, ${ms}, body))`)

// What is changed in the files of the page.
const variants = {
  page: (text: string) => slow(text, 1800),
  short: (text: string) => slow(text, 3000).replace(/ +kill_timeout.*\n/, '').replace('instances: 2', 'instances: 1'),
  fork: (text: string) => text.replace("'cluster'", "'fork'").replace('instances: 2', 'instances: 1')
}
type Variant = keyof typeof variants
const names = Object.keys(variants) as Variant[]

t.test('pm2 reload under load', { skip }, async t => {
  const ports = { page: await unusedPort(), short: await unusedPort(), fork: await unusedPort() }
  const { command, log } = startPm2(t, writeApps(t, ports))
  // One pm2 for all, because of the time that takes; the first command starts the daemon.
  for (const name of names) await command(name, 'start', 'ecosystem.config.cjs')
  // It takes one reload at a time.
  const page = await reload('page', 2)
  const short = await reload('short', 1)
  const fork = await reload('fork', 1)

  t.same(page.failed, {}, 'with the settings of the page nothing is lost')
  t.same([...page.after].filter(pid => page.before.has(pid)), [], 'all workers are new ones')
  t.notOk([...page.before].some(pid => killed(log()).includes(pid)))

  t.ok((short.failed['UND_ERR_SOCKET'] ?? 0) > 0, 'without kill_timeout an answer that takes longer than 1600 ms is cut')
  t.ok([...short.before].some(pid => killed(log()).includes(pid)))

  t.ok((fork.failed['ECONNREFUSED'] ?? 0) > 0, 'in fork mode nobody listens for a while')

  async function reload (name: Variant, workers: number): Promise<Reloaded> {
    const before = await listening(ports[name], workers)
    const clients = startClients(t, { port: ports[name], clients: 15, spread: 1500 })
    const { failed, pids } = clients.tally
    await clients.answers(20)
    await command(name, 'reload', name)
    // The last answers of the old ones may still be on their way.
    await clients.answers(10)
    pids.clear()
    await clients.answers(20)
    const { answered, connections } = await clients.stop()
    t.comment(`${name}: ${answered} answered on ${connections} connections, failed: ${JSON.stringify(failed)}`)
    return { failed, before, after: pids }
  }
})

interface Reloaded {
  failed: Record<string, number>
  /** Who has listened before, and who has answered behind the reload. */
  before: Set<number>
  after: Set<number>
}

/** The workers, when all of them answer: `pm2 start` does not wait. */
async function listening (port: number, workers: number): Promise<Set<number>> {
  const pids = new Set<number>()
  const end = performance.now() + 20_000
  while (pids.size < workers) {
    if (performance.now() > end) throw new Error(`only ${pids.size} of ${workers} workers listen`)
    try {
      const { body } = await request(`http://127.0.0.1:${port}/`, { reset: true })
      pids.add((await body.json() as { pid: number }).pid)
    } catch {
      await sleep(50)
    }
  }
  return pids
}

/** A folder for each variant of what the page shows. */
function writeApps (t: Test, ports: Record<Variant, number>): string {
  const folders = names.map(name => {
    const files = Object.entries(snippets('pm2')).map(([file, text]) => [
      file, variants[name](text).replace("name: 'app'", `name: '${name}'`).replace('3000)', `${ports[name]})`)
    ])
    return [name, Object.fromEntries(files)]
  })
  return t.testdir(Object.fromEntries(folders))
}

interface Pm2 {
  /** Runs it to its end in this folder of them. */
  command (folder: string, ...args: string[]): Promise<unknown>
  log (): string
}

/** A pm2 of its own; it and its apps are gone on teardown. */
function startPm2 (t: Test, cwd: string): Pm2 {
  // Not in the folder of the test: the path of a Unix socket has at most 107 characters.
  const home = mkdtempSync(join(tmpdir(), 'pm2-'))
  const env = { PATH: process.env.PATH, HOME: home, PM2_HOME: home, PM2_DISABLE_VERSION_CHECK: 'true' }
  const runIn = (cwd: string, ...args: string[]): Promise<unknown> => run(process.execPath, [pm2, ...args], { cwd, env, timeout: 30_000 })
  t.teardown(async () => {
    await runIn(home, 'kill')
    rmSync(home, { recursive: true, force: true })
  })
  return { command: (name, ...args) => runIn(join(cwd, name), ...args), log: () => readFileSync(join(home, 'pm2.log'), 'utf8') }
}

/** Those that pm2 did not wait for. */
function killed (log: string): number[] {
  return [...log.matchAll(/Process with pid (\d+) still alive after 1600ms, sending SIGKILL/g)].map(([, pid]) => Number(pid))
}
