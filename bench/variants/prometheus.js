import drain from '../../dist/esm/index.js'
import { drainMetrics } from '../../dist/esm/lib/prometheus.js'

/** Default options, and metrics with prom-client. */
export function install (app) {
  app.register(drain)
  app.register(drainMetrics)
}
