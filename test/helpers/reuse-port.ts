import { spawn, spawnSync, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import type { DrainReport, FastifyDrainOptions } from '../../index.ts'
import { eventually } from './app.ts'

interface Test { teardown (fn: () => unknown): void }

/** What is missing to run processes in a network namespace of their own, or `false`. */
export function missingForNamespace (): string | false {
  for (const [command, args, origin] of [
    ['nsenter', ['--version'], 'util-linux'], ['ip', ['-V'], 'iproute2'], ['python3', ['-V'], 'python3']
  ] as const) {
    if (spawnSync(command, args).error !== undefined) return `${command} (Debian package ${origin}) is missing`
  }
  const { error, status } = spawnSync('unshare', ['--net', 'ip', 'link', 'set', 'lo', 'up'])
  if (error !== undefined) return 'unshare (Debian package util-linux) is missing'
  return status === 0 ? false : 'unshare may not make a network namespace here; that needs root'
}

export interface Namespace {
  /** Runs a shell script there, to its end. */
  run (script: string): void
  /** Whether half-done handshakes and those who wait to be accepted move to other members when a listener closes. */
  migrate (on: boolean): void
  /** A process that goes on teardown. */
  start (command: string[], env?: Record<string, string>): ChildProcess
  /** The lines of a table of the kernel in /proc/net. */
  table (name: string): string[]
}

const server = { ipv4: '10.99.0.1', ipv6: 'fd99::1', mac: '02:00:00:00:00:01', linkLocal: 'fe80::ff:fe00:1%srv' }
const peer = { ipv4: '10.99.0.2', ipv6: 'fd99::2', mac: '02:00:00:00:00:02' }

/**
 * A network namespace with a loopback device, and with a veth pair at whose other end is no kernel but whoever writes
 * frames to it. Nobody's sockets are there. It lasts as long as a process in it.
 */
export async function startNamespace (t: Test): Promise<Namespace> {
  const children: ChildProcess[] = []
  const holder = spawn('unshare', ['--net', 'sh', '-c', 'ip link set lo up && echo up && exec cat'], { stdio: ['pipe', 'pipe', 'inherit'] })
  await once(holder.stdout, 'data')
  const enter = [`--net=/proc/${holder.pid}/ns/net`, '--']
  t.teardown(async () => {
    for (const child of children) await gone(child)
    holder.stdin.end()
    await gone(holder)
  })

  const namespace: Namespace = {
    run (script) {
      const { status, stderr } = spawnSync('nsenter', [...enter, 'sh', '-ec', script], { encoding: 'utf8' })
      if (status !== 0) throw new Error(`in the network namespace: ${stderr}`)
    },
    migrate: on => namespace.run(`echo ${on ? 1 : 0} > /proc/sys/net/ipv4/tcp_migrate_req`),
    start (command, env = {}) {
      const isNode = command[0] === process.execPath
      const child = spawn('nsenter', [...enter, ...command], {
        stdio: ['pipe', 'pipe', 'inherit', ...(isNode ? ['ipc' as const] : [])],
        env: { ...process.env, KUBERNETES_SERVICE_HOST: undefined, ...env }
      })
      children.push(child)
      return child
    },
    table: name => readFileSync(`/proc/${holder.pid}/net/${name}`, 'latin1').trimEnd().split('\n').slice(1)
  }
  namespace.run(`
    ip link add srv address ${server.mac} type veth peer name peer address ${peer.mac}
    # Addresses are there at once, without a look for duplicates.
    echo 0 > /proc/sys/net/ipv6/conf/srv/accept_dad
    ip link set srv up
    ip link set peer up
    ip address add ${server.ipv4}/24 dev srv
    ip address add ${server.ipv6}/64 dev srv nodad
    ip neighbour add ${peer.ipv4} lladdr ${peer.mac} dev srv
    ip neighbour add ${peer.ipv6} lladdr ${peer.mac} dev srv
  `)
  return namespace
}

async function gone (child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  const exited = once(child, 'exit')
  // They leave when nobody can tell them anything any more; coverage is written then.
  if (child.connected) child.disconnect()
  child.stdin?.end()
  const timer = setTimeout(() => child.kill('SIGKILL'), 5000)
  await exited
  clearTimeout(timer)
}

interface Obedient { child: ChildProcess, order (name: string, argument?: object): Promise<any> }

async function startObedient (namespace: Namespace, fixture: string, nodeArgs: readonly string[], env: Record<string, string>): Promise<Obedient> {
  const loaders = fixture.endsWith('.js') ? [] : process.execArgv.filter(argument => !argument.includes('@tapjs/mock'))
  const file = fileURLToPath(new URL(`../fixtures/${fixture}`, import.meta.url))
  const child = namespace.start([process.execPath, ...loaders, ...nodeArgs, file], env)
  const open = new Map<number, { resolve: (value: any) => void, reject: (error: unknown) => void }>()
  let lastId = 0
  child.setMaxListeners(0)
  child.on('message', (message: { id?: number, value?: unknown, error?: object }) => {
    const waiting = open.get(message.id ?? -1)
    if (message.error === undefined) waiting?.resolve(message.value)
    else waiting?.reject(Object.assign(new Error(), message.error))
    open.delete(message.id ?? -1)
  })
  child.on('exit', () => { for (const { reject } of open.values()) reject(new Error(`${fixture} has ended`)) })
  await once(child, 'message')
  return {
    child,
    order (name, argument = {}) {
      const id = ++lastId
      child.send({ ...argument, id, name })
      return new Promise((resolve, reject) => { open.set(id, { resolve, reject }) })
    }
  }
}

/** A process whose apps can be members of groups. */
export interface Member {
  name: string
  /** An app of it listens; resolves with the port. */
  listen (at: { host: string, port: number }, options?: FastifyDrainOptions): Promise<number>
  /** This app drains and closes. */
  leave (): Promise<DrainReport>
  /** A server that knows nothing of the plugin joins the group. It resets who says nothing for as long as its `impatience` (ms). */
  listenForeign (at: { host: string, port: number }, impatience?: number): Promise<number>
  /** It closes, in the ordinary way. */
  stopForeign (): Promise<void>
  logged (): Promise<Array<{ level: number, msg: string }>>
  /** Its clock goes slower: what it waits for at most takes longer, so that a test has its time. */
  slowDown (t: Test, factor?: number): Promise<void>
  kill (signal: NodeJS.Signals): Promise<{ code: number | null, signal: NodeJS.Signals | null }>
}

export interface MemberOptions {
  /** How long the process sleeps right before a listener closes, in ms. */
  stall?: number
  nodeArgs?: readonly string[]
}

/** Starts a member; `name` is what it answers to every request. */
export async function startMember (namespace: Namespace, name: string, { stall = 0, nodeArgs = [] }: MemberOptions = {}): Promise<Member> {
  const { child, order } = await startObedient(namespace, 'reuse-port-member.ts', nodeArgs, { MEMBER: name, STALL: String(stall) })
  return {
    name,
    async listen ({ host, port }, options) {
      const answer = await order('listen', { key: '', host, port, options })
      return answer.port
    },
    leave: () => order('leave', { key: '' }),
    async listenForeign (at, impatience = 0) {
      const { port } = await order('foreign', { key: '', ...at, impatience })
      return port
    },
    stopForeign: () => order('stopForeign', { key: '' }),
    logged: () => order('logged'),
    async slowDown (t, factor = 8) {
      t.teardown(() => child.connected && order('slowDown', { factor: 1 }))
      await order('slowDown', { factor })
    },
    async kill (signal) {
      const exited = once(child, 'exit')
      child.kill(signal)
      const [code, by] = await exited
      return { code, signal: by }
    }
  }
}

export interface Counts { answered: Record<string, number>, failed: Record<string, number> }

export interface Load {
  /** Begins loops of new connections, to these hosts in turn. */
  start (to: { hosts: string[], port: number }, loops?: number): Promise<void>
  /** Resolves when at least this many more connections were answered; with the answers since the last call, by member. */
  more (connections: number): Promise<Counts>
  stop (): Promise<Counts>
}

/** A process that makes new connections. */
export async function startLoad (namespace: Namespace): Promise<Load> {
  const { order } = await startObedient(namespace, 'reuse-port-load.js', [], {})
  return {
    start: (to, loops = 12) => order('start', { ...to, loops }),
    async more (connections) {
      const ends = performance.now() + 10_000
      const sum: Counts = await order('counts')
      sum.answered = {}
      while (total(sum.answered) < connections) {
        if (performance.now() > ends) throw new Error(`${connections} connections were not answered within 10 s: ${JSON.stringify(sum)}`)
        await new Promise(resolve => setTimeout(resolve, 10))
        const { answered, failed } = await order('counts') as Counts
        for (const [name, count] of Object.entries(answered)) sum.answered[name] = (sum.answered[name] ?? 0) + count
        sum.failed = failed
      }
      return sum
    },
    stop: () => order('stop')
  }
}

function total (counts: Record<string, number>): number {
  return Object.values(counts).reduce((sum, count) => sum + count, 0)
}

export interface HalfOpen {
  /** Begins this many handshakes; resolves when each has its SYN-ACK. */
  begin (count: number): Promise<void>
  /** Finishes them, with a request each; resolves with what became of them. */
  finish (): Promise<{ states: Record<string, number>, bodies: string[] }>
}

let nextPort = 20_000

/** A client at the other end of the veth pair that keeps its handshakes half done. */
export async function halfOpenClient (namespace: Namespace, family: 'ipv4' | 'ipv6', port: number): Promise<HalfOpen> {
  const file = fileURLToPath(new URL('../fixtures/half-open.py', import.meta.url))
  const { stdin, stdout } = namespace.start(['python3', file, 'peer', peer.mac, server.mac, peer[family], server[family], String(port)])
  const lines = createInterface({ input: stdout as NodeJS.ReadableStream })[Symbol.asyncIterator]()
  const answer = async (): Promise<any> => JSON.parse((await lines.next()).value as string)
  await answer()
  return {
    async begin (count) {
      stdin?.write(`syn ${count} ${nextPort}\n`)
      nextPort += count
      const { states } = await answer()
      if (states.synack !== count) throw new Error(`not every handshake has begun: ${JSON.stringify(states)}`)
    },
    async finish () {
      stdin?.write('ack\n')
      return answer()
    }
  }
}

/** Addresses of this side of the veth pair. */
export const serverAddress = { ipv4: server.ipv4, ipv6: server.ipv6, linkLocal: server.linkLocal }

/** Listeners of this port in the namespace. */
export function listeners (namespace: Namespace, port: number): number {
  const hex = `:${port.toString(16).toUpperCase().padStart(4, '0')}`
  return ['tcp', 'tcp6'].flatMap(name => namespace.table(name)).filter(line => {
    const [, local = '', , state] = line.trim().split(/\s+/)
    // TCP_LISTEN
    return state === '0A' && local.endsWith(hex)
  }).length
}

/** Resolves when a member holds the lock of the group of this port: it is leaving, or joining. */
export async function locked (namespace: Namespace, port: number): Promise<void> {
  await eventually(() => namespace.table('unix').some(line => line.endsWith(`:${port}`)), 'a member has the lock')
}
