import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { accessSync, constants } from 'node:fs'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { host, ip, missingForNamespaces, namespaces, type Host } from './netns.ts'

/*
 * A server and a client in network namespaces of their own, with many lines between them, each with an address at both ends
 * and a quality of its own; the address of the client decides which one it is:
 *
 *     server 10.81.<line>.1 ---- bad-network.py ---- 10.81.<line>.2 client
 *
 * The same could be had from tc-netem(8) where the kernel has it; many, those of virtual machines and CI among them, have
 * not. A program of our own can also drop a packet for what is in it, the last FIN for example, and is repeatable as far as
 * the packets are.
 */

/** What is left out stays as it is; in the beginning a line is perfect. */
export interface Quality {
  /** In one direction, in ms. */
  delay?: number
  /** How much more or less that may be, for each packet by itself: they overtake each other. */
  jitter?: number
  /** The share of packets that are lost. */
  loss?: number
  /** In bits per second; 0: no limit. */
  rate?: number
  /** How much may wait for its turn where there is a rate, in bytes. */
  queue?: number
}

export type Direction = 'toServer' | 'toClient'

/** TCP packets: with data, with a FIN, or with neither. */
export type PacketKind = 'data' | 'fin' | 'bare'

export interface Counts { carried: number, lost: number, reordered: number }

export interface Line {
  readonly number: number
  /** Its addresses. */
  readonly server: string
  readonly client: string
  set (quality: Quality, ...directions: Direction[]): Promise<void>
  /** Nothing gets through any more, and nobody is told; what is on its way arrives. */
  cut (): Promise<void>
  mend (): Promise<void>
  /** The next so many packets of this kind are lost. */
  drop (kind: PacketKind, count: number, direction: Direction): Promise<void>
  counts (): Promise<Record<Direction, Counts>>
}

export interface BadNetwork {
  readonly server: Host
  readonly client: Host
  readonly lines: readonly Line[]
}

const both: Direction[] = ['toServer', 'toClient']

/** What is missing to make such a network, or `false`. */
export function missingForBadNetwork (): string | false {
  if (spawnSync('python3', ['--version']).error !== undefined) return 'python3 is missing'
  try {
    accessSync('/dev/net/tun', constants.R_OK | constants.W_OK)
  } catch {
    return '/dev/net/tun is missing, or may not be opened'
  }
  return missingForNamespaces()
}

/** Makes the network; removed on teardown, after the processes that were started in it later. */
export async function badNetwork (t: { teardown (fn: () => unknown): void }, { lines: count, seed }: { lines: number, seed: number }): Promise<BadNetwork> {
  const names = namespaces(t, ['server', 'client'])
  const python = fileURLToPath(new URL('../fixtures/bad-network.py', import.meta.url))
  const child = spawn('python3', [python, JSON.stringify({ ...names, seed })], { stdio: ['pipe', 'pipe', 'inherit'] })
  const ended = once(child, 'exit')
  t.teardown(() => {
    child.stdin.destroy()
    return ended
  })
  // They come in the order of the commands; the first one says that it has begun.
  const waiting: Array<(answer: string) => void> = []
  const answer = (): Promise<string> => Promise.race([
    new Promise<string>(resolve => { waiting.push(resolve) }),
    ended.then(([code]) => { throw new Error(`bad-network.py has ended with ${code}`) })
  ])
  createInterface(child.stdout).on('line', line => waiting.shift()?.(line))
  child.stdin.on('error', () => {})
  await answer()

  const tell = async (line: number, command: object, directions: Direction[] = both): Promise<Record<Direction, Counts>> => {
    child.stdin.write(`${JSON.stringify({ line, directions, ...command })}\n`)
    return JSON.parse(await answer())
  }
  const lines = Array.from({ length: count }, (_, i): Line => {
    const number = i + 1
    return {
      number,
      server: `10.81.${number}.1`,
      client: `10.81.${number}.2`,
      async set (quality, ...directions) { await tell(number, { quality }, directions.length > 0 ? directions : both) },
      async cut () { await tell(number, { up: false }) },
      async mend () { await tell(number, { up: true }) },
      async drop (kind, count, direction) { await tell(number, { drops: { [kind]: count } }, [direction]) },
      counts: () => tell(number, {})
    }
  })
  const hosts = { server: host(names.server, '10.81.0.1'), client: host(names.client, '10.81.0.2') }
  for (const end of ['server', 'client'] as const) {
    const { namespace, device, v4 } = hosts[end]
    ip(`-n ${namespace} link set lo up`)
    for (const address of [v4, ...lines.map(line => line[end])]) ip(`-n ${namespace} addr add ${address}/32 dev ${device}`)
    ip(`-n ${namespace} link set ${device} up`)
    ip(`-n ${namespace} route add 10.81.0.0/16 dev ${device} src ${v4}`)
  }
  return { ...hosts, lines }
}
