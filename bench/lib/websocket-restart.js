import { fork } from 'node:child_process'
import { performance } from 'node:perf_hooks'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'

import { endWithParent } from './children.js'
import { openListener } from './listener.js'
import { order } from './orders.js'
import { startServerProcess } from './server-process.js'

const serverFile = fileURLToPath(new URL('./websocket-server.js', import.meta.url))
const loaderFile = fileURLToPath(new URL('./websocket-loader.js', import.meta.url))

// How long the clients may take to find the successor, in ms, besides the time over which they are told.
const reconnectLimit = 10_000

/**
 * Restarts a server of WebSockets: the successor listens on the same socket, then the old process gets SIGTERM.
 *
 * @param {object} options
 * @param {string} options.variant name of a file in `variants/websockets/`
 * @param {number} options.closeSpread milliseconds
 * @param {number} options.sockets
 * @param {number} options.processes for the clients
 * @param {number} options.killAfter milliseconds the server may take to exit
 */
export async function restartWithWebSockets ({ variant, closeSpread, sockets, processes, killAfter }) {
  const listener = await openListener()
  const servers = ['old', 'new'].map(() => startServerProcess({
    variant,
    command: [process.execPath, serverFile, variant, String(closeSpread)],
    descriptors: [listener.fd]
  }))
  await listener.close()
  const loaders = Array.from({ length: processes }, startLoader)

  try {
    await Promise.all(servers.map(server => server.tell('load')))
    const pid = await servers[0].tell('listen')
    await Promise.all(loaders.map((loader, i) => loader('open', { port: listener.port, count: share(sockets, processes, i) })))
    await servers[1].tell('listen')
    await sleep(200)

    const began = performance.timeOrigin + performance.now()
    const exiting = servers[0].terminate(killAfter)
    const outcomes = Promise.all(loaders.map(loader => loader('outcome', { pid, limit: closeSpread + reconnectLimit })))
    const exit = await exiting
    const clients = (await outcomes).flat()
    return {
      variant,
      closeSpread,
      sockets,
      exit,
      codes: countBy(clients, ({ closed }) => closed?.code ?? 'none'),
      unclean: clients.filter(({ closed }) => closed?.wasClean !== true).length,
      failed: clients.reduce((sum, { failed }) => sum + failed, 0),
      moved: clients.filter(({ moved }) => moved).length,
      closedAt: clients.filter(({ closed }) => closed !== null).map(({ closed }) => Math.round(closed.at - began)),
      openedAt: clients.filter(({ opened }) => opened !== null).map(({ opened }) => Math.round(opened - began)),
      stderr: servers.map(server => server.stderr()).filter(Boolean)
    }
  } finally {
    for (const loader of loaders) loader.end()
    await Promise.all(servers.map(server => server.kill()))
  }
}

function startLoader () {
  const child = fork(loaderFile)
  endWithParent(child)
  const tell = (name, argument) => order(child, 'A process of clients', name, argument, 120_000)
  tell.end = () => child.kill('SIGKILL')
  return tell
}

function share (total, parts, i) {
  return Math.floor(total * (i + 1) / parts) - Math.floor(total * i / parts)
}

function countBy (items, keyOf) {
  const counts = {}
  for (const item of items) counts[keyOf(item)] = (counts[keyOf(item)] ?? 0) + 1
  return counts
}
