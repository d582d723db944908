import { Ajv } from 'ajv'
import { closest } from 'fastest-levenshtein'
import { inspect } from 'node:util'
import { errors } from './errors.ts'
import { longestGracePeriod, rules, type Rule } from './option-rules.ts'
import type { FastifyDrainOptions, Settings } from './option-types.ts'

export type * from './option-types.ts'

/** The default of `shutdownDelay` in Kubernetes, where endpoints lag behind the SIGTERM. */
export const kubernetesShutdownDelay = 5000

/** What the onClose hooks of the app may take when the deadline has passed, in ms. */
export const hooksAfterDeadline = 500

// Fastify itself reads these from the options of any plugin.
const fastifyOwn = ['prefix', 'logLevel', 'logSerializers']

const ajv = new Ajv({ allowUnionTypes: true })

export interface Checked {
  name: string
  rule: Rule
  valid: (value: unknown) => boolean
  members: Checked[]
}

const checks = compile(rules)

export function compile (rules: Record<string, Rule>): Checked[] {
  return Object.entries(rules).map(([name, rule]) => ({
    name, rule, valid: typeof rule.schema === 'function' ? rule.schema : ajv.compile(rule.schema), members: compile(rule.members ?? {})
  }))
}

/**
 * Checks what the user passed and fills in the defaults.
 * @throws FST_DRAIN_UNKNOWN_OPTION, FST_DRAIN_INVALID_OPTION, FST_DRAIN_INVALID_ENVIRONMENT, FST_DRAIN_IMPOSSIBLE_TIMES
 */
export function resolveOptions (given: FastifyDrainOptions, env: NodeJS.ProcessEnv): Settings {
  const resolved = resolve(given, checks) as unknown as Settings
  if (!isGiven(given, 'shutdownDelay') && isKubernetes(env)) {
    resolved.shutdownDelay = Math.min(kubernetesShutdownDelay, halfOf(resolved.hardStopAfter))
  }
  const isGracePeriodGiven = isGiven(given, 'terminationGracePeriodSeconds')
  if (!isGracePeriodGiven) resolved.terminationGracePeriodSeconds = gracePeriodOf(env)
  refuseImpossible(resolved)
  refuseTooLate(resolved, isGracePeriodGiven ? 'the option terminationGracePeriodSeconds' : `the environment variable ${gracePeriodVariable}`)
  refuseAmbiguous(resolved)
  return resolved
}

/**
 * `path`: of the object that these are the members of, with a dot behind it.
 * @throws FST_DRAIN_UNKNOWN_OPTION, FST_DRAIN_INVALID_OPTION
 */
export function resolve (given: object, checks: Checked[], path = ''): Record<string, unknown> {
  refuseUnknown(given, checks.map(({ name }) => name), path)
  // Nor shall a polluted prototype be read through what is left out.
  const settings: Record<string, unknown> = Object.create(null)
  for (const { name, rule, valid, members } of checks) {
    // An own property only: a polluted prototype must not configure a shutdown.
    const value = isGiven(given, name) ? (given as Record<string, unknown>)[name] : rule.default
    if (value === undefined) continue
    if (!valid(value)) throw new errors.InvalidOption(path + name, inspect(value), rule.allowed)
    // `true` stands for an object in which everything is left out.
    const isObject = members.length > 0 && value !== false
    settings[name] = isObject ? resolve(value === true ? {} : value as object, members, `${path}${name}.`) : value
  }
  return settings
}

function isGiven (given: object, name: string): boolean {
  return Object.hasOwn(given, name) && (given as Record<string, unknown>)[name] !== undefined
}

function refuseUnknown (given: object, known: string[], path: string): void {
  for (const name of Object.keys(given)) {
    if (known.includes(name) || (path === '' && fastifyOwn.includes(name))) continue
    throw new errors.UnknownOption(path + name, `did you mean "${path}${closest(name, known)}"? Known are ${known.join(', ')}`)
  }
}

function refuseImpossible ({ shutdownDelay, closeSpread, hardStopAfter }: Settings): void {
  if (hardStopAfter === false) return
  const deadline = `${hardStopAfter} ms`
  if (shutdownDelay >= hardStopAfter) {
    throw new errors.ImpossibleTimes('shutdownDelay', `${shutdownDelay} ms`, deadline, 'less than hardStopAfter')
  }
  if (shutdownDelay + closeSpread >= hardStopAfter) {
    throw new errors.ImpossibleTimes('closeSpread', `${closeSpread} ms`, deadline, `less than hardStopAfter - shutdownDelay, ${hardStopAfter - shutdownDelay} ms`)
  }
}

/** Whether this process runs in a pod. */
export function isKubernetes (env: NodeJS.ProcessEnv): boolean {
  return env['KUBERNETES_SERVICE_HOST'] !== undefined
}

// The downward API has no such field, so the manifest says it twice.
const gracePeriodVariable = 'TERMINATION_GRACE_PERIOD_SECONDS'

function gracePeriodOf (env: NodeJS.ProcessEnv): number | false {
  const text = env[gracePeriodVariable]
  if (text === undefined) return false
  const seconds = /^\d+$/.test(text) ? Number(text) : NaN
  if (seconds >= 1 && seconds <= longestGracePeriod) return seconds
  throw new errors.InvalidEnvironment(gracePeriodVariable, inspect(text), `a whole number of seconds from 1 to ${longestGracePeriod}; correct it, or leave it out`)
}

// Kubernetes kills what is left at the end of the grace period: neither the report nor the exit code would be seen.
function refuseTooLate ({ hardStopAfter, terminationGracePeriodSeconds }: Settings, source: string): void {
  if (hardStopAfter === false || terminationGracePeriodSeconds === false) return
  const killedAfter = terminationGracePeriodSeconds * 1000
  const ends = hardStopAfter + hooksAfterDeadline
  if (ends < killedAfter) return
  throw new errors.TooLate(
    `${hardStopAfter} ms`, `${hooksAfterDeadline} ms`, `${ends - killedAfter} ms`, `${killedAfter} ms, from ${source}`,
    `${killedAfter - hooksAfterDeadline - 1} ms`, `${Math.floor(ends / 1000) + 1} s`)
}

function refuseAmbiguous ({ signals, handover, health }: Settings): void {
  if (health !== false && health.readiness !== false && health.readiness === health.liveness) {
    throw new errors.InvalidOption('health.liveness', `'${health.liveness}', which is "health.readiness" as well`, 'another path, or false')
  }
  if (signals === false || handover === false || !signals.some(signal => signal === handover.signal)) return
  throw new errors.InvalidOption('handover.signal', `'${handover.signal}', which is one of "signals" as well`, 'a signal that does not end the process')
}

function halfOf (hardStopAfter: number | false): number {
  return hardStopAfter === false ? Infinity : Math.floor(hardStopAfter / 2)
}
