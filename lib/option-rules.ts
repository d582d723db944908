import type { SchemaObject } from 'ajv'
import { longestIdle, proxies } from './behind.ts'
import type { DrainSignal, FastifyDrainOptions, Handover, HandoverSignal, Health, KeepAlive, ReportFile } from './option-types.ts'

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
export const longestGracePeriod = Math.floor(longest / 1000)
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

function defaultsOf (rules: Record<string, Rule>): Record<string, unknown> {
  return Object.fromEntries(Object.entries(rules).map(([name, rule]) => [name, rule.default]).filter(([, value]) => value !== undefined))
}
