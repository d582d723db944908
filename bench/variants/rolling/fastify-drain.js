// By its path: bench/ is a package of its own, from where the name does not resolve.
import drain from '../../../dist/esm/index.js'
import { readinessPath } from '../../lib/readiness.js'
import { reportOption } from '../../lib/report.js'

/** Default options, and the lame duck that a proxy with health checks needs. */
export function install (app, { reusePort, shutdownDelay }) {
  app.register(drain, { reusePort, shutdownDelay, health: { readiness: readinessPath }, report: reportOption() })
}
