// By its path: bench/ is a package of its own, from where the name does not resolve.
import drain from '../../dist/esm/index.js'

/** Default options. `report`: the file for the report of its drain. */
export function install (app, { report } = {}) {
  app.register(drain, { report: report === undefined ? false : { file: report } })
}
