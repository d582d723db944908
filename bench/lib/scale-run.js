import { fork } from 'node:child_process'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'

import { endWithParent } from './children.js'
import { startInstance } from './instance.js'
import { openListener } from './listener.js'
import { closing, longestTurn } from './loop-log.js'
import { now } from './now.js'
import { order } from './orders.js'
import { startServerProcess } from './server-process.js'
import { countTimeWait } from './time-wait.js'

const clientsFile = fileURLToPath(new URL('./idle-clients.js', import.meta.url))
const socketsFile = fileURLToPath(new URL('./socket-server.js', import.meta.url))

const processes = 2
// The ports of one are not enough for so many connections, and as many again.
const addressesEach = 2
const warmUp = 200
// How long the clients may take, in ms, besides the time over which connections are closed.
const patience = 30_000

/** How many files a process can have open; Node raises the soft limit to the hard one when it starts. */
export async function openFilesLimit () {
  const limits = await readFile('/proc/self/limits', 'utf8').catch(() => '')
  return Number(/^Max open files +(\d+)/m.exec(limits)?.[1] ?? Infinity)
}

/**
 * Opens idle keep-alive connections to a server, and sends it SIGTERM.
 *
 * @param {object} options
 * @param {string} options.variant name of a file in `variants/`
 * @param {number} options.count
 * @param {object} [options.options] of the plugin
 * @param {number} [options.grace=0] from SIGTERM until it closes what is idle, in ms
 * @param {boolean} [options.returns=false] whether the clients come back, to another server on the same listening socket
 * @param {boolean} [options.heap=false] whether to measure the heap that a connection takes
 * @param {number} [options.asking=0] how many clients send another request before most of `grace` is over
 * @param {number} options.killAfter milliseconds the server may take to exit
 */
export async function closeIdle ({ variant, count, options = {}, grace = 0, returns = false, heap = false, asking = 0, killAfter }) {
  const listener = await openListener()
  const execArgv = heap ? ['--expose-gc'] : []
  const [server, successor] = ['old', ...returns ? ['new'] : []].map(() => startInstance({ variant, fds: [listener.fd], options, execArgv }))
  await listener.close()

  return withClients(listener.port, async clients => {
    try {
      await Promise.all([server, successor].map(each => each?.load()))
      await server.listen()
      const before = heap ? await heapBefore(server, clients) : null
      await clients.open(count)
      const bytesPerConnection = heap ? (await server.heap() - before) / count : null
      await successor?.listen()
      await successor?.watchArrivals()

      const { began, ends, exit, looks } = await terminate(server, clients, { returns, asking, within: 0.8 * grace, killAfter })
      const timeWait = await countTimeWait(listener.port)
      const arrivals = await successor?.arrivals()
      const gone = looks === null ? null : closing(looks, began + grace)
      const stall = looks === null ? null : longestTurn(looks, began)
      return {
        bytesPerConnection: bytesPerConnection === null ? null : Math.round(bytesPerConnection),
        lastFinMs: ends.fins.length === 0 ? null : round(Math.max(...ends.fins) - began),
        stallMs: stall && round(stall.wall),
        stallCpuMs: stall && round(stall.cpu),
        closeMs: gone && round(gone.wall),
        closeCpuMs: gone && round(gone.cpu),
        peakNewPerSecond: arrivals ? peak(arrivals, 1000) : null,
        peakNewPer100Ms: arrivals ? peak(arrivals, 100) : null,
        timeWait,
        exitMs: exit.ms,
        exit,
        fins: ends.fins.length,
        left: ends.left,
        back: ends.back,
        asked: ends.asked - count,
        lost: ends.lost,
        errors: ends.errors,
        stderr: [server, successor].map(each => each?.stderr()).filter(Boolean)
      }
    } finally {
      await clients.end()
      await Promise.all([server, successor].map(each => each?.kill()))
    }
  })
}

