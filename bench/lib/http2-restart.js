import { fork } from 'node:child_process'
import { mkdtemp, open, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'

import { endWithParent } from './children.js'
import { openListener } from './listener.js'
import { order } from './orders.js'
import { startServerProcess } from './server-process.js'
import { countTimeWait, timeWaitSockets } from './time-wait.js'

const serverFile = fileURLToPath(new URL('./http2-server.js', import.meta.url))
const loaderFile = fileURLToPath(new URL('./http2-loader.js', import.meta.url))

/**
 * One restart of an HTTP/2 server under load: the successor listens, then the old process gets SIGTERM. The servers note in
 * a ledger each request that they execute, the clients what became of each that they sent.
 *
 * @param {object} options
 * @param {string} options.variant
 * @param {string} options.protocol `h2c` or `h2`
 * @param {string} options.node the binary that runs the servers
 * @param {number} options.sessions
 * @param {number} options.streams in each session
 * @param {number} options.loaders processes that the sessions are spread over
 * @param {number} options.settle milliseconds of load before SIGTERM, and after the exit
 * @param {number} options.killAfter milliseconds the old process may take to exit
 */
export async function restartHttp2 ({ variant, protocol, node, sessions, streams, loaders, settle, killAfter }) {
  const folder = await mkdtemp(join(tmpdir(), 'fastify-drain-'))
  const ledgerFile = join(folder, 'ledger')
  const ledger = await open(ledgerFile, 'a')
  const listener = await openListener()
  const timeWaitBefore = await timeWaitSockets(listener.port)
  const servers = [1, 2].map(() => startServer({ variant, protocol, node, descriptors: [listener.fd, ledger.fd] }))
  const clients = Array.from({ length: loaders }, startLoader)
  await listener.close()

  try {
    await Promise.all(servers.map(server => server.tell('load')))
    await servers[0].tell('listen')
    await Promise.all(clients.map((client, i) => client('start', {
      port: listener.port, secure: protocol === 'h2', sessions: share(sessions, loaders, i), streams, name: String(i)
    })))
    await sleep(settle)

    await servers[1].tell('listen')
    const exit = await servers[0].terminate(killAfter)
    await sleep(settle)
    // While the clients still hold their last sessions: those are not the restart's doing.
    const timeWait = await countTimeWait(listener.port, timeWaitBefore)
    const tallies = await Promise.all(clients.map(client => client('stop')))

    return {
      variant,
      protocol,
      ...balance(tallies, (await readFile(ledgerFile, 'utf8')).split('\n').filter(Boolean)),
      timeWait,
      exit,
      stderr: servers.map(server => server.stderr()).filter(Boolean)
    }
  } finally {
    for (const client of clients) client.end()
    await Promise.all(servers.map(server => server.kill()))
    await ledger.close()
    await rm(folder, { recursive: true })
  }
}

function startServer ({ variant, protocol, node, descriptors }) {
  return startServerProcess({ variant, command: [node, serverFile, variant, protocol], descriptors })
}

function startLoader () {
  const child = fork(loaderFile)
  endWithParent(child)
  const tell = (name, argument) => order(child, 'The load process', name, argument)
  return Object.assign(tell, { end: () => child.kill('SIGKILL') })
}

function share (total, parts, i) {
  return Math.floor(total / parts) + (i < total % parts ? 1 : 0)
}

/** What the clients saw against what the servers did. */
function balance (tallies, lines) {
  const executed = new Set(lines)
  const all = name => tallies.flatMap(tally => tally[name])
  const sum = name => tallies.reduce((total, tally) => total + tally[name], 0)
  const wasExecuted = ids => ids.filter(id => executed.has(id)).length
  const [refused, lost, answered503] = ['refused', 'lost', 'answered503'].map(all)
  return {
    executed: executed.size,
    twice: lines.length - executed.size,
    answered: sum('answered'),
    unanswered: executed.size - sum('answered') - wasExecuted(refused),
    refused: refused.length,
    refusedButExecuted: wasExecuted(refused),
    neverSent: sum('neverSent'),
    answered503: answered503.length,
    lost: lost.length,
    errors: merge(tallies.map(({ errors }) => errors)),
    connectErrors: merge(tallies.map(({ connectErrors }) => connectErrors)),
    goaways: sum('goaways'),
    outlived: Math.max(0, ...all('outlived'))
  }
}

function merge (counts) {
  const merged = {}
  for (const [key, count] of counts.flatMap(Object.entries)) merged[key] = (merged[key] ?? 0) + count
  return merged
}
