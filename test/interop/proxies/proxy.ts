import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { connect, createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { tlsOptions } from '../../helpers/tls.ts'
import type { Teardown } from '../restart.ts'
import { caddy, haproxy, nginx, type Config, type Front, type Protocol } from './configs.ts'
import { reloadCaddy, reloadNginx, tellHaproxy, type ChangeUpstreams } from './upstreams.ts'

interface Program {
  config (config: Config): string
  args (file: string): string[]
  /** The file of its log of requests; `null`: it does not say how often it has sent them. */
  log: 'stdout' | 'access.log' | null
  /** Whether that is what is logged of a request that was sent to a server more than once. */
  isRetried (attempts: string): boolean
  changeUpstreams: ChangeUpstreams
  /** Ends it and all that it has started. */
  kill: NodeJS.Signals
}

const programs = {
  nginx: {
    config: nginx,
    args: file => ['-e', 'stderr', '-c', file],
    log: 'access.log',
    isRetried: addresses => addresses.includes(','),
    changeUpstreams: reloadNginx,
    kill: 'SIGTERM'
  },
  haproxy: {
    config: haproxy,
    args: file => ['-db', '-f', file],
    log: 'stdout',
    isRetried: retries => retries !== '0',
    changeUpstreams: tellHaproxy,
    kill: 'SIGKILL'
  },
  caddy: {
    config: caddy,
    args: file => ['run', '--adapter', 'caddyfile', '--config', file],
    log: null,
    isRetried: () => false,
    changeUpstreams: reloadCaddy,
    kill: 'SIGKILL'
  }
} satisfies Record<string, Program>

export type ProxyName = keyof typeof programs

// nginx and HAProxy are in sbin, which is not in every user's PATH.
const env = { ...process.env, PATH: `${process.env.PATH}:/usr/sbin:/sbin` }

/** The proxies that are not installed. */
export function missingProxies (): string[] {
  return Object.keys(programs).filter(name => spawnSync(name, ['-v'], { env }).error !== undefined)
}

/** How many requests a proxy has logged, and how many of them it has sent to a server more than once. */
export interface ProxyLog { requests: number, retried: number }

export interface Proxy {
  /** What it has logged of the clients of one front; `null`: it does not say. */
  log (front: string, protocol: Protocol): ProxyLog | null
  /** Gives its one front other servers; resolves when nothing new is sent to those that have gone. One call at a time. */
  changeUpstreams (ports: number[]): Promise<void>
}

/** Starts a proxy; resolves when it takes connections. `changes`: its upstreams will change. Ended on teardown. */
export async function startProxy (t: Teardown, name: ProxyName, fronts: Front[], { changes = false } = {}): Promise<Proxy> {
  const { config, args, log, isRetried, changeUpstreams, kill: killSignal }: Program = programs[name]
  const folder = mkdtempSync(join(tmpdir(), `interop-${name}-`))
  const write = (name: string, text: string): string => {
    writeFileSync(join(folder, name), text)
    return join(folder, name)
  }
  const { key, cert } = tlsOptions
  const tls = { key: write('key.pem', key), cert: write('cert.pem', cert), both: write('both.pem', cert + key) }
  let current: Config = { fronts, folder, tls, ...(changes && { generation: 0 }) }
  const file = write('config', config(current))

  // Files, because HAProxy drops what does not fit into a pipe.
  const [stdout, stderr] = ['stdout', 'stderr'].map(name => openSync(join(folder, name), 'w')) as [number, number]
  const child = spawn(name, args(file), {
    env: { ...env, HOME: folder, XDG_CONFIG_HOME: folder, XDG_DATA_HOME: folder }, stdio: ['ignore', stdout, stderr]
  })
  for (const fd of [stdout, stderr]) closeSync(fd)
  const closed = once(child, 'close')
  let isClosed = false
  child.once('close', () => { isClosed = true })
  // A test that is timed out has no teardown.
  const kill = (): void => { child.kill(killSignal) }
  process.once('exit', kill)
  t.teardown(async () => {
    process.off('exit', kill)
    if (!isClosed) kill()
    await closed
    rmSync(folder, { recursive: true })
  })

  for (const port of fronts.flatMap(({ port, tlsPort }) => [port, tlsPort])) {
    while (!await accepts(port)) {
      if (isClosed) throw new Error(`${name} has ended: ${readFileSync(join(folder, 'stderr'), 'utf8')}`)
      await sleep(20)
    }
  }

  return {
    log (front, protocol) {
      if (log === null) return null
      const lines = readFileSync(join(folder, log), 'utf8').split('\n')
      const attempts = lines.filter(line => line.startsWith(`${front} ${protocol}`)).map(line => line.split(' ').slice(2).join(' '))
      return { requests: attempts.length, retried: attempts.filter(isRetried).length }
    },
    async changeUpstreams (ports) {
      const [front, ...others] = current.fronts
      if (front === undefined || others.length > 0 || current.generation === undefined) throw new Error(`${name} was not started for that`)
      const changed = { ...front, upstreams: ports }
      current = { ...current, fronts: [changed], generation: current.generation + 1 }
      write('config', config(current))
      await changeUpstreams({ pid: child.pid ?? -1, file, config: current, front: changed, before: front.upstreams })
    }
  }
}

async function accepts (port: number): Promise<boolean> {
  const socket = connect(port, '127.0.0.1')
  try {
    await once(socket, 'connect')
    return true
  } catch {
    return false
  } finally {
    socket.destroy()
  }
}

// The kernel gives outgoing connections ports from 32768 on: below that one stays free until the proxy takes it.
const lowest = 12_000
const highest = 32_000

/** A port for a program that cannot say which one it got. */
export async function freePort (): Promise<number> {
  for (;;) {
    const port = lowest + Math.floor(Math.random() * (highest - lowest))
    const server = createServer()
    try {
      await once(server.listen(port, '127.0.0.1'), 'listening')
    } catch {
      continue
    }
    await once(server.close(), 'close')
    return port
  }
}
