import { setTimeout as sleep } from 'node:timers/promises'
import type { Pace, Tally } from '../interop/client.ts'
import { Ledger } from '../interop/ledger.ts'
import type { ProxyName } from '../interop/proxies/proxy.ts'
import type { Teardown } from '../interop/restart.ts'
import { startIngress, type Failure, type Ingress } from './ingress.ts'
import { createPod, type Ended, type Pod } from './pod.ts'
import { proxyNames, type Scale, type Schedule } from './schedule.ts'

const replicas = 2

/** What one proxy and its users saw of the replacement of one pod. */
export interface Seen {
  proxy: ProxyName
  /** When the proxy really sent nothing new to the old pod any more, in ms from the SIGTERM. */
  removedAfter: number
  failures: string[]
  /** Connections that Caddy itself has reset: their requests never came to a pod. */
  resetByProxy: number
}

export interface Replaced {
  schedule: Schedule
  ended: Ended
  /** What the old pod's readiness route answered right after its SIGTERM, and until it stopped listening. */
  readiness: number
  seen: Seen[]
}

/** What has become of the requests that went through one proxy. */
export interface Account extends Tally {
  proxy: ProxyName
  lost: number
  /** Executed by a pod, and not answered. */
  executedButLost: number
  /** Requests that came to a pod more than once. */
  receivedTwice: number
}

export interface Simulation extends Pace {
  scale: Scale
  schedules: Schedule[]
  onReplaced? (replaced: Replaced): void
}

/**
 * Pods behind three proxies, replaced one after the other as a Deployment with maxUnavailable 0 does it: the new pod is ready,
 * then the old one gets SIGTERM, and each proxy hears of both when its schedule says.
 */
export async function simulate (t: Teardown, { scale, schedules, onReplaced = () => {}, ...pace }: Simulation): Promise<{ replaced: Replaced[], accounts: Account[] }> {
  const pods: Pod[] = []
  const create = (work: number): Pod => {
    const pod = createPod(t, scale, work)
    pods.push(pod)
    return pod
  }
  const serving = Array.from({ length: replicas }, () => create(20))
  // One ahead: loading it shall not take long when its turn has come.
  let next = create(schedules[0]?.work ?? 0)
  await Promise.all(serving.map(pod => pod.start()))
  const ingresses = await Promise.all(proxyNames.map(name => startIngress(t, name, serving.map(({ port }) => port))))
  const failures = new Map<ProxyName, Failure[]>(proxyNames.map(name => [name, []]))
  const running = ingresses.map(({ name, startUsers }) => startUsers(pace, failure => { failures.get(name)?.push(failure) }))
  await sleep(300)

  const replaced: Replaced[] = []
  for (const [i, schedule] of schedules.entries()) {
    const pod = next
    next = create(schedules[i + 1]?.work ?? 0)
    await pod.start()
    const [old] = serving.splice(schedule.leaves, 1, pod) as [Pod]
    const { ended, readiness, removedAfter } = await replace(old, pod, schedule, ingresses)
    // What has gone wrong is known to the clients by then.
    await sleep(100)
    const seen = removedAfter.map(({ proxy, ms }): Seen => ({ proxy, removedAfter: ms, ...judge(proxy, failures.get(proxy)?.splice(0) ?? [], pods) }))
    replaced.push({ schedule, ended, readiness, seen })
    onReplaced(replaced.at(-1)!)
  }

  const tallies = await Promise.all(running.map(each => each.stop()))
  const ledger = new Ledger(pods.map(({ ledger }) => ledger))
  return { replaced, accounts: tallies.map((tally, i) => accountOf(ingresses[i]!.name, tally, ledger)) }
}

async function replace (old: Pod, pod: Pod, { delays }: Schedule, ingresses: Ingress[]): Promise<{
  ended: Ended, readiness: number, removedAfter: Array<{ proxy: ProxyName, ms: number }>
}> {
  const began = performance.now()
  const ended = old.terminate()
  const readiness = askUntilItChanges(old)
  const removedAfter = Promise.all(ingresses.map(async ({ name, change }) => {
    const { added, removed } = delays.get(name)!
    const [, ms] = await Promise.all([
      sleep(added).then(() => change(ports => [...ports, pod.port])),
      sleep(removed).then(() => change(ports => ports.filter(port => port !== old.port))).then(() => Math.round(performance.now() - began))
    ])
    return { proxy: name, ms }
  }))
  return { ended: await ended, readiness: await readiness, removedAfter: await removedAfter }
}

/*
 * A Caddy that is reloaded listens once more (SO_REUSEPORT) and closes the listener it had, which resets those that wait in its queue;
 * it does so in front of a server that nobody restarts, too. What a pod did wrong would be status 502, or a request that it has received.
 */
function judge (proxy: ProxyName, failures: Failure[], pods: Pod[]): Pick<Seen, 'failures' | 'resetByProxy'> {
  const ledger = failures.length === 0 ? null : new Ledger(pods.map(({ ledger }) => ledger))
  const isReset = ({ id, error }: Failure): boolean => proxy === 'caddy' && error === 'ECONNRESET' && ledger?.of(id).received === 0
  return {
    failures: failures.filter(failure => !isReset(failure)).map(({ error }) => error),
    resetByProxy: failures.filter(isReset).length
  }
}

/** The first answer that is not 200 any more; 0: there was none. */
async function askUntilItChanges (pod: Pod): Promise<number> {
  try {
    for (;;) {
      const status = await pod.readiness()
      if (status !== 200) return status
      await sleep(20)
    }
  } catch {
    return 0
  }
}

function accountOf (proxy: ProxyName, tally: Tally, ledger: Ledger): Account {
  const entries = ledger.ids(`${proxy}.`).map(id => ledger.of(id))
  return {
    ...tally,
    proxy,
    lost: tally.sent - tally.answered,
    executedButLost: entries.filter(({ executed }) => executed > 0).length - tally.answered,
    receivedTwice: entries.filter(({ received }) => received > 1).length
  }
}
