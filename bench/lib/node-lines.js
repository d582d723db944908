import { nodeLine } from '../../scripts/toolchain.js'

/** The Node of each of these lines, installed where it is not there. */
export function resolveLines (lines) {
  return Promise.all(lines.map(async line => {
    const { path, error } = await nodeLine(line)
    if (error) throw new Error(`Node ${line} is not there: ${error}`)
    return { line, path }
  }))
}
