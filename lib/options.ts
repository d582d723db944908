import { Ajv, type SchemaObject } from 'ajv'
import { closest } from 'fastest-levenshtein'
import { inspect } from 'node:util'
import { longestIdle, proxies, type Behind } from './behind.ts'
import { errors } from './errors.ts'
import type { KeepAliveOptions } from './os/sockets.ts'

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
  /**
   * TCP keepalive of every connection, which finds peers that have vanished; `false`: the sockets are left alone.
   * @default { idle: 60000, interval: 10000, count: 6 }
   */
  keepAlive?: KeepAlive | false
  /**
   * SO_REUSEPORT on every listener of this app: a successor can listen on the same port at the same time.
   * @default false
   */
  reusePort?: boolean
  /**
   * The name (LISTEN_FDNAMES, systemd's FileDescriptorName=) of the inherited descriptors that this app shall listen on,
   * whatever their address; `false`: those whose address it asks for.
   * @default false
   */
  listenFdName?: string | false
  /**
   * A restart in place: the process starts its successor, gives it listeners and connections, and leaves. `true`: with the
   * defaults of `Handover`.
   * @default false
   */
  handover?: Handover | boolean
  /**
   * Routes for the probes of a load balancer or of Kubernetes. Readiness answers 503 from the first moment of a drain, liveness
   * 200 until the end. `true`: with the defaults of `Health`.
   * @default false
   */
  health?: Health | boolean
  /**
   * The proxy or load balancer in front, by name, or how long it keeps an idle connection to us, in ms: the server keeps
   * it longer, so that it is never the server that closes a connection which the proxy is about to use.
   * @default none: keepAliveTimeout stays as the app has it
   */
  behind?: Behind | number | false
  /**
   * The terminationGracePeriodSeconds of the pod, in seconds: `hardStopAfter` has to fit into it. `false`: not known.
   * @default the environment variable TERMINATION_GRACE_PERIOD_SECONDS, else false
   */
  terminationGracePeriodSeconds?: number | false
  /**
   * How long a connection lives, in ms, 10 % more or less: the next answer then says close, an HTTP/2 session gets GOAWAY, and the
   * client finds its way to another replica. `false`: for ever.
   * @default false
   */
  maxConnectionAge?: number | false
  /**
   * After how many requests a connection is ended in the same way; a stream of HTTP/2 is a request. `false`: never.
   * @default false
   */
  maxRequestsPerConnection?: number | false
  /**
   * Where the report of a drain is written: as JSON to `file`, and as a page that shows it to `file` with .html in place of its
   * extension. `false`: nowhere.
   * @default false
   */
  report?: ReportFile | false
}

/** What is left out has its default. */
export interface Health {
  /**
   * Path of the readiness route; `false`: none.
   * @default '/readyz'
   */
  readiness?: string | false
  /**
   * Path of the liveness route; `false`: none.
   * @default '/livez'
   */
  liveness?: string | false
}

export interface ReportFile {
  /** Its folder has to exist, and its name must not end in .html, where the page goes; what was there is replaced. */
  file: string
}

/** What is left out has its default. */
export interface Handover {
  /**
   * The signal that begins it; `false`: none, `app.drain.handover()` does.
   * @default 'SIGUSR2'
   */
  signal?: HandoverSignal | false
  /**
   * How long the successor may take until it listens and is ready, in ms.
   * @default 30000
   */
  readyTimeout?: number
  /**
   * Called in the successor when it listens: it is ready when the promise resolves. When it rejects there is no handover.
   * @default none: it is ready as soon as it listens
   */
  ready?: () => unknown
}

/** See tcp(7). What is left out has its default. */
export interface KeepAlive {
  /**
   * Silence before the first probe (TCP_KEEPIDLE), in ms, whole seconds.
   * @default 60000
   */
  idle?: number
  /**
   * Between two probes (TCP_KEEPINTVL), in ms, whole seconds.
   * @default 10000
   */
  interval?: number
  /**
   * Probes without an answer after which the peer counts as gone (TCP_KEEPCNT).
   * @default 6
   */
  count?: number
  /**
   * How long sent data may stay unacknowledged (TCP_USER_TIMEOUT, Linux), in ms. Where it is set it decides, not `count`,
   * when an idle connection is given up, too.
   * @default the kernel's: retransmissions for about 15 minutes
   */
  userTimeout?: number
}

export type DrainSignal =
  'SIGHUP' | 'SIGINT' | 'SIGQUIT' | 'SIGILL' | 'SIGTRAP' | 'SIGABRT' | 'SIGBUS' |
  'SIGFPE' | 'SIGSEGV' | 'SIGUSR2' | 'SIGTERM'

export type HandoverSignal = 'SIGHUP' | 'SIGUSR1' | 'SIGUSR2' | 'SIGWINCH'

/** The options after validation, with every default filled in. */
export type Settings = Required<Omit<FastifyDrainOptions, 'keepAlive' | 'handover' | 'health'>> & {
  keepAlive: KeepAliveOptions | false
  handover: HandoverSettings | false
  health: Required<Health> | false
}

export type HandoverSettings = Required<Omit<Handover, 'ready'>> & Pick<Handover, 'ready'>

export interface Rule {
  /** Of JSON; a function is asked itself. */
  schema: SchemaObject | ((value: unknown) => boolean)
  allowed: string
  default: unknown
  /** The value can be an object, with members that have rules of their own. */
  members?: Record<string, Rule>
}

