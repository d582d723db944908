import { fileURLToPath } from 'node:url'

import { startServerProcess } from './server-process.js'

const serverFile = fileURLToPath(new URL('./server.js', import.meta.url))

/**
 * Starts a server process that inherits the listening sockets of its apps and waits for orders.
 *
 * @param {object} options
 * @param {string} options.variant name of a file in `variants/`; several with commas between: an app of each
 * @param {number[]} options.fds descriptors of the listening sockets
 * @param {number} [options.work=0] milliseconds a request takes
 * @param {string} [options.protocol='http'] one of those in `app.js`
 * @param {object} [options.options] of the plugin
 * @param {string[]} [options.execArgv] flags for node
 */
export function startInstance ({ variant, fds, work = 0, protocol = 'http', options = {}, execArgv = [] }) {
  const { tell, terminate, kill, stderr } = startServerProcess({
    variant,
    command: [process.execPath, ...execArgv, serverFile, variant, String(work), protocol, JSON.stringify(options)],
    descriptors: fds
  })
  return {
    variant,
    load: () => tell('load'),
    listen: () => tell('listen'),
    cpu: () => tell('cpu'),
    heap: () => tell('heap'),
    log: file => tell('log', file),
    watchArrivals: () => tell('watchArrivals'),
    arrivals: () => tell('arrivals'),
    terminate,
    kill,
    stderr
  }
}
