// By its path: bench/ is a package of its own, from where the name does not resolve.
import drain from '../../dist/esm/index.js'
import { reportOption } from '../lib/report.js'

/** Default options, but for those that a bench is about. */
export function install (app, options) {
  app.register(drain, { report: reportOption(), ...options })
}