/**
 * The same with a server of plain sockets, which closes them all in a loop.
 *
 * @param {object} options
 * @param {'end' | 'destroy'} options.how
 * @param {number | 'all'} options.perTurn how many in each turn of the event loop
 */
export async function closeInLoop ({ how, perTurn, count, killAfter }) {
  const listener = await openListener()
  const variant = `a loop of ${how}()`
  const { tell, ...server } = startServerProcess({ variant, command: [process.execPath, socketsFile, how, String(perTurn)], descriptors: [listener.fd] })
  await listener.close()

  return withClients(listener.port, async clients => {
    try {
      await tell('listen')
      await clients.open(count)
      const { began, looks, ends } = await terminate({ ...server, log: file => tell('log', file) }, clients, { killAfter })
      if (looks === null || ends.left > 0) throw new Error(`${variant} has not closed all connections.`)
      const { wall, cpu } = closing(looks, began)
      return { closeMs: round(wall), closeCpuMs: round(cpu), stallMs: round(longestTurn(looks, began).wall) }
    } finally {
      await clients.end()
      await server.kill()
    }
  })
}

// What the first requests create once does not belong to the connections.
async function heapBefore (server, clients) {
  await clients.open(warmUp)
  await clients.close()
  return server.heap()
}

async function terminate (server, clients, { returns = false, asking = 0, within = 0, killAfter }) {
  const directory = await mkdtemp(join(tmpdir(), 'scale-'))
  const file = join(directory, 'looks.json')
  try {
    await server.log(file)
    await sleep(100)
    await clients.expectClose({ returns, asking, within })
    const began = now()
    const exiting = server.terminate(killAfter)
    const [exit, ends] = await Promise.all([exiting, clients.outcome({ limit: killAfter + patience })])
    // Whoever ends by a signal writes nothing.
    const looks = await readFile(file, 'utf8').then(JSON.parse, () => null)
    return { began, exit, ends, looks }
  } finally {
    await rm(directory, { recursive: true })
  }
}

async function withClients (port, use) {
  const children = Array.from({ length: processes }, () => {
    const child = fork(clientsFile)
    endWithParent(child)
    return child
  })
  const all = (name, argumentOf = () => undefined) => Promise.all(children.map((child, i) =>
    order(child, 'A process of clients', name, argumentOf(i), 120_000)))

  return use({
    open: count => all('open', i => ({ port, count: share(count, i), addresses: addressesOf(i) })),
    close: () => all('close'),
    expectClose: ({ returns, asking, within }) => all('expectClose', i => ({ returns, asking: share(asking, i), within })),
    outcome: limit => all('outcome', () => limit).then(merge),
    async end () {
      // By resets: so many sockets in TIME_WAIT would fill the kernel's table.
      await all('close').catch(() => {})
      for (const child of children) child.kill('SIGKILL')
    }
  })
}

function share (total, i) {
  return Math.floor(total * (i + 1) / processes) - Math.floor(total * i / processes)
}

function addressesOf (i) {
  return Array.from({ length: addressesEach }, (_, n) => `127.0.1.${1 + i * addressesEach + n}`)
}

function merge (outcomes) {
  const sum = name => outcomes.reduce((total, outcome) => total + outcome[name], 0)
  return {
    fins: outcomes.flatMap(({ fins }) => fins),
    left: sum('left'),
    back: sum('back'),
    asked: sum('asked'),
    lost: sum('lost'),
    errors: outcomes.map(({ errors }) => errors).reduce(addUp)
  }
}

function addUp (one, other) {
  const total = { ...one }
  for (const [name, count] of Object.entries(other)) total[name] = (total[name] ?? 0) + count
  return total
}

// The most in any time of this length, in ms.
function peak (times, length) {
  const sorted = times.toSorted((a, b) => a - b)
  let most = 0
  let first = 0
  sorted.forEach((time, i) => {
    while (sorted[first] <= time - length) first++
    most = Math.max(most, i - first + 1)
  })
  return most
}

function round (ms) {
  return Math.round(ms * 10) / 10
}
