import { Ajv, type SchemaObject } from 'ajv'
import { closest } from 'fastest-levenshtein'
import { inspect } from 'node:util'
import { errors } from './errors.ts'

/** Options of the plugin. Every time is in whole milliseconds. */
export interface FastifyDrainOptions {
  /**
   * Signals that begin a drain and end the process, through close-with-grace, installed when the app listens.
   * `false`: none, and uncaught errors are left alone as well.
   * @default ['SIGTERM', 'SIGINT']
   */
  signals?: readonly DrainSignal[] | false
  /**
   * Length of the lame-duck phase, in ms: readiness fails, everything is still served.
   * @default 5000 where KUBERNETES_SERVICE_HOST is set (at most half of hardStopAfter), else 0
   */
  shutdownDelay?: number
  /**
   * How long after the drain began an idle connection may bring one more request, in ms.
   * @default 1000
   */
  idleGrace?: number
  /**
   * Window over which the closes of idle connections are spread, in ms.
   * @default 0
   */
  closeSpread?: number
  /**
   * How long the peer may close first after an answer that said `Connection: close`, in ms.
   * @default 250
   */
  peerCloseTimeout?: number
  /**
   * A lingering close ends after this much silence of the peer, in ms.
   * @default 2000
   */
  lingerTimeout?: number
  /**
   * A lingering close ends after this time in total, in ms, also if the peer still sends.
   * @default 5000
   */
  lingerTime?: number
  /**
   * The deadline, in ms since the drain began: what is left then is cut. `false`: none.
   * @default 25000
   */
  hardStopAfter?: number | false
  /**
   * How connections are cut at the deadline: `'destroy'` closes them, `'reset'` sends RST.
   * @default 'destroy'
   */
  hardStop?: 'destroy' | 'reset'
}

export type DrainSignal =
  'SIGHUP' | 'SIGINT' | 'SIGQUIT' | 'SIGILL' | 'SIGTRAP' | 'SIGABRT' | 'SIGBUS' |
  'SIGFPE' | 'SIGSEGV' | 'SIGUSR2' | 'SIGTERM'

/** The options after validation, with every default filled in. */
export type Settings = Required<FastifyDrainOptions>

interface Rule {
  schema: SchemaObject
  allowed: string
  default: unknown
}

const knownSignals: readonly DrainSignal[] = [
  'SIGHUP', 'SIGINT', 'SIGQUIT', 'SIGILL', 'SIGTRAP', 'SIGABRT', 'SIGBUS', 'SIGFPE', 'SIGSEGV', 'SIGUSR2', 'SIGTERM'
]

// setTimeout() takes at most a signed 32-bit number of milliseconds; a larger one fires at once.
const longest = 2 ** 31 - 1
const milliseconds = (byDefault: number): Rule => ({
  schema: { type: 'integer', minimum: 0, maximum: longest },
  allowed: `a whole number of milliseconds from 0 to ${longest}`,
  default: byDefault
})

/** The one home of names, defaults and what is allowed. */
export const rules: Record<keyof FastifyDrainOptions, Rule> = {
  signals: {
    schema: {
      anyOf: [
        { const: false },
        { type: 'array', minItems: 1, uniqueItems: true, items: { enum: knownSignals } }
      ]
    },
    allowed: `false, or a list of different signals from ${knownSignals.join(', ')}`,
    default: ['SIGTERM', 'SIGINT']
  },
  shutdownDelay: milliseconds(0),
  idleGrace: milliseconds(1000),
  closeSpread: milliseconds(0),
  peerCloseTimeout: milliseconds(250),
  lingerTimeout: milliseconds(2000),
  lingerTime: milliseconds(5000),
  hardStopAfter: {
    schema: { anyOf: [{ const: false }, { type: 'integer', minimum: 1, maximum: longest }] },
    allowed: `false, or a whole number of milliseconds from 1 to ${longest}`,
    default: 25000
  },
  hardStop: {
    schema: { enum: ['destroy', 'reset'] },
    allowed: "'destroy' or 'reset'",
    default: 'destroy'
  }
}

/** The default of `shutdownDelay` in Kubernetes, where endpoints lag behind the SIGTERM. */
export const kubernetesShutdownDelay = 5000

// Fastify itself reads these from the options of any plugin.
const fastifyOwn = ['prefix', 'logLevel', 'logSerializers']

const ajv = new Ajv()

const validators = Object.entries(rules).map(([name, rule]) => ({
  name: name as keyof FastifyDrainOptions,
  allowed: rule.allowed,
  valid: ajv.compile(rule.schema)
}))

/**
 * Checks what the user passed and fills in the defaults.
 * @throws FST_DRAIN_UNKNOWN_OPTION, FST_DRAIN_INVALID_OPTION, FST_DRAIN_IMPOSSIBLE_TIMES
 */
export function resolveOptions (given: FastifyDrainOptions, env: NodeJS.ProcessEnv): Settings {
  refuseUnknown(given)
  const settings: Record<string, unknown> = {}
  for (const { name, allowed, valid } of validators) {
    // An own property only: a polluted prototype must not configure a shutdown.
    const value = Object.hasOwn(given, name) ? given[name] : undefined
    if (value !== undefined && !valid(value)) throw new errors.InvalidOption(name, inspect(value), allowed)
    settings[name] = value ?? rules[name].default
  }
  const resolved = settings as unknown as Settings
  if (!isGiven(given, 'shutdownDelay') && env['KUBERNETES_SERVICE_HOST'] !== undefined) {
    resolved.shutdownDelay = Math.min(kubernetesShutdownDelay, halfOf(resolved.hardStopAfter))
  }
  refuseImpossible(resolved)
  return resolved
}

function isGiven (given: FastifyDrainOptions, name: keyof FastifyDrainOptions): boolean {
  return Object.hasOwn(given, name) && given[name] !== undefined
}

function refuseUnknown (given: FastifyDrainOptions): void {
  const known = Object.keys(rules)
  for (const name of Object.keys(given)) {
    if (known.includes(name) || fastifyOwn.includes(name)) continue
    throw new errors.UnknownOption(name, `did you mean "${closest(name, known)}"? Known are ${known.join(', ')}`)
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

function halfOf (hardStopAfter: number | false): number {
  return hardStopAfter === false ? Infinity : Math.floor(hardStopAfter / 2)
}
