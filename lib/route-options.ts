import type { Moment } from './moments.ts'
import type { Rule } from './option-rules.ts'
import { compile, resolve } from './options.ts'

/** What a drain does with the long answers of one route; `config.drain` of the route. */
export interface RouteDrainOptions {
  /**
   * When they are ended:
   * - `'begin'`: at the beginning of the drain.
   * - `'draining'`: at the end of the lame duck, when connections are closed.
   * - `'deadline'`: never; what is still open at `hardStopAfter` is cut.
   *
   * `request.drainSignal` aborts at the same moment.
   */
  endStreams: Moment
  /**
   * How long an EventSource shall wait until it connects again, in ms: `retry:`, written in front of the end of an event
   * stream. Two numbers: each client is told a time of its own between them, so that not all come back at once.
   * @default none: what the client does by itself
   */
  retry?: number | readonly [from: number, to: number]
  /**
   * The media types that are ended. An answer of another type, or one with a Content-Length or a Content-Encoding, runs to its end.
   * @default ['text/event-stream']
   */
  contentTypes?: readonly string[]
}

/** The options after validation, with every default filled in. */
export type RouteSettings = RouteDrainOptions & { contentTypes: readonly string[] }

const wait = { type: 'integer', minimum: 0, maximum: 2 ** 31 - 1 }

const members: Record<keyof RouteDrainOptions, Rule> = {
  endStreams: {
    schema: { enum: ['begin', 'draining', 'deadline'] },
    allowed: "'begin', 'draining' or 'deadline'",
    default: undefined
  },
  retry: {
    schema: { anyOf: [wait, { type: 'array', items: wait, minItems: 2, maxItems: 2 }] },
    allowed: `a whole number of milliseconds from 0 to ${wait.maximum}, or a list of two`,
    default: undefined
  },
  contentTypes: {
    schema: { type: 'array', minItems: 1, items: { type: 'string', pattern: '^[!#$&^_.+a-z0-9-]+/[!#$&^_.+a-z0-9-]+$' } },
    allowed: "a list of media types in lower case, such as 'text/event-stream', without parameters",
    default: ['text/event-stream']
  }
}

const checks = compile({
  drain: {
    schema: { type: 'object', required: ['endStreams'] },
    allowed: `an object with endStreams, and ${Object.keys(members).slice(1).join(' and ')} if need be`,
    default: undefined,
    members
  }
})

export interface Route {
  method: string | readonly string[]
  url: string
  config?: object | undefined
}

/**
 * `null`: the route leaves its streams alone.
 * @throws FST_DRAIN_UNKNOWN_OPTION, FST_DRAIN_INVALID_OPTION
 */
export function resolveRouteOptions ({ method, url, config = {} }: Route): RouteSettings | null {
  if (!Object.hasOwn(config, 'drain')) return null
  const given = { drain: (config as { drain: unknown }).drain }
  const { drain } = resolve(given, checks, `${[method].flat().join('|')} ${url}: config.`)
  return drain === undefined ? null : drain as RouteSettings
}
