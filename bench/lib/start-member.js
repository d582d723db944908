import { fileURLToPath } from 'node:url'

import { startServerProcess } from './server-process.js'

const memberFile = fileURLToPath(new URL('./member.js', import.meta.url))

/**
 * Starts a server process that makes its own listening socket when it is told to.
 *
 * @param {object} options
 * @param {string} options.variant name of a file in `variants/`
 * @param {string} [options.node] the binary that runs it
 * @param {string[]} [options.wrapper] a command that runs the binary
 * @param {object} [options.settings] `work`, the milliseconds that a request takes; the rest is for the variant
 */
export function startMember ({ variant, node = process.execPath, wrapper = [], settings = {} }) {
  const variantFile = new URL(`../variants/${variant}.js`, import.meta.url).href
  const { tell, ...server } = startServerProcess({ variant, command: [...wrapper, node, memberFile, variantFile, JSON.stringify(settings)] })
  return { ...server, load: () => tell('load'), listen: port => tell('listen', port) }
}
