/**
 * `fastify-drain/prometheus`: metrics of connections and drains in a registry of prom-client.
 */
import type { FastifyPluginAsync } from 'fastify'
import fp from 'fastify-plugin'
import type { Registry } from 'prom-client'
import { errors } from './errors.ts'
import { count, drainOf, loadPeer } from './metrics.ts'
import type { Rule } from './option-rules.ts'
import { compile, resolve } from './options.ts'
import { Family, takenIn, type Labels } from './prometheus-family.ts'

export interface PrometheusMetricsOptions {
  /**
   * Where the metrics are registered.
   * @default the one that prom-client calls `register`
   */
  registry?: Registry<any>
  /**
   * In front of every name.
   * @default ''
   */
  prefix?: string
  /**
   * On every sample of this app: what tells it from the others whose metrics are in the same registry.
   * @default {}
   */
  labels?: Labels
}

const rules: Record<keyof PrometheusMetricsOptions, Rule> = {
  registry: {
    schema: value => typeof (value as Registry | null)?.registerMetric === 'function',
    allowed: 'a registry of prom-client',
    default: undefined
  },
  prefix: {
    schema: { type: 'string', pattern: '^([a-zA-Z_:][a-zA-Z0-9_:]*)?$' },
    allowed: 'what the name of a metric can begin with: letters, digits, "_" and ":"',
    default: ''
  },
  labels: {
    schema: {
      type: 'object',
      propertyNames: { pattern: '^(?!__)[a-zA-Z_][a-zA-Z0-9_]*$', not: { enum: ['state', 'phase', 'outcome', 'le'] } },
      additionalProperties: { type: 'string' }
    },
    allowed: 'an object of strings, whose names are those of labels, and none of state, phase, outcome, le',
    default: {}
  }
}

const checks = compile(rules)
const subpath = 'fastify-drain/prometheus'

// A metric can be in a registry once, so the apps of a process share it.
const families = new WeakMap<object, Map<string, Family>>()

const plugin: FastifyPluginAsync<PrometheusMetricsOptions> = async (app, options) => {
  const drain = drainOf(app, subpath)
  const { registry: given, prefix, labels } = resolve(options, checks) as unknown as Required<PrometheusMetricsOptions>
  const client = await loadPeer(subpath, 'prom-client', () => import('prom-client'))
  const registry = given ?? client.register

  let ofRegistry = families.get(registry)
  if (ofRegistry === undefined) families.set(registry, ofRegistry = new Map())
  let family = ofRegistry.get(prefix)
  // Whoever has cleared the registry since begins anew.
  if (family === undefined || !family.isIn(registry, prefix)) {
    const taken = takenIn(registry, prefix)
    if (taken !== undefined) throw new errors.Metrics(`${taken} is in this registry already`, 'register the metrics once, with one copy of fastify-drain, or give them a prefix')
    ofRegistry.set(prefix, family = new Family(client, registry, prefix, Object.keys(labels)))
  }

  const member = family.add(labels, drain)
  const leave = count(drain, member)
  app.addHook('onClose', async () => {
    leave()
    member.close()
  })
}

/** Register it behind the plugin, on the same app. What a drain did stays in the registry when the app is closed. */
export const drainMetrics = fp(plugin, { fastify: '5.x', name: subpath })