const knownSignals: readonly DrainSignal[] = [
  'SIGHUP', 'SIGINT', 'SIGQUIT', 'SIGILL', 'SIGTRAP', 'SIGABRT', 'SIGBUS', 'SIGFPE', 'SIGSEGV', 'SIGUSR2', 'SIGTERM'
]

// setTimeout() takes at most a signed 32-bit number of milliseconds; a larger one fires at once.
const longest = 2 ** 31 - 1
const longestGracePeriod = Math.floor(longest / 1000)
const milliseconds = (byDefault: number): Rule => ({
  schema: { type: 'integer', minimum: 0, maximum: longest },
  allowed: `a whole number of milliseconds from 0 to ${longest}`,
  default: byDefault
})

// Linux takes at most 32767 s.
const seconds = (byDefault: number): Rule => ({
  schema: { type: 'integer', minimum: 1000, maximum: 32_767_000, multipleOf: 1000 },
  allowed: 'whole seconds, in milliseconds: 1000, 2000, ... 32767000',
  default: byDefault
})

const keepAlive: Record<keyof KeepAlive, Rule> = {
  idle: seconds(60_000),
  interval: seconds(10_000),
  count: {
    schema: { type: 'integer', minimum: 1, maximum: 127 },
    allowed: 'a whole number from 1 to 127',
    default: 6
  },
  userTimeout: {
    schema: { type: 'integer', minimum: 1, maximum: longest },
    allowed: `a whole number of milliseconds from 1 to ${longest}`,
    default: undefined
  }
}

// Node keeps SIGUSR1 for its debugger unless somebody listens to it.
const handoverSignals: readonly HandoverSignal[] = ['SIGHUP', 'SIGUSR1', 'SIGUSR2', 'SIGWINCH']

const handover: Record<keyof Handover, Rule> = {
  signal: {
    schema: { enum: [false, ...handoverSignals] },
    allowed: `false, or one of ${handoverSignals.join(', ')}`,
    default: 'SIGUSR2'
  },
  readyTimeout: {
    schema: { type: 'integer', minimum: 1, maximum: longest },
    allowed: `a whole number of milliseconds from 1 to ${longest}`,
    default: 30_000
  },
  ready: {
    schema: value => typeof value === 'function',
    allowed: 'a function',
    default: undefined
  }
}

// Nothing that a router would take for a parameter, or decode.
const path: Pick<Rule, 'schema' | 'allowed'> = {
  schema: { anyOf: [{ const: false }, { type: 'string', pattern: '^/[\\w.~/-]*$' }] },
  allowed: 'false, or a path that begins with "/" and has only letters, digits and the characters . _ ~ / - in it'
}

const health: Record<keyof Health, Rule> = {
  readiness: { ...path, default: '/readyz' },
  liveness: { ...path, default: '/livez' }
}

const report: Record<keyof ReportFile, Rule> = {
  file: { schema: { type: 'string', minLength: 1 }, allowed: 'the path of a file', default: undefined }
}

const falseOr = (schema: SchemaObject): SchemaObject => ({ anyOf: [{ const: false }, schema] })

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
  },
  keepAlive: {
    schema: { anyOf: [{ const: false }, { type: 'object' }] },
    allowed: `false, or an object with ${Object.keys(keepAlive).join(', ')}`,
    default: defaultsOf(keepAlive),
    members: keepAlive
  },
  reusePort: {
    schema: { type: 'boolean' },
    allowed: 'true or false',
    default: false
  },
  listenFdName: {
    schema: { anyOf: [{ const: false }, { type: 'string', minLength: 1 }] },
    allowed: 'false, or a name',
    default: false
  },
  handover: {
    schema: { anyOf: [{ type: 'boolean' }, { type: 'object' }] },
    allowed: `true, false, or an object with ${Object.keys(handover).join(', ')}`,
    default: false,
    members: handover
  },
  health: {
    schema: { anyOf: [{ type: 'boolean' }, { type: 'object' }] },
    allowed: `true, false, or an object with ${Object.keys(health).join(', ')}`,
    default: false,
    members: health
  },
  behind: {
    schema: { anyOf: [{ enum: [false, ...Object.keys(proxies)] }, { type: 'integer', minimum: 1, maximum: longestIdle }] },
    allowed: `false, one of ${Object.keys(proxies).join(', ')}, or its idle timeout: a whole number of milliseconds from 1 to ${longestIdle}`,
    default: false
  },
  terminationGracePeriodSeconds: {
    schema: falseOr({ type: 'integer', minimum: 1, maximum: longestGracePeriod }),
    allowed: `false, or a whole number of seconds from 1 to ${longestGracePeriod}`,
    default: false
  },
  maxConnectionAge: {
    schema: falseOr({ type: 'integer', minimum: 1000, maximum: longest }),
    allowed: `false, or a whole number of milliseconds from 1000 to ${longest}`,
    default: false
  },
  maxRequestsPerConnection: {
    schema: falseOr({ type: 'integer', minimum: 1, maximum: longest }),
    allowed: `false, or a whole number from 1 to ${longest}`,
    default: false
  },
  report: {
    schema: falseOr({ type: 'object', required: ['file'] }),
    allowed: 'false, or an object with file',
    default: false,
    members: report
  }
}

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

function defaultsOf (rules: Record<string, Rule>): Record<string, unknown> {
  return Object.fromEntries(Object.entries(rules).map(([name, rule]) => [name, rule.default]).filter(([, value]) => value !== undefined))
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
