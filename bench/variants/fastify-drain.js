// By its path: bench/ is a package of its own, from where the name does not resolve.
import drain from '../../dist/esm/index.js'
import { reportOption } from '../lib/report.js'

/** Default options. */
export function install (app) {
  app.register(drain, { report: reportOption() })
}
