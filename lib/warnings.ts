import { whySignalsAreLost, type Processes } from './launcher.ts'
import { isKubernetes, kubernetesShutdownDelay, type Settings } from './options.ts'
import type { OtherListeners } from './signals.ts'

export interface Circumstances {
  settings: Settings
  env: NodeJS.ProcessEnv
  processes: Processes
  /** Of Fastify. */
  forceCloseConnections: boolean | 'idle' | undefined
  /** How the settings of the app contradict the proxy in front. */
  contradiction: string | null
}

/** What would break a restart of this app here, each with what to do about it. */
export function restartWarnings ({ settings, env, processes, forceCloseConnections, contradiction }: Circumstances): string[] {
  const { signals, shutdownDelay, hardStopAfter, terminationGracePeriodSeconds } = settings
  const warnings: string[] = []
  if (contradiction !== null) warnings.push(contradiction)
  // Whoever has no signals ends it in another way.
  const lost = signals === false ? null : whySignalsAreLost(processes)
  if (lost !== null) warnings.push(lost)
  if (forceCloseConnections === true) {
    warnings.push('forceCloseConnections is true, so Fastify destroys what is open on the second address of localhost as soon as the first one is drained; leave it out of the options of Fastify')
  }
  if (isKubernetes(env) && shutdownDelay === 0) {
    warnings.push(`shutdownDelay is 0, but in Kubernetes new connections come for seconds after SIGTERM, and find nobody; leave it out (${kubernetesShutdownDelay} ms), or set it to 1 where a preStop hook waits already`)
  }
  if (hardStopAfter === false && terminationGracePeriodSeconds !== false) {
    warnings.push(`hardStopAfter is false, so what is open ${terminationGracePeriodSeconds} s after SIGTERM (terminationGracePeriodSeconds) is killed without a report; leave hardStopAfter out, or set it to less than that`)
  }
  return warnings
}

/** What others in this process do when a signal comes. */
export function listenerWarnings (others: OtherListeners[]): string[] {
  if (others.length === 0) return []
  const names = [...new Set(others.flatMap(({ names }) => names))]
  return [`${others.map(({ signal }) => signal).join(' and ')} ${others.length > 1 ? 'have' : 'has'} another listener in this process` +
    `${names.length > 0 ? ` (${names.join(', ')})` : ''}: what it closes is gone before the drain is over, and so is the process if it exits; ` +
    'remove it, and do its work in an onClose hook']
}
