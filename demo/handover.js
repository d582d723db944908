import { setTimeout as sleep } from 'node:timers/promises'

import { openListener } from '../bench/lib/listener.js'
import { startLoad } from '../bench/lib/load.js'
import { watchClients } from './clients-watch.js'
import { startService } from './service-process.js'

const warmUpLimit = 15_000

/**
 * Restarts the service in place under load, and says what its clients saw.
 *
 * @param {object} options
 * @param {boolean} options.hasPlugin
 * @param {number} options.clients
 * @param {number[]} options.think milliseconds
 * @param {number} options.work milliseconds a request takes
 * @param {number} options.restarts
 * @param {string} options.report file for the report of each drain, which takes the place of the one before
 * @param {number} options.settle milliseconds of load before and after each restart
 * @param {number} options.killAfter milliseconds an instance may take to exit
 * @param {(what: string, seen: object) => void} options.onStep told of every step
 */
export async function restartInPlace ({ hasPlugin, clients, think, work, restarts, report, settle, killAfter, onStep }) {
  const service = await (hasPlugin ? startWithHandover({ work, report }) : startInTurn({ work, restarts, killAfter }))
  const watch = watchClients()
  let load
  try {
    load = startLoad({ port: service.port, clients, think })
    const seen = {
      get requests () { return load.counts.requests },
      get lost () { return load.counts.lost },
      get answered503 () { return load.counts.answered503 },
      get kept () { return watch.kept },
      get reconnects () { return watch.reconnects },
      get shares () { return watch.shares }
    }
    onStep('warming up', seen)
    await Promise.race([load.warm, sleep(warmUpLimit, undefined, { ref: false })])
    watch.begin()
    watch.takeLongest()
    await sleep(settle)
    const longestBefore = watch.takeLongest()

    const moves = []
    for (let i = 0; i < restarts; i++) {
      onStep(`restart ${i + 1}/${restarts}: ${service.signal}`, seen)
      const { what, ...move } = await service.restart()
      moves.push(move)
      onStep(`restart ${i + 1}/${restarts}: ${what}`, seen)
      await sleep(settle)
    }
    const result = { ...seen, clients, restarts, moves, longestBefore, longest: watch.takeLongest(), pids: watch.pids }
    await load.stop()
    return { ...result, requests: load.counts.requests, lost: load.counts.lost, reset: load.counts.reset, stderr: service.stderr() }
  } finally {
    await load?.stop()
    watch.end()
    await service.end()
  }
}

/** One process, whose successors are its own. */
async function startWithHandover ({ work, report }) {
  const service = startService({ hasPlugin: true, work, report })
  const { port } = await listening(service).catch(async error => {
    await service.end()
    throw error
  })
  let { pid } = service

  return {
    port,
    signal: 'SIGUSR2',
    end: service.end,
    stderr: () => [service.stderr()].filter(Boolean),

    async restart () {
      const old = pid
      process.kill(old, 'SIGUSR2')
      const { successor } = await service.line(line => line.pid === old && /has taken over/.test(line.msg), `${old} was not taken over`)
      const { report, time } = await service.line(line => line.pid === old && line.report, `${old} has not ended`)
      const { time: since } = await service.line(isListening(successor), `${successor} does not listen`)
      pid = successor
      const moved = report.connections['handed-over']
      return { what: `${moved} moved to ${pid}`, moved, movedIn: time - since }
    }
  }
}

/** A process for each version, all started before, which listen one after the other on one socket. */
async function startInTurn ({ work, restarts, killAfter }) {
  const listener = await openListener()
  const services = Array.from({ length: restarts + 1 }, () => startService({ hasPlugin: false, work, fd: listener.fd }))
  await listener.close()
  let current = 0
  const end = () => Promise.all(services.map(service => service.end()))
  try {
    await listenNext(services[0])
  } catch (error) {
    await end()
    throw error
  }

  return {
    port: listener.port,
    signal: 'SIGTERM',
    end,
    stderr: () => services.map(service => service.stderr()).filter(Boolean),

    async restart () {
      const old = services[current++]
      await listenNext(services[current])
      const start = performance.now()
      process.kill(old.pid, 'SIGTERM')
      const killed = await Promise.race([old.exited.then(() => false), sleep(killAfter, true, { ref: false })])
      if (killed) await old.end()
      const gone = Math.round(performance.now() - start)
      return { what: killed ? `killed after ${gone} ms` : `exit ${gone} ms`, moved: 0 }
    }
  }
}

async function listenNext (service) {
  service.listen()
  await listening(service)
}

async function listening (service) {
  const { msg } = await service.line(isListening(service.pid), 'does not listen')
  return new URL(/http:\S+/.exec(msg)[0])
}

function isListening (pid) {
  return line => line.pid === pid && /^Server listening/.test(line.msg)
}
