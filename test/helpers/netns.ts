import { execFileSync, spawnSync } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { existsSync } from 'node:fs'

/*
 * A server and a client in network namespaces of their own, with a switch between them:
 *
 *     server eth0 ---- switch ---- eth0 client
 *
 * With one cable from end to end, the server's link would lose its carrier together with the client's, and its kernel
 * would throw away what it sends before anybody, tcpdump included, could see it. That is not what a host sees of a
 * peer that vanishes.
 */

export interface Host {
  /** The namespace; unique on this machine. */
  readonly namespace: string
  readonly device: string
  readonly v4: string
  /** `null` where the kernel has no IPv6. */
  readonly v6: string | null
  /** What runs a command in this namespace. */
  readonly under: string[]
  /** Runs a command to its end; its stdout. */
  run (command: string, ...args: string[]): string
  sysctl (key: string): string
  setSysctl (key: string, value: string | number): void
}

export interface Network {
  readonly server: Host
  readonly client: Host
  /** The client's link goes down: nothing arrives there any more, and nobody tells the server. */
  clientDown (): void
  /** The switch drops everything; both ends keep their link. What is sent meanwhile is sent again later, by TCP. */
  cut (): void
  /** The end of cut(). */
  mend (): void
}

/** What is missing to make network namespaces, or `false`. */
export function missingForNamespaces (): string | false {
  const { error, status } = spawnSync('unshare', ['--net', 'ip', 'link', 'add', 'switch', 'type', 'bridge'])
  if (error !== undefined) return 'unshare (util-linux) is missing'
  return status === 0 ? false : 'no network namespace with a bridge can be made here; that needs root and ip (iproute2)'
}

/** Makes the network; removed on teardown, after the processes that were started in it later. */
export function network (t: { teardown (fn: () => unknown): void }): Network {
  const names = namespaces(t, ['server', 'client', 'wire'])
  ip(`-n ${names.wire} link add switch type bridge forward_delay 0 mcast_snooping 0`)
  ip(`-n ${names.wire} link set switch up`)
  const v6 = existsSync('/proc/net/if_inet6')
  const server = host(names.server, '10.80.0.1', v6 ? 'fd00:80::1' : null)
  const client = host(names.client, '10.80.0.2', v6 ? 'fd00:80::2' : null)
  for (const [i, { namespace, device }] of [server, client].entries()) {
    ip(`-n ${namespace} link set lo up`)
    ip(`link add ${device} netns ${namespace} type veth peer name port${i} netns ${names.wire}`)
    ip(`-n ${names.wire} link set port${i} master switch up`)
  }
  for (const { namespace, device, v4, v6 } of [server, client]) {
    ip(`-n ${namespace} addr add ${v4}/24 dev ${device}`)
    if (v6 !== null) ip(`-n ${namespace} addr add ${v6}/64 dev ${device} nodad`)
    ip(`-n ${namespace} link set ${device} up`)
  }

  return {
    server,
    client,
    clientDown () { ip(`-n ${names.client} link set ${client.device} down`) },
    cut () { ip(`-n ${names.wire} link set port1 nomaster`) },
    mend () { ip(`-n ${names.wire} link set port1 master switch`) }
  }
}

/** Makes network namespaces with these roles; removed on teardown, after the processes that were started in them later. */
export function namespaces<Role extends string> (t: { teardown (fn: () => unknown): void }, roles: readonly Role[]): Record<Role, string> {
  removeLeftovers()
  const id = `drain-test-${process.pid}-${randomBytes(3).toString('hex')}`
  const names = Object.fromEntries(roles.map(role => [role, `${id}-${role}`])) as Record<Role, string>
  t.teardown(() => { for (const role of roles) spawnSync('ip', ['netns', 'del', names[role]]) })
  for (const role of roles) ip(`netns add ${names[role]}`)
  return names
}

export function host (namespace: string, v4: string, v6: string | null = null): Host {
  const under = ['ip', 'netns', 'exec', namespace]
  const run = (...command: string[]): string => execFileSync('ip', [...under.slice(1), ...command], { encoding: 'utf8' })
  const file = (key: string): string => `/proc/sys/${key.replaceAll('.', '/')}`
  return {
    namespace,
    device: 'eth0',
    v4,
    v6,
    under,
    run,
    // The files show what belongs to the namespace of the process that opens them.
    sysctl: key => run('cat', file(key)).trim(),
    setSysctl (key, value) { run('sh', '-c', 'echo "$1" > "$2"', 'sh', String(value), file(key)) }
  }
}

/** Runs ip(8); its stdout. */
export function ip (command: string): string {
  return execFileSync('ip', command.split(' '), { encoding: 'utf8' })
}

// A test that is killed removes nothing; its namespaces bear its process id.
function removeLeftovers (): void {
  for (const line of ip('netns list').split('\n')) {
    const [name = '', pid] = /^drain-test-(\d+)-\S+/.exec(line) ?? []
    if (pid !== undefined && !existsSync(`/proc/${pid}`)) spawnSync('ip', ['netns', 'del', name])
  }
}
