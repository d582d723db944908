import { errors } from './errors.ts'

/**
 * Older ones do not tell of every listener (the diagnostics channel `net.server.listen`): an app would register the plugin,
 * and still be ended by SIGTERM without a drain.
 */
const oldest = { major: 20, minor: 19 }

/** @throws FST_DRAIN_NODE_VERSION */
export function checkNode (version: string): void {
  const [major = 0, minor = 0] = version.split('.').map(Number)
  if (major > oldest.major || (major === oldest.major && minor >= oldest.minor)) return
  throw new errors.NodeVersion(`${oldest.major}.${oldest.minor}`, version)
}
