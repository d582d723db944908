import { execFile, spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { fixture, startProgram } from './systemd.ts'

const run = promisify(execFile)
const root = fileURLToPath(new URL('../..', import.meta.url))

interface Test { teardown (fn: () => unknown): void, testdir (): string }

/** What is missing to run systemd as PID 1 of its own namespaces, or `false`. */
export function lacksManager (): string | false {
  if (!existsSync('/lib/systemd/systemd')) return 'systemd is missing (Debian package systemd)'
  if (process.getuid?.() !== 0) return 'systemd in a namespace needs root'
  const { status, stderr } = spawnSync('unshare', ['--pid', '--mount', '--cgroup', '--uts', '--ipc', '--fork', 'true'], { encoding: 'utf8' })
  if (status !== 0) return `unshare (util-linux) may not make the namespaces for systemd here: ${stderr}`
  return cgroups() === undefined ? 'no cgroup2 file system is mounted, which systemd needs' : false
}

function cgroups (): string | undefined {
  return /^\S+ (\S+) cgroup2 rw/m.exec(readFileSync('/proc/mounts', 'utf8'))?.[1]
}

export interface Manager {
  /** Runs systemctl to its end; resolves with its output. */
  systemctl (...args: string[]): Promise<string>
  /** What `systemctl show` says. */
  show (unit: string, property: string): Promise<string>
  /** In this folder is what `units` returned, and everything that services may write. */
  folder: string
}

// What units are ordered after by default.
const targets = ['default', 'sysinit', 'basic', 'sockets', 'network', 'shutdown', 'multi-user']

let managers = 0

/** Runs systemd, as PID 1 of namespaces of its own, with these files, by name; killed on teardown. */
export async function startManager (t: Test, units: (folder: string) => Record<string, string>): Promise<Manager> {
  const folder = t.testdir()
  for (const target of targets) write(`${target}.target`, '[Unit]\nDefaultDependencies=no\n')
  for (const [name, text] of Object.entries(units(folder))) write(name, text)

  const boot = startProgram(t, ['sh', fixture('systemd-boot.sh'), join(cgroups()!, `drain-test-${process.pid}-${managers++}`), root, folder])
  const { pid: unshared } = await boot.tells({ type: 'started' })
  t.teardown(async () => {
    boot.endInput()
    await boot.exited
  })
  const pid = await firstChild(unshared)

  const systemctl = async (...args: string[]): Promise<string> => {
    const { stdout } = await run('nsenter', ['-t', String(pid), '-m', '-p', 'systemctl', '--no-pager', ...args])
    return stdout.trim()
  }
  await retry(() => systemctl('is-active', 'default.target'))
  return { folder, systemctl, show: (unit, property) => systemctl('show', '--value', '-p', property, unit) }

  function write (name: string, text: string): void {
    const path = join(folder, name)
    mkdirSync(dirname(path), { recursive: true })
    writeFileSync(path, text)
  }
}

/** The PID 1 of the namespace, as it is called out here. */
function firstChild (pid: number): Promise<number> {
  return retry(async () => {
    const [child = ''] = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim().split(' ')
    if (child === '') throw new Error('unshare has started nothing')
    return Number(child)
  })
}

/** For what no event announces; at most 10 s. */
async function retry <T> (attempt: () => Promise<T>): Promise<T> {
  for (let i = 0; ; i++) {
    try {
      return await attempt()
    } catch (error) {
      if (i === 200) throw error
      await sleep(50)
    }
  }
}
