import { spawn, spawnSync } from 'node:child_process'
import { randomInt } from 'node:crypto'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import type { Host } from './netns.ts'

export interface Packet {
  /** Wall-clock time at which the kernel saw it, in ms; comparable with Date.now(). */
  time: number
  /** Address and port, such as `127.0.0.1:80` or `[::1]:80`. */
  from: string
  to: string
  /** Letters of tcpdump: S (SYN), F (FIN), R (RST), P (PSH), `.` (ACK). */
  flags: string
  /** Of the first byte; `null` where nothing is sent, acknowledgements and keepalive probes included. */
  seq: number | null
  ack: number | null
  /** Bytes of data. */
  length: number
}

export interface Capture {
  /** Everything so far. */
  readonly packets: readonly Packet[]
  /** Resolves when what was seen fits; for at most 20 s. */
  until (fits: (packets: readonly Packet[]) => boolean, what: string): Promise<void>
  /** All packets until now. Fails when the kernel had to drop some. */
  stop (): Promise<Packet[]>
}

export interface CaptureOptions {
  /** Where to listen, in which namespace; without it on `lo`, here. */
  host?: Host
  /** Which packets, in the words of pcap-filter(7). */
  filter: string
}

/** What is missing to see packets, or `false`. */
export function missingForCapture (): string | false {
  if (spawnSync('tcpdump', ['--version']).error !== undefined) return 'tcpdump is missing'
  return process.getuid?.() === 0 ? false : 'tcpdump needs root'
}

/** Records TCP packets with tcpdump; resolves when nothing can be missed any more. Ended on teardown. */
export async function capture (t: { teardown (fn: () => unknown): void }, { host, filter }: CaptureOptions): Promise<Capture> {
  const [command = '', ...under] = [...host?.under ?? [], 'tcpdump']
  const end = randomInt(1024, 65536)
  const child = spawn(command, [
    ...under, '-i', host?.device ?? 'lo', '-n', '-tt', '-S', '-l', '--immediate-mode', '-s', '160', '-B', '16384',
    `(${filter}) or (udp and dst port ${end})`
  ], { stdio: ['ignore', 'pipe', 'pipe'] })
  const packets: Packet[] = []
  const changed = new Set<() => void>()
  let stderr = ''
  let sawEnd = false

  child.stderr.setEncoding('utf8').on('data', (text: string) => { stderr += text })
  createInterface(child.stdout).on('line', line => {
    const packet = parse(line)
    if (packet !== null) packets.push(packet)
    else if (line.includes(`.${end}: UDP`)) sawEnd = true
    for (const check of [...changed]) check()
  })
  const closed = once(child, 'close')
  t.teardown(() => {
    child.kill('SIGKILL')
    return closed
  })

  // tcpdump says so when its filter is in place.
  while (!stderr.includes('listening on')) {
    await Promise.race([once(child.stderr, 'data'), closed.then(() => { throw new Error(`tcpdump ended: ${stderr}`) })])
  }

  function until (fits: () => boolean, what: string): Promise<void> {
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => done(new Error(`tcpdump did not see this within 20 s: ${what}`)), 20_000)
      const check = (): void => { if (fits()) done() }
      const done = (error?: Error): void => {
        clearTimeout(timer)
        changed.delete(check)
        if (error === undefined) resolve()
        else reject(error)
      }
      changed.add(check)
      check()
    })
  }

  return {
    packets,
    until: (fits, what) => until(() => fits(packets), what),
    async stop () {
      // When this one has come out, so has everything before it. Multicast needs no neighbour.
      const [program = '', ...args] = [...host?.under ?? [], 'python3', '-c', sendEnd, host?.v4 ?? '127.0.0.1', host === undefined ? '127.0.0.1' : '224.0.0.1', String(end)]
      const sent = spawnSync(program, args, { encoding: 'utf8' })
      if (sent.status !== 0) throw new Error(`the end of the capture cannot be marked: ${sent.stderr}`)
      await until(() => sawEnd, 'the end of the capture')
      child.kill('SIGINT')
      await closed
      const [, dropped] = /(\d+) packets? dropped by kernel/.exec(stderr) ?? []
      if (dropped !== '0') throw new Error(`tcpdump has lost packets: ${stderr}`)
      return packets
    }
  }
}

const sendEnd = `
import socket, sys
own, to, port = sys.argv[1:]
end = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
end.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton(own))
end.sendto(b'end', (to, int(port)))
`

function parse (line: string): Packet | null {
  const [, time, from = '', to = '', flags, rest = ''] = /^(\d+\.\d+) IP6? (\S+) > (\S+): Flags \[([^\]]*)\](.*)/.exec(line) ?? []
  if (time === undefined || flags === undefined) return null
  const number = (pattern: RegExp): number | null => {
    const [, digits] = pattern.exec(rest) ?? []
    return digits === undefined ? null : Number(digits)
  }
  return {
    time: Number(time) * 1000,
    from: endpoint(from),
    to: endpoint(to),
    flags,
    seq: number(/\bseq (\d+)/),
    ack: number(/\back (\d+)/),
    length: number(/\blength (\d+)/) ?? 0
  }
}

function endpoint (text: string): string {
  const dot = text.lastIndexOf('.')
  const address = text.slice(0, dot)
  return `${address.includes(':') ? `[${address}]` : address}:${text.slice(dot + 1)}`
}
